"""Places that cannot be written: refused before any work, and named when the system refuses them later."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.unfinished import PREFIX


def refuse_unwritable(path: Path, *, folder: bool = False) -> None:
    """Refuse a file or folder that cannot be written, before anything is computed for it; nothing is left.

    Args:
        path: of the output; it may be there already, and its parents may be missing.
        folder: whether the output is a folder.

    Raises:
        MedbenchError: ``output.unwritable``.
    """
    if folder and path.exists() and not path.is_dir():
        raise MedbenchError("output.unwritable", f"{path}: is a file, not a folder.", "Name a folder.")
    if not folder and path.is_dir():
        raise MedbenchError("output.unwritable", f"{path}: is a folder, not a file.", "Name a file in it.")
    place = path if folder else path.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        why = "" if error.errno == errno.ENOENT else f" ({error.strerror})"
        raise MedbenchError(
            "output.unwritable",
            f"{path}: cannot be written: {place} takes no new files{why}.",
            "Choose another place, or mend the permissions.",
        ) from error


def of_system(error: OSError) -> MedbenchError:
    """The error for a file or folder that the system refuses, named as the user knows it.

    >>> of_system(OSError(28, "No space left on device")).message
    'The system refuses: No space left on device.'
    """
    if error.filename is None or isinstance(error.filename, int):
        message = f"The system refuses: {error.strerror}."
    else:
        path = Path(os.fsdecode(error.filename))
        is_partial = path.name.startswith(PREFIX)
        what = "no file can be written there" if is_partial else "the system refuses it"
        message = f"{path.parent if is_partial else path}: {what} ({error.strerror})."
    advice = "Check the path, its permissions and the space left on its disk."
    return MedbenchError("system.refused", message, advice)
