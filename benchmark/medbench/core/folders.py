"""Default folders: cache, runs, leaderboards and data."""

from __future__ import annotations

import os
from pathlib import Path

from medbench.core.errors import MedbenchError


def at_home(path: str | Path) -> Path:
    """The path with a ``~`` at its beginning spelt out.

    Raises:
        MedbenchError: ``path.home`` for a user that this machine does not have.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise MedbenchError(
            "path.home", f"{path}: there is no home folder of that name.", "Write the path out."
        ) from error


def cache_folder() -> Path:
    """The cache: ``MEDBENCH_CACHE``, else the user's cache folder."""
    import platformdirs

    setting = os.environ.get("MEDBENCH_CACHE")
    return at_home(setting) if setting else Path(platformdirs.user_cache_dir("medbench"))


def runs_folder() -> Path:
    """The folder of runs: ``MEDBENCH_RUNS``, else ``runs`` in the current folder."""
    return at_home(os.environ.get("MEDBENCH_RUNS", "runs"))


def leaderboards_folder() -> Path:
    """The folder of leaderboards: ``MEDBENCH_LEADERBOARDS``, else ``leaderboards`` in the current folder."""
    return at_home(os.environ.get("MEDBENCH_LEADERBOARDS", "leaderboards"))


def data_folder(challenge: str) -> Path | None:
    """The challenge's data: ``MEDBENCH_DATA/<challenge>``, or ``None`` where there is no such folder.

    Raises:
        MedbenchError: ``data.configured`` when ``MEDBENCH_DATA`` names no folder.
    """
    setting = os.environ.get("MEDBENCH_DATA")
    if not setting:
        return None
    root = at_home(setting)
    if not root.is_dir():
        raise MedbenchError(
            "data.configured",
            f"MEDBENCH_DATA={setting}: there is no such folder.",
            "Correct it, or unset it for the synthetic sample.",
        )
    folder = root / challenge
    return folder if folder.is_dir() else None
