"""The files of a challenge: where they lie, which split each case belongs to, and what is wrong with them."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from medbench.challenges.card import Card
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.registry import load_object, unknown_name


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """How a split is drawn.

    Attributes:
        rule: the rule in a sentence, with its seed and source.
        cases: cases of the split in the complete release; ``None`` where that is not known.
        names_sha256: SHA-256 of the complete split's case ids in order, joined by newlines; empty where the
            list is not known.
    """

    rule: str
    cases: int | None = None
    names_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation of a check of a data folder."""

    severity: Literal["error", "warning", "note"]
    message: str
    advice: str = ""


class Release(abc.ABC):
    """The files of a challenge.

    Attributes:
        splits: names of the splits.
        default_split: the split that is predicted when none is named.
        training_split: the split that networks learn from when none is named.
        data_hint: what a folder of the data looks like and where to get it.
        sample_writer: ``"module:function"`` that draws the synthetic sample; called with an empty folder and
            the options.
        sample_version: version of the synthetic sample; raised when a drawn byte changes.
        sample_options: what :meth:`draw_sample` understands: name -> what it is, a whole number each.
        shared_data: name of the data where several challenges share one release; empty: the challenge's own.
    """

    splits: Sequence[str] = ("train", "val", "test")
    default_split: ClassVar[str] = "test"
    training_split: ClassVar[str] = "train"
    data_hint: str
    sample_writer: str = ""
    sample_version: str
    sample_options: ClassVar[Mapping[str, str]] = {}
    shared_data: str = ""

    def __init__(self, card: Card) -> None:
        self.card = card

    @property
    def data_set(self) -> str:
        """Name of the folder that holds the data."""
        return self.shared_data or self.card.name

    @abc.abstractmethod
    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's cases in a fixed order.

        Raises:
            MedbenchError: ``split.unknown``, ``data.layout_unknown`` or ``data.empty``.
        """

    @abc.abstractmethod
    def check(self, root: Path) -> list[Finding]:
        """Look a data folder over: counts, sizes, labels, cases and groups in two splits."""

    def write_sample(self, root: Path, options: Mapping[str, int]) -> None:
        """Write the synthetic sample into ``root`` in the challenge's own layout.

        Args:
            root: an empty folder.
            options: some of :attr:`sample_options`, for a sample of another size.
        """
        load_object(self.sample_writer)(root, **options)

    def draw_sample(self, root: Path, options: Mapping[str, int]) -> None:
        """Write the synthetic sample; options that the sample does not have are refused.

        Raises:
            MedbenchError: ``sample.option``.
        """
        unknown = [name for name in options if name not in self.sample_options]
        if unknown:
            known = ", ".join(self.sample_options) or "none"
            raise MedbenchError(
                "sample.option",
                f"The sample of {self.card.title} has no option '{unknown[0]}'.",
                f"Its options: {known}.",
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
        """How the split is drawn, where the challenge has several ways or drew it itself."""
        return None

    def parts(self, split: str) -> Sequence[str]:
        """Splits that make up ``split``, each predicted by a network that learnt from its own training split.

        Folds of a cross-validation, whose name and a slash begin the ids of the cases of ``split``; none
        where one network predicts the whole split.
        """
        return ()

    def training_split_of(self, split: str) -> str:
        """The split to learn from before ``split`` is predicted; :meth:`overlap` says if it may be."""
        return self.training_split

    def overlap(self, training_split: str, split: str) -> bool:
        """Whether two splits share cases by their definition, so that one cannot test what the other taught.

        Predicting the very split that was learnt from is the caller's own wish and no overlap.
        """
        return False

    def completeness(self, root: Path, split: str) -> tuple[int, int] | None:
        """Cases that the folder holds, and cases of the complete release; ``None`` where not known.

        Both are of the split where the release says how large it is, else of what the split is drawn from.

        Raises:
            MedbenchError: as :meth:`cases`.
        """
        facts = self.split_facts(split)
        return None if facts is None or facts.cases is None else (len(self.cases(root, split)), facts.cases)

    def layout_error(self, root: Path, expected: Iterable[str]) -> MedbenchError:
        """The error for a folder that holds none of the known layouts."""
        return MedbenchError(
            "data.layout_unknown",
            f"{root}: holds no {self.card.title} data (looked for {', '.join(expected)}).",
            self.data_hint,
        )
