"""Files of the package by use: those that decide a result, enter a container, or an evaluation program."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

PACKAGE = Path(__file__).resolve().parents[1]

Use = Literal["result", "container", "evaluation"]

_SUFFIXES = {".py", ".toml"}
_WITHOUT: dict[str, tuple[Use, ...]] = {
    "challenges/*/published.toml": ("result", "container", "evaluation"),
    "challenges/*/sample.py": ("container", "evaluation"),
    "challenges/simulators": ("container", "evaluation"),
    "cli": ("result", "container", "evaluation"),
    "leaderboards": ("result", "container", "evaluation"),
    "models": ("evaluation",),
    "nnunet": ("evaluation",),
    "profiling": ("result", "container", "evaluation"),
    "studies": ("result", "container", "evaluation"),
    "submissions": ("result",),
    "testing": ("result", "container", "evaluation"),
    "training": ("evaluation",),
}
"""Path within the package (a folder stands for all below it) -> the uses that do without it."""


def package_files(use: Use) -> Iterator[Path]:
    """Files of the package that a use needs, relative to :data:`PACKAGE`, sorted.

    Args:
        use: ``result``: sources whose change can change a score, so that they enter the key of a run;
            ``container``: what a submission's image holds; ``evaluation``: what an organiser's evaluation
            program holds.
    """
    for path in sorted(PACKAGE.rglob("*")):
        relative = path.relative_to(PACKAGE)
        if "__pycache__" in relative.parts or not path.is_file() or path.suffix == ".pyc":
            continue
        if use == "result" and path.suffix not in _SUFFIXES:
            continue
        if not _left_out(relative, use):
            yield relative


def copy_package(target: Path, use: Use) -> None:
    """Copy the files that ``use`` needs into the folder ``target``."""
    for relative in package_files(use):
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / relative, target / relative)


def _left_out(relative: Path, use: Use) -> bool:
    ancestors = [relative, *relative.parents][:-1]
    return any(
        use in uses and any(_matches(ancestor, pattern) for ancestor in ancestors)
        for pattern, uses in _WITHOUT.items()
    )


def _matches(path: Path, pattern: str) -> bool:
    return len(path.parts) == pattern.count("/") + 1 and path.match(pattern)
