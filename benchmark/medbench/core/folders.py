"""Where things lie on disk when the command does not say."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``MEDBENCH_CACHE``, else the user's cache folder."""
    import platformdirs

    configured = os.environ.get("MEDBENCH_CACHE")
    return Path(configured).expanduser() if configured else Path(platformdirs.user_cache_dir("medbench"))


def runs_folder() -> Path:
    """``MEDBENCH_RUNS``, else ``runs`` in the current folder."""
    return Path(os.environ.get("MEDBENCH_RUNS", "runs")).expanduser()


def leaderboards_folder() -> Path:
    """``MEDBENCH_LEADERBOARDS``, else ``leaderboards`` in the current folder."""
    return Path(os.environ.get("MEDBENCH_LEADERBOARDS", "leaderboards")).expanduser()


def data_folder(challenge: str) -> Path | None:
    """``MEDBENCH_DATA/<challenge>`` when it exists."""
    configured = os.environ.get("MEDBENCH_DATA")
    if not configured:
        return None
    folder = Path(configured).expanduser() / challenge
    return folder if folder.is_dir() else None
