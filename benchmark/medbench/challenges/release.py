"""Releases: files of a challenge, their splits, checks and the synthetic sample."""

from __future__ import annotations

import abc
import contextlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from medbench.challenges.card import Card
from medbench.challenges.stray import Finding, Role, repeated, strays
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.registry import load_object, unknown_name
from medbench.core.text import counted
from medbench.io.fingerprint import shown_sha256

SUBSET = "A subset: its scores are marked so and never stand beside those of the whole split."
"""Advice on a split of which images are missing."""


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """Rule and size of a split.

    Attributes:
        rule: how the split is drawn, in a sentence, with seed and source.
        cases: cases of the split in the complete release; ``None`` where that is not known.
        names_sha256: SHA-256 of the complete split's case ids in order, joined by newlines; empty where the
            list is not known.
        mark: what sets results on the split apart from those that are ranked; empty where they are.
    """

    rule: str
    cases: int | None = None
    names_sha256: str = ""
    mark: str = ""


class Release(abc.ABC):
    """Files of a challenge: cases, splits, checks and the synthetic sample.

    Attributes:
        splits: names of the splits.
        default_split: split of a run when the user names none.
        training_split: split of a training when the user names none.
        data_hint: what a folder of the data looks like and where to get it.
        sample_writer: ``"module:function"`` that draws the synthetic sample; called with an empty folder and
            the options.
        sample_version: version of the synthetic sample; changes with every byte of the sample.
        sample_options: options of :meth:`draw_sample`: name -> meaning; values are whole numbers.
        folder: the data's own folder, where a project file declares it; else ``None``.
        shared_data: name of the data where several challenges share one release; else empty.
    """

    splits: Sequence[str] = ("train", "val", "test")
    default_split: str = "test"
    training_split: str = "train"
    data_hint: str
    sample_writer: str = ""
    sample_version: str
    sample_options: ClassVar[Mapping[str, str]] = {}
    shared_data: str = ""
    folder: Path | None = None

    def __init__(self, card: Card) -> None:
        self.card = card

    @property
    def data_set(self) -> str:
        """Name of the data folder, below ``MEDBENCH_DATA``."""
        return self.shared_data or self.card.name

    @abc.abstractmethod
    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's cases in a fixed order.

        Raises:
            MedbenchError: ``split.unknown``, ``data.layout_unknown`` or ``data.empty``.
        """

    def check(self, root: Path) -> list[Finding]:
        """Findings on a data folder: its files, the same content in two splits, twins and stray files."""
        by_split = {}
        for split in self.splits:
            with contextlib.suppress(MedbenchError):
                by_split[split] = self.cases(root, split)
        findings = self.check_files(root)
        for splits in self.disjoint_splits():
            together = {split: by_split[split] for split in splits if split in by_split}
            findings += repeated(together, self.shown_sha256)
        return [*findings, *strays(case for cases in by_split.values() for case in cases)]

    def check_files(self, root: Path) -> list[Finding]:
        """Findings on the files: counts, sizes, labels, groups in two splits.

        Raises:
            MedbenchError: as :meth:`cases`, for a folder that holds none of the known layouts.
        """
        return []

    def disjoint_splits(self) -> Sequence[Sequence[str]]:
        """Groups of splits that are used together and must not overlap."""
        apart: list[str] = []
        for split in self.splits:
            if not any(self.overlap(split, other) or self.overlap(other, split) for other in apart):
                apart.append(split)
        return (apart,)

    def shown_sha256(self, path: Path, role: Role) -> str | None:
        """SHA-256 of what a file shows, whatever its format; ``None`` where it cannot be told from others.

        Mirrored and turned copies of an image have the same; simple label maps may well be alike so.

        Args:
            path: of one of a case's files.
            role: ``image`` or ``label map``.
        """
        return shown_sha256(path, any_way_round=role == "image")

    def write_sample(self, root: Path, options: Mapping[str, int]) -> None:
        """Write the synthetic sample into ``root`` in the challenge's own layout.

        Args:
            root: an empty folder.
            options: some of :attr:`sample_options`, for a sample of another size.
        """
        load_object(self.sample_writer)(root, **options)

    def draw_sample(self, root: Path, options: Mapping[str, int]) -> None:
        """Write the synthetic sample, after a check of the options.

        Raises:
            MedbenchError: ``sample.option``.
        """
        strangers = [name for name in options if name not in self.sample_options]
        if strangers:
            names = ", ".join(self.sample_options) or "none"
            raise MedbenchError(
                "sample.option",
                f"The sample of {self.card.title} has no option '{strangers[0]}'.",
                f"Its options: {names}.",
            )
        self.write_sample(root, options)

    def check_split(self, split: str) -> None:
        """Refuse a split that the challenge does not have.

        Raises:
            MedbenchError: ``split.unknown``.
        """
        if split not in self.splits:
            raise unknown_name("split", split, self.splits)

    def split_facts(self, split: str) -> SplitFacts | None:
        """Rule and size of a split; ``None`` where the organisers' folders decide."""
        return None

    def count_finding(self, split: str, present: int, remark: str = "") -> Finding:
        """How many of a split's images are there, with a remark on them."""
        facts = self.split_facts(split)
        whole = facts.cases if facts else None
        if not whole or present == whole:
            return Finding("note", f"{split}: {counted(present, 'image')}{remark}.")
        if present == 0:
            return Finding("note", f"{split}: none of the release's {counted(whole, 'image')}.")
        return Finding(
            "warning", f"{split}: {present:,} of the release's {counted(whole, 'image')}{remark}.", SUBSET
        )

    def parts(self, split: str) -> Sequence[str]:
        """Splits that make up ``split``, each predicted by a network that learnt from its own training split.

        Folds of a cross-validation, whose name and a slash begin the ids of the cases of ``split``; none
        where one network predicts the whole split.
        """
        return ()

    def training_split_of(self, split: str) -> str:
        """The training split that goes with ``split``; :meth:`overlap` says whether the two share cases."""
        return self.training_split

    def overlap(self, training_split: str, split: str) -> bool:
        """Whether two splits share cases by definition, so that training on one spoils testing on the other.

        A split does not overlap with itself.
        """
        return False

    def listed_modalities(self, rates: Mapping[str, float]) -> Mapping[str, tuple[str, ...]]:
        """Modalities that each training patient has by a published list; empty where none was published.

        Args:
            rates: missing rate of every modality.
        """
        return {}

    def completeness(self, root: Path, split: str) -> tuple[int, int] | None:
        """Number of cases in the folder, and in the complete release; ``None`` where the latter is not known.

        Both numbers are of the split where its size is known, else of the set that the split is drawn from.

        Raises:
            MedbenchError: as :meth:`cases`.
        """
        facts = self.split_facts(split)
        return None if facts is None or facts.cases is None else (len(self.cases(root, split)), facts.cases)

    def layout_error(self, root: Path, expected: Iterable[str]) -> MedbenchError:
        """The error for a folder in none of the layouts that the release knows, or a missing folder."""
        if not root.is_dir():
            return MedbenchError("data.missing", f"{root}: there is no such folder.", self.data_hint)
        return MedbenchError(
            "data.layout_unknown",
            f"{root}: holds no data of {self.card.title} (looked for {', '.join(expected)}).",
            self.data_hint,
        )

    def empty_split(self, root: Path, split: str, contents: str) -> MedbenchError:
        """The error for a release, or a part of it, that has nothing of a split.

        Args:
            root: folder of the release.
            split: the split that is asked for.
            contents: what the folder has, counted, such as ``45 images``.
        """
        return MedbenchError(
            "data.empty",
            f"{root}: holds {contents}, none of them in split {split}.",
            f"'medbench data check {self.card.name} {shlex.quote(str(root))}' counts each split's; "
            f"--split takes {', '.join(name for name in self.splits if name != split)}.",
        )
