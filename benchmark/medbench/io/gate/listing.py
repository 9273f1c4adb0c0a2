"""Lists of the files in a folder: cases, metadata of file systems, unknown types, and ambiguous files."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from medbench.core.text import composed
from medbench.io.gate.admission import suffix_of
from medbench.io.gate.refusal import Refusal

_METADATA = {
    *(".ds_store", "__macosx", "icon\r"),
    *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "desktop.ini"),
    *("$recycle.bin", "system volume information", "lost+found"),
    *("@eadir", "@recycle", "#recycle", "#snapshot"),
}
"""Of macOS, of Windows, of volumes, and of network storage."""
_COMPANIONS = {".hdr": (".img",), ".raw": (".mhd",), ".zraw": (".mhd",)}
_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISREG, ""))


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that may be a case.

    Attributes:
        folder: folder of the file.
        name: name below the folder.
        stem: name without suffix.
        suffix: suffix in lower case, ``.nii.gz`` as one.
    """

    folder: Path
    name: str
    stem: str
    suffix: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a folder by kind.

    Attributes:
        folder: folder of the files: the given one, or the only folder in it.
        entries: files of the given types, sorted by name.
        unknown: refusals of files that are neither cases nor metadata.
        n_hidden: number of skipped metadata files of file systems and archives.
    """

    folder: Path
    entries: tuple[Entry, ...]
    unknown: tuple[Refusal, ...]
    n_hidden: int

    def twins(self) -> tuple[tuple[Entry, ...], ...]:
        """Files of one stem with several types, or with names that differ in upper and lower case only."""
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.stem.lower(), []).append(entry)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def is_metadata(name: str) -> bool:
    """Whether a file name is of metadata of a file system or archive.

    >>> [is_metadata(name) for name in ("._a.png", "__MACOSX", "Thumbs.db", "a.png")]
    [True, True, True, False]
    """
    return name.startswith(".") or name.lower() in _METADATA


def visible_paths(folder: Path, pattern: str) -> list[Path]:
    """What a pattern matches below a folder, sorted, without metadata of file systems and archives."""
    return sorted(
        path
        for path in folder.glob(pattern)
        if not any(is_metadata(part) for part in path.relative_to(folder).parts)
    )


def present(path: Path) -> Path | None:
    """What lies at a path, also under a name that Unicode composes in another way; ``None`` for nothing."""
    if os.path.lexists(path):
        return path
    if path.name.isascii() or not path.parent.is_dir():
        return None
    name = composed(path.name)
    return next(
        (path.with_name(one) for one in sorted(os.listdir(path.parent)) if composed(one) == name), None
    )


def check_alone(path: Path, suffixes: Collection[str]) -> None:
    """Refuse a file whose stem alone decides whose it is, where another type of the same stem lies beside it.

    Raises:
        MedbenchError: ``file.ambiguous`` with both names.
    """
    own = suffix_of(path.name)
    stem = str(path)[: len(str(path)) - len(own)]
    other = next((stem + end for end in suffixes if end != own and os.path.lexists(stem + end)), None)
    if other is not None:
        facts = f"could be the case, and so could {os.path.basename(other)} beside it"
        raise Refusal("file.ambiguous", path.name, facts, "Keep one.").error(path.parent)


def only_folder(folder: Path) -> Path | None:
    """The one thing in a folder, metadata apart, where it is a folder and no link."""
    visible = [name for name in sorted(os.listdir(folder)) if not is_metadata(name)]
    only = folder / visible[0] if len(visible) == 1 else None
    return only if only is not None and only.is_dir() and not only.is_symlink() else None


def list_folder(folder: Path, suffixes: Collection[str], *, open_only: bool = True) -> Listing:
    """Classify all that lies in a folder; the one folder at the top of an archive is opened.

    What is named like a case and is no regular file is an entry, so that it is refused where it is read.

    Args:
        folder: what was handed in.
        suffixes: of the types that may be cases, in lower case.
        open_only: whether the one folder at the top is opened.

    Raises:
        OSError: where the folder cannot be read.
    """
    present = _present(folder)
    visible = [name for name in present if not is_metadata(name)]
    n_hidden = len(present) - len(visible)
    inner = only_folder(folder) if open_only else None
    if inner is not None:
        folder = inner
        present = _present(folder)
        visible = [name for name in present if not is_metadata(name)]
        n_hidden += len(present) - len(visible)
    entries, unknown = [], []
    lower = {name.lower() for name in visible}
    for name in visible:
        suffix = suffix_of(name)
        stem = name[: len(name) - len(suffix)]
        owners = _COMPANIONS.get(suffix, ())
        if present[name] and suffix not in suffixes:
            unknown.append(
                Refusal("file.not_regular", name, f"is {present[name]}, not a file", "Give the file itself.")
            )
        elif owners and any(f"{stem.lower()}{owner}" in lower for owner in owners):
            continue
        elif suffix in suffixes:
            entries.append(Entry(folder, name, stem, suffix))
        else:
            hint = f"Known: {', '.join(sorted(suffixes))}."
            unknown.append(
                Refusal("file.type_unknown", name, f"'{suffix}' is no type that is read here", hint)
            )
    return Listing(folder, tuple(entries), tuple(unknown), n_hidden)


def _present(folder: Path) -> dict[str, str]:
    """Sorted names -> kind of file, after following links; empty for regular files."""
    kinds = {}
    with os.scandir(folder) as scan:
        for item in scan:
            if item.is_file(follow_symlinks=False):
                kinds[item.name] = ""
                continue
            try:
                mode = item.stat().st_mode
            except OSError:
                kinds[item.name] = "a symbolic link to a file that does not exist"
                continue
            kinds[item.name] = next((kind for fits, kind in _KINDS if fits(mode)), "no regular file")
    return dict(sorted(kinds.items()))
