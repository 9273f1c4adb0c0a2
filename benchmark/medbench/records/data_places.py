"""Where the data of earlier runs lie on this machine: a private note in the cache, shared with nobody."""

from __future__ import annotations

import contextlib
from pathlib import Path

from medbench.core.files import read_json, write_json
from medbench.core.folders import cache_folder

_FOLDER, _KEY_LENGTH = "data-of-runs", 16


def note_data_place(key: str, **folders: Path) -> None:
    """Note for a run's key where its data, or its predictions, lie; a cache that cannot be written is left.

    Args:
        key: of the run.
        folders: by what they hold, ``data`` or ``predictions``.
    """
    with contextlib.suppress(OSError):
        write_json(_path(key), {name: str(folder.resolve()) for name, folder in folders.items()})


def find_data_place(key: str, name: str = "data") -> Path | None:
    """The folder that was noted for a run's key, if it is still there."""
    try:
        folder = Path(read_json(_path(key))[name])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder if folder.is_dir() else None


def _path(key: str) -> Path:
    return cache_folder() / _FOLDER / f"{key[:_KEY_LENGTH]}.json"
