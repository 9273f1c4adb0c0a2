"""Default folders: cache, runs, leaderboards and data."""

from __future__ import annotations

import os
import re
from pathlib import Path

from medbench.core.errors import MedbenchError

_HOME = re.compile(r"\A\$(?:HOME|\{HOME\})(?=/|$)")
_VARIABLE = re.compile(r"\$(?:\w+|\{\w+\})(?=/|$)")


def with_tilde(path: str) -> str:
    """The path with ``~`` for ``$HOME`` or ``${HOME}`` at its beginning.

    >>> with_tilde("$HOME/runs"), with_tilde("a/$HOME"), with_tilde("$HOMES")
    ('~/runs', 'a/$HOME', '$HOMES')
    """
    return _HOME.sub("~", path)


def at_home(path: str | Path) -> Path:
    """The path with a ``~`` or ``$HOME`` at its beginning spelt out, for calls without a shell.

    Raises:
        MedbenchError: ``path.home`` for a user that this machine does not have, ``path.variable`` for a path
            that begins with another variable.
    """
    spelling = with_tilde(str(path))
    variable = _VARIABLE.match(spelling)
    if variable is not None:
        raise unreplaced(str(path), variable[0])
    try:
        return Path(spelling).expanduser()
    except RuntimeError as error:
        raise MedbenchError(
            "path.home", f"{path}: there is no home folder of that name.", "Write the path out."
        ) from error


def unreplaced(path: str, variable: str) -> MedbenchError:
    """The error for a path that begins with a variable of a shell."""
    message = f"{path}: {variable} is a variable, which no shell has replaced."
    return MedbenchError("path.variable", message, "Write the path out.")


def cache_folder() -> Path:
    """The cache: ``MEDBENCH_CACHE``, else the user's cache folder.

    Raises:
        MedbenchError: ``path.home`` where neither says where it is.
    """
    import platformdirs

    setting = os.environ.get("MEDBENCH_CACHE")
    if setting:
        return at_home(setting)
    try:
        return at_home(platformdirs.user_cache_dir("medbench"))
    except (MedbenchError, RuntimeError) as error:
        message = "The home folder is not known, so there is no place for the cache."
        raise MedbenchError("path.home", message, "Set MEDBENCH_CACHE or HOME.") from error


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
