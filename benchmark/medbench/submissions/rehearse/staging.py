"""Folders of a rehearsal, prepared as a platform mounts them."""

from __future__ import annotations

import os
from pathlib import Path


def make_readable(place: Path) -> None:
    """Let the container's user read a mounted folder."""
    for folder, _, files in os.walk(place):
        os.chmod(folder, 0o755)  # nosec B103  # noqa: S103 - it holds data that a platform would hand out as well
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)
