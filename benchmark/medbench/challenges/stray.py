"""Findings on any data folder: the same content in two splits, twins, and files that no case names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medbench.core.case import Case
from medbench.core.guard import Failure, guarded
from medbench.core.text import agreeing, counted_are, named
from medbench.io import images
from medbench.io.gate.listing import list_folder

Role = Literal["image", "label map"]
REMOVE = "Scores on it would be of training data, mirrored or turned as it may be: remove one of them."
TABLES = (".csv", ".tsv", ".json", ".txt", ".md", ".h5", ".hdf5", ".npz", ".avi", ".mp4", ".mkv", ".svs")
"""Types that releases hold besides images."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation of a check of a data folder."""

    severity: Literal["error", "warning", "note"]
    message: str
    advice: str = ""


def findings_of(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Findings of a check of one case; an exception of the check is an error of that case."""
    findings = guarded(name, lambda: list(check()))
    if isinstance(findings, Failure):
        named_by_case = findings.code != "case.failed"
        return [
            Finding(
                "error", findings.reason if named_by_case else f"{name}: {findings.reason}", findings.hint
            )
        ]
    return findings


def repeated(
    by_split: Mapping[str, Sequence[Case]], digest: Callable[[Path, Role], str | None]
) -> Iterator[Finding]:
    """Images and label maps whose content lies in two splits, and images that lie twice in one.

    Neighbouring images of one group may well have the same label map.

    Args:
        by_split: cases of splits that must not overlap.
        digest: hash of what a file shows; ``None`` where it cannot be told from others.
    """
    files: dict[tuple[Path, Role], tuple[str, str]] = {}
    groups: dict[Path, str] = {}
    for split, cases in by_split.items():
        for case in cases:
            roles: tuple[tuple[Role, Mapping[str, Path]], ...] = (
                ("image", case.inputs),
                ("label map", case.reference),
            )
            for role, paths in roles:
                for path in paths.values():
                    groups[path] = case.group or case.id
                    files.setdefault((path, role), (split, case.id))
    order = sorted(files, key=lambda file: file[1])
    with ThreadPoolExecutor(2) as pool:
        digests = list(pool.map(lambda file: digest(*file), order))
    firsts: dict[tuple[Role, str], Path] = {}
    pairs: set[frozenset[str]] = set()
    for (path, role), content in zip(order, digests, strict=True):
        first = firsts.setdefault((role, content), path) if content is not None else path
        (split, case_id), (other_split, other_id) = files[path, role], files[first, role]
        pair = frozenset((f"{split}/{case_id}", f"{other_split}/{other_id}"))
        alike = role != "image" and groups[path] == groups[first]
        if (
            first == path
            or pair in pairs
            or alike
            or (split == other_split and (role != "image" or len(pair) < 2))
        ):
            continue
        pairs.add(pair)
        yield Finding(
            "warning" if split == other_split else "error",
            f"{path}: the same {role} as {first}, in {split} and {other_split}.",
            "" if split == other_split else REMOVE,
        )


def strays(cases: Iterable[Case]) -> Iterator[Finding]:
    """Findings on the folders of the cases' files: twins, types that are not read, and metadata."""
    case_files = {path for case in cases for path in case.files}
    suffixes = {*images.SUFFIXES, *TABLES}
    n_hidden, strangers = 0, []
    for folder in sorted({path.parent for path in case_files}):
        if not folder.is_dir():
            continue
        listing = list_folder(folder, suffixes, open_only=False)
        n_hidden += listing.n_hidden
        strangers += [folder / one.path for one in listing.unknown if one.code == "file.type_unknown"]
        for twins in listing.twins():
            if any(twin.path in case_files for twin in twins):
                names = " and ".join(twin.name for twin in twins)
                message = f"{folder}: {names} could be one case."
                yield Finding("warning", message, "Keep one, or rename one.")
    if strangers:
        files = counted_are(len(strangers), "file")
        yield Finding("note", f"{files} of a type that is not read: {named(strangers)}.")
    if n_hidden:
        what = agreeing(n_hidden, "hidden file or folder", "hidden files and folders")
        are = agreeing(n_hidden, "is", "are")
        yield Finding("note", f"{n_hidden} {what} of file systems {are} passed over.")
