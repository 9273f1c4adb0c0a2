"""Splits of SumMe and TVSum by rule: five published folds in three settings.

``canonical`` learns from the other videos of the set, ``augmented`` also from all videos of the other three
sets, ``transfer`` from the other three sets alone (Zhang et al. 2016; lists of ``li-plus/DSNet@ba674e4`` and
``ziadtarek12/FullTransNet@c04af5c``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medbench.challenges.release import SplitFacts

VIDEOS: Mapping[str, Sequence[int]] = {
    "summe": range(1, 26),
    "tvsum": range(1, 51),
    "ovp": range(1, 51),
    "youtube": [*range(11, 22), *range(23, 51)],
}
"""Numbers of the videos in each public file; the file of the YouTube set begins at 11 and lacks 22."""

ALL, ANNOTATIONS = "all", "annotations"
SETTINGS = {"fold": "canonical", "augmented": "augmented"}
_SOURCE = "lists of li-plus/DSNet and FullTransNet"


@dataclass(frozen=True, slots=True)
class SplitVideo:
    """A video of a split.

    Attributes:
        data_set: ``summe``, ``tvsum``, ``ovp`` or ``youtube``.
        key: its group in that set's file.
        fold: the fold that tests it, where the split is made of several.
    """

    data_set: str
    key: str
    fold: str = ""


@dataclass(frozen=True, slots=True)
class Splits:
    """The splits of one set.

    Attributes:
        data_set: ``summe`` or ``tvsum``.
        tests: numbers of the videos that each of the five folds tests.
        note: what a reader must know of the folds.
    """

    data_set: str
    tests: Sequence[Sequence[int]]
    note: str

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        single = [f"{prefix}{number}" for prefix in SETTINGS for number in self._numbers]
        return (
            *SETTINGS.values(),
            "transfer",
            ALL,
            ANNOTATIONS,
            *single,
            *(f"{name}_train" for name in (*single, "transfer")),
        )

    @property
    def _numbers(self) -> range:
        return range(1, len(self.tests) + 1)

    def parts(self, split: str) -> tuple[str, ...]:
        """The folds that a setting consists of; none for other splits."""
        for prefix, setting in SETTINGS.items():
            if split == setting:
                return tuple(f"{prefix}{number}" for number in self._numbers)
        return ()

    def videos_of(self, split: str) -> list[SplitVideo]:
        """The videos of a complete split in order, but for :data:`ALL` and :data:`ANNOTATIONS`."""
        parts = self.parts(split)
        if parts:
            return [
                SplitVideo(video.data_set, video.key, part)
                for part in parts
                for video in self.videos_of(part)
            ]
        own = list(VIDEOS[self.data_set])
        others = [
            SplitVideo(name, f"video_{number}")
            for name, numbers in VIDEOS.items()
            if name != self.data_set
            for number in numbers
        ]
        test, _, training = split.partition("_")
        if test == "transfer":
            return others if training else self._own(own)
        prefix = next(prefix for prefix in SETTINGS if test.startswith(prefix))
        test_numbers = self.tests[int(test.removeprefix(prefix)) - 1]
        if not training:
            return self._own(sorted(test_numbers))
        rest = self._own([number for number in own if number not in test_numbers])
        return rest + others if prefix == "augmented" else rest

    def _own(self, numbers: Sequence[int]) -> list[SplitVideo]:
        return [SplitVideo(self.data_set, f"video_{number}") for number in numbers]

    def case_id(self, video: SplitVideo) -> str:
        """``video_3``; ``fold1/video_3`` where folds are put together; ``ovp/video_3`` of another set."""
        place = video.fold or (video.data_set if video.data_set != self.data_set else "")
        return f"{place}/{video.key}" if place else video.key

    def facts(self, split: str) -> SplitFacts | None:
        """Rule, number of cases and hash of their names."""
        if split in (ALL, ANNOTATIONS):
            description = (
                "every video of the file"
                if split == ALL
                else (
                    "every video of the raw annotation files; shots of 60 frames, importance at every "
                    "15th frame"
                )
            )
            return SplitFacts(description, len(VIDEOS[self.data_set]))
        names = [self.case_id(video) for video in self.videos_of(split)]
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
        return SplitFacts(self._rule(split), len(names), digest)

    def _rule(self, split: str) -> str:
        if split == "transfer":
            return f"every video; learnt from the other three sets ({_SOURCE})"
        if split == "transfer_train":
            return f"the other three sets ({_SOURCE})"
        test, _, training = split.partition("_")
        more = " and the other three sets" if test.startswith("augmented") else ""
        if self.parts(split):
            rule = f"the five published folds ({_SOURCE}); each learns from the rest of the set{more}"
            return f"{rule}; {self.note}"
        number = test[-1]
        rule = (
            f"learns from what fold {number} of 5 does not test{more}"
            if training
            else (f"fold {number} of 5; learns from the rest of the set{more}")
        )
        return f"{rule} ({_SOURCE}); {self.note}"
