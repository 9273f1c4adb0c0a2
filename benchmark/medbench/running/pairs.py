"""References and predictions of two folders, paired by name: every reference is in the list."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, overload

from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure
from medbench.core.text import agreeing, any_of, composed, named
from medbench.io.gate.admission import suffix_of
from medbench.io.gate.listing import is_metadata, list_folder, only_folder
from medbench.io.gate.refusal import Refusal
from medbench.io.gate.source import without_links
from medbench.io.images import SUFFIXES

NO_REFERENCES = (
    ".txt",
    ".md",
    ".csv",
    ".tsv",
    ".json",
    ".xml",
    ".yaml",
    ".yml",
    ".toml",
    ".html",
    ".pdf",
    ".log",
)
"""Types that lie beside label maps and are none."""
DEEPEST = 32
"""Folders in one another that are opened on the way to predictions."""
_PACKED = (".zip", ".gz", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst")
_KNOWN = frozenset(SUFFIXES)


class Pair(NamedTuple):
    """A reference and its prediction; paths are text, which is made and travels in a fraction of the time.

    Attributes:
        name: relative path of the reference without its suffix; with it where two references share it.
        reference: path of the reference.
        prediction: path of the prediction; ``None`` where there is none.
        failure: why the pair cannot be read at all.
        hint: what a missing prediction may be, for the reason.
        root: folder that the prediction may not leave.
        labels: labels to score; those of the reference but 0 if ``None``.
    """

    name: str
    reference: str
    prediction: str | None
    failure: Failure | None = None
    hint: str = ""
    root: str | None = None
    labels: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Paired:
    """Pairs in the order of their names.

    Attributes:
        pairs: each made when it is first asked for.
        tell: tells what is no pair's.
    """

    pairs: Sequence[Pair]
    tell: Callable[[], Iterable[str]] = tuple

    @property
    def notes(self) -> Sequence[str]:
        """Notes on what is no pair's."""
        return list(self.tell())


@dataclass(frozen=True)
class _Tree:
    """Files in a folder and below it.

    Attributes:
        root: the folder that was given.
        start: text that the paths of its files start with.
        stems: relative path of a file of a type that is read here -> the path without its suffix.
        refusals: relative path -> why something else is not read.
        n_hidden: metadata that was passed over.
    """

    root: Path
    start: str
    stems: dict[str, str]
    refusals: Mapping[str, Refusal]
    n_hidden: int

    @classmethod
    def of(
        cls, root: Path, stems: Mapping[str, str], refusals: Mapping[str, Refusal], n_hidden: int
    ) -> _Tree:
        """The files of a folder, sorted."""
        start = os.path.join(root, "") if root != Path() else ""
        return cls(root, start, dict(sorted(stems.items())), refusals, n_hidden)

    @cached_property
    def alike(self) -> Mapping[str, str]:
        """Path without suffix, in lower case -> the first file that has it."""
        return {stem.lower(): name for name, stem in reversed(self.stems.items())}

    @cached_property
    def by_stem(self) -> Mapping[str, Sequence[str]]:
        """Path without suffix -> the files that have it."""
        names: dict[str, list[str]] = {}
        for name, stem in self.stems.items():
            names.setdefault(stem, []).append(name)
        return names

    def place(self, name: str) -> str:
        """The file of a relative path."""
        return f"{self.start}{name}"


def pair_files(references: Path, predictions: Path, rename: tuple[str, str] | None = None) -> Paired:
    """Pair files by their relative path: the same name before the same name of another type.

    Args:
        references: folder, searched with its folders; or one file.
        predictions: folder, or one file.
        rename: ``(old, new)``: a prediction's name is its reference's with ``old`` replaced.

    Raises:
        MedbenchError: ``data.missing``, ``file.type_unknown`` for an archive, ``data.empty``
            without references, ``option.ignored`` for a rename without effect, or ``predictions.none``.
    """
    for place in (references, predictions):
        _refuse_other(place)
    if not references.is_dir() and not predictions.is_dir():
        refuse_rename(rename, [references.name], is_alone=True)
        return Paired([Pair(references.name, str(references), str(predictions))])
    ours, theirs = _tree(references), _tree(predictions)
    refuse_rename(rename, [*ours.stems, *ours.refusals])
    pairs = _Pairing(ours, theirs, rename)
    if not pairs:
        raise MedbenchError(
            "data.empty",
            f"{references}: holds no label map{'' if any(references.iterdir()) else '; it is empty'}.",
            f"Give the folder of the references: {', '.join(SUFFIXES)}.",
        )
    inner = predictions
    for _ in range(DEEPEST):
        if any(pair.prediction for pair in pairs) or not inner.is_dir():
            break
        below = only_folder(inner)
        if below is None:
            break
        inner = below
        pairs = _Pairing(ours, _tree(inner), rename)
    if not any(pair.prediction for pair in pairs):
        raise MedbenchError(
            "predictions.none",
            f"{predictions}: holds no prediction for {any_of(len(pairs), 'reference')} in {references}"
            f"{pairs[0].hint if theirs.stems or theirs.refusals else '; it holds no label map at all'}.",
            "Files pair by relative path without suffix; map names with --rename OLD=NEW.",
        )
    return Paired(pairs, partial(_notes, ours, pairs.theirs, pairs))


def _refuse_other(place: Path) -> None:
    """Refuse what is not there, and archives, of which a zip of predictions alone is unpacked.

    Raises:
        MedbenchError: ``data.missing`` or ``file.type_unknown``.
    """
    if not place.exists():
        raise MedbenchError("data.missing", f"{place}: there is no such file or folder.", "Check the path.")
    suffix = suffix_of(place.name)
    if place.is_file() and suffix in _PACKED:
        message = f"{place}: '{suffix}' is no type of label maps that is read here."
        raise MedbenchError("file.type_unknown", message, "Unpack it, and give the folder.")


def refuse_rename(rename: tuple[str, str] | None, names: Sequence[str], *, is_alone: bool = False) -> None:
    """Refuse a rename that changes no name.

    Args:
        rename: ``(old, new)``.
        names: of the references.
        is_alone: whether one file is compared with one other, whatever their names.

    Raises:
        MedbenchError: ``option.ignored`` with one of the names.
    """
    if rename is None or not names or (not is_alone and any(rename[0] in name for name in names)):
        return
    if is_alone:
        raise MedbenchError(
            "option.ignored", "--rename has no effect on two files, whatever their names.", "Leave it out."
        )
    raise MedbenchError(
        "option.ignored",
        f"--rename has no effect: no name holds '{rename[0]}', for example {names[0]}.",
        "It changes names of references into names of predictions: OLD=NEW.",
    )


class _Pairing(Sequence[Pair]):
    """Pairs of two folders, each made when it is first asked for, so that the first ones need not wait.

    Args:
        ours: references.
        theirs: predictions.
        rename: as in :func:`pair_files`.
    """

    def __init__(self, ours: _Tree, theirs: _Tree, rename: tuple[str, str] | None) -> None:
        self.ours, self.theirs, self.rename = ours, theirs, rename
        stems = Counter(ours.stems.values())
        titles = [(name if stems[stem] > 1 else stem, name) for name, stem in ours.stems.items()]
        titles += [(name, name) for name in ours.refusals if not name.lower().endswith(NO_REFERENCES)]
        self._names = sorted(titles)
        self._made: dict[int, Pair] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Pair]:
        return map(self._at, range(len(self)))

    @overload
    def __getitem__(self, place: int) -> Pair: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Pair]: ...
    def __getitem__(self, place: int | slice) -> Pair | Sequence[Pair]:
        if isinstance(place, slice):
            return [self._at(one) for one in range(*place.indices(len(self)))]
        return self._at(range(len(self))[place])

    def _at(self, place: int) -> Pair:
        if place not in self._made:
            self._made[place] = self._pair(*self._names[place])
        return self._made[place]

    def _pair(self, title: str, name: str) -> Pair:
        reference = self.ours.place(name)
        if name in self.ours.refusals:
            return Pair(title, reference, None, _failure(reference, self.ours.refusals[name]))
        return _pair((name, title), reference, self.theirs, self.rename)


def _failure(path: str, refusal: Refusal) -> Failure:
    return Failure(refusal.code, f"{path}: {refusal.facts}.", refusal.hint)


def _tree(root: Path) -> _Tree:
    if root.is_file():
        return _Tree.of(root.parent, {root.name: composed(_stem(root.name))}, {}, 0)
    stems: dict[str, str] = {}
    refusals: dict[str, Refusal] = {}
    n_hidden = 0
    for home, folders, _ in os.walk(root):
        here = Path(home)
        folders[:] = sorted(name for name in folders if not is_metadata(name))
        listing = list_folder(here, SUFFIXES, open_only=False)
        below = f"{here.relative_to(root).as_posix()}/" if here != root else ""
        stems |= {below + entry.name: composed(below + entry.stem) for entry in listing.entries}
        refusals |= {below + one.path: one for one in listing.unknown if one.path not in folders}
        n_hidden += listing.n_hidden
    return _Tree.of(root, stems, refusals, n_hidden)


def _pair(ours: tuple[str, str], reference: str, theirs: _Tree, rename: tuple[str, str] | None) -> Pair:
    """Pair one reference, given as relative path and name of the pair."""
    name, title = ours
    exact = _renamed(name, rename)
    target = composed(_stem(exact))
    if exact in theirs.refusals:
        return Pair(title, reference, None, _failure(theirs.place(exact), theirs.refusals[exact]))
    fitting = [exact] if exact in theirs.stems else theirs.by_stem.get(target, ())
    if len(fitting) > 1:
        message = f"{theirs.place(fitting[0])}: could be the case {target}, and so could {fitting[1]}."
        return Pair(title, reference, None, Failure("file.ambiguous", message, "Keep one."))
    if fitting:
        return _found(title, reference, theirs, fitting[0])
    alike = theirs.alike.get(target.lower())
    return Pair(title, reference, None, hint=f"; {alike} differs by case only" if alike else "")


def _renamed(name: str, rename: tuple[str, str] | None) -> str:
    """A file's name with a text replaced before its suffix, or else up to its end, as in .png=_pred.png."""
    if rename is None:
        return name
    stem = _stem(name)
    if rename[0] in stem:
        return stem.replace(*rename) + name[len(stem) :]
    return name.replace(*rename)


def _found(title: str, reference: str, theirs: _Tree, name: str) -> Pair:
    path = theirs.place(name)
    if "/" in name or os.path.islink(path):
        try:
            path = str(without_links(Path(path), theirs.root))
        except MedbenchError as error:
            return Pair(title, reference, None, Failure(error.code, error.message, error.hint))
    return Pair(title, reference, path, root=str(theirs.root))


def _notes(ours: _Tree, theirs: _Tree, pairs: Sequence[Pair]) -> Iterator[str]:
    predictions = {pair.prediction for pair in pairs}
    surplus = [name for name in theirs.stems if theirs.place(name) not in predictions]
    surplus += theirs.refusals
    strangers = [name for name in ours.refusals if name.lower().endswith(NO_REFERENCES)]
    for names, what in (
        (surplus, f"{theirs.root} {agreeing(len(surplus), 'is', 'are')} no reference's"),
        (strangers, f"{ours.root} {agreeing(len(strangers), 'is no reference', 'are no references')}"),
    ):
        if names:
            yield f"{len(names)} of the files in {what}: {named(sorted(names))}"
    yield from hidden_notes(ours.n_hidden + theirs.n_hidden)


def hidden_notes(n_hidden: int) -> list[str]:
    """The note on metadata that was passed over; none where there was none.

    >>> hidden_notes(1)
    ['1 hidden file or folder of file systems and archives was passed over']
    """
    what = agreeing(n_hidden, "file or folder", "files and folders")
    were = agreeing(n_hidden, "was", "were")
    note = f"{n_hidden:,} hidden {what} of file systems and archives {were} passed over"
    return [note] if n_hidden else []


def _stem(name: str) -> str:
    suffix = suffix_of(name)
    return name.removesuffix(name[-len(suffix) :]) if suffix in _KNOWN else name
