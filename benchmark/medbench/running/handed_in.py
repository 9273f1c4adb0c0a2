"""A folder or a zip of predictions as it was handed in: where its files lie, and what no case names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.text import named
from medbench.io.gate.listing import is_metadata
from medbench.io.gate.zipped import is_zip, unpacked
from medbench.running.pairs import DEEPEST, hidden_notes

BYTES_A_CASE = 256 << 20

Rename = tuple[str, str] | None


@contextlib.contextmanager
def opened_predictions(
    challenge: Challenge, cases: Sequence[Case], path: Path, rename: Rename = None
) -> Iterator[Path]:
    """The folder that holds the predictions; a zip is unpacked for as long as the block runs.

    Raises:
        MedbenchError: as :func:`check_given`, or what the gate says of the archive.
    """
    check_given(path)
    if path.is_dir():
        yield home(challenge, cases, path, rename)
    else:
        with unpacked(path, len(cases) * BYTES_A_CASE) as folder:
            yield home(challenge, cases, folder, rename)


def check_given(path: Path) -> None:
    """Refuse what is neither a folder nor a zip.

    Raises:
        MedbenchError: ``predictions.missing``.
    """
    if path.is_dir() or is_zip(path):
        return
    if path.exists():
        message, hint = (
            f"{path}: is neither a folder of predictions nor a zip.",
            "Give the folder of the files.",
        )
    else:
        message = f"{path}: there is no such folder of predictions and no such zip."
        hint = "Check --predictions."
    raise MedbenchError("predictions.missing", message, hint)


def home(challenge: Challenge, cases: Sequence[Case], folder: Path, rename: Rename = None) -> Path:
    """The folder itself, or the one folder in it, however deep, where it holds no prediction itself.

    Files that are no case's may lie beside that folder, as a text for readers does.
    """
    for _ in range(DEEPEST):
        if any(located(challenge, case, folder, rename) for case in cases):
            break
        folders = [path for path in visible(folder) if path.is_dir() and not path.is_symlink()]
        if len(folders) != 1:
            break
        folder = folders[0]
    return folder


def visible(folder: Path) -> list[Path]:
    """Entries of a folder, sorted by name, without metadata of file systems and archives."""
    return [folder / name for name in sorted(os.listdir(folder)) if not is_metadata(name)]


def located(challenge: Challenge, case: Case, folder: Path, rename: Rename = None) -> Path | Failure | None:
    """The case's prediction, why it cannot be told which it is, or ``None`` where there is none."""
    return guarded(case.id, lambda: challenge.locate(case, folder, rename))


def unused_notes(folder: Path, predictions: Sequence[Path]) -> list[str]:
    """Notes on files in a folder of predictions that belong to no case; none where all files are used."""
    case_files = {os.fspath(path) for path in predictions}
    strangers, hidden = [], 0
    for home_folder, folders, names in os.walk(folder):
        visible = [name for name in folders if not is_metadata(name)]
        hidden += len(folders) - len(visible) + sum(map(is_metadata, names))
        folders[:] = sorted(visible)
        paths = (os.path.join(home_folder, name) for name in sorted(names) if not is_metadata(name))
        strangers += [os.path.relpath(path, folder) for path in paths if path not in case_files]
    notes = []
    if strangers:
        notes.append(f"no case names {len(strangers)} of the files: {named(strangers)}")
    return notes + hidden_notes(hidden)


def alike_hint(folder: Path, name: str) -> str:
    """Hint at a file that a missing prediction may be: in upper case, of another type, or in a folder."""
    place = folder / name
    try:
        there = sorted(entry for entry in os.listdir(place.parent) if not is_metadata(entry))
    except OSError:
        return ""
    stem = place.name.split(".")[0].lower()
    by_case = next((entry for entry in there if entry.lower() == place.name.lower()), None)
    if by_case:
        return f"; {by_case} differs by case only"
    by_type = next((entry for entry in there if entry.split(".")[0].lower() == stem), None)
    if by_type:
        return f"; {by_type} is of another type"
    below = next(
        (entry for entry in there if os.path.lexists(os.path.join(place.parent, entry, place.name))), None
    )
    return f"; {below}/{place.name} lies a folder deeper" if below else ""
