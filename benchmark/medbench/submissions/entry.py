"""The entry of a container: serve the submission, and end with an exit code and one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from medbench.submissions.serving.outcome import guarded


def run(app: Path, arguments: Sequence[str]) -> int:
    """Serve the submission in ``app`` on its platform; the exit code."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)

    def serve() -> None:
        from medbench.submissions.platforms import load_platform
        from medbench.submissions.serving.session import Session

        session = Session(app)
        load_platform(session.submission.platform).serve(session, arguments)

    return guarded(serve)
