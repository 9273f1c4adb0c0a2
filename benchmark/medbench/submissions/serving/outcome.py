"""How a container ends: an exit code, one last line on standard error, and whole outputs or none."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.core.guard import describe

DONE, FAILED, BAD_INPUT = 0, 1, 2

logger = logging.getLogger(__name__)


def explain(failure: BaseException) -> str:
    """A failure as the one line that a platform shows to the submitter."""
    if isinstance(failure, MedbenchError):
        text = f"{failure.message} {failure.hint}"
    elif isinstance(failure, MemoryError) or "out of memory" in str(failure).lower():
        text = "Out of memory. Give the job more memory, or use a smaller batch or image size."
    else:
        text = describe(failure)
    return "error: " + " ".join(text.split())


def guarded(action: Callable[[], None]) -> int:
    """Exit code of a call: 0 for success, 2 for bad input, 1 for any other failure.

    The traceback of an unexpected failure goes to standard error before the last line.
    """
    try:
        action()
        code = DONE
    except MedbenchError as failure:
        code = BAD_INPUT
        _last_line(failure)
    except Exception as failure:  # noqa: BLE001 - whatever happens ends in an exit code and one line
        code = FAILED
        traceback.print_exc(file=sys.stderr)
        _last_line(failure)
    return code


def _last_line(failure: BaseException) -> None:
    sys.stdout.flush()
    sys.stderr.write(explain(failure) + "\n")
    sys.stderr.flush()


def require_writable(output: Path) -> None:
    """Check that predictions can be written, before the model is loaded.

    Raises:
        MedbenchError: ``output.unwritable``.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as failure:
        raise _unwritable(output, failure) from failure


def _unwritable(output: Path, failure: OSError) -> MedbenchError:
    user = f"{os.getuid()}:{os.getgid()}"
    return MedbenchError(
        "output.unwritable",
        f"{output}: cannot be written by user {user} ({failure.strerror}).",
        "Mount a folder with room left that this user may write, or run the container as the folder's owner: "
        "--user $(id -u):$(id -g).",
    )


@contextlib.contextmanager
def publishing(output: Path) -> Iterator[Path]:
    """A private folder whose files move to ``output`` when the block succeeds; after an error, none do.

    Raises:
        MedbenchError: ``output.unwritable``.
    """
    with tempfile.TemporaryDirectory(prefix="medbench-") as name:
        staging = Path(name)
        yield staging
        files: list[Path] = []
        try:
            for source in sorted(path for path in staging.rglob("*") if path.is_file()):
                target = output / source.relative_to(staging)
                with atomic_path(target) as temporary:
                    shutil.copyfile(source, temporary)
                files.append(target)
        except OSError as failure:
            for target in files:
                target.unlink(missing_ok=True)
            raise _unwritable(output, failure) from failure
