"""Fractions of the training cases, reading and names of samples, as releases of radiographs share them."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.release import SplitFacts
from medbench.core.errors import MedbenchError
from medbench.core.seeds import hashed_part, hashed_share
from medbench.io.radiographs import read_radiograph

T = TypeVar("T")
FRACTIONS: Mapping[str, float] = {"train_10": 0.10, "train_1": 0.01}
"""Training splits that hold a part of the patients -> the part."""
SPLITS = ("train", "val", "test", *FRACTIONS)
LEAKING = "leaking_"
"""Beginning of the names of splits that repeat the public program's."""
MARK = "the public program's leaking split"
FRACTION_RULE = (
    "of the training patients those whose first 32 bits of the SHA-256 of 'fraction/42/<patient>' are below "
    "{share} of their range; the 1 % are among the 10 %"
)


@functools.cache
def _lists(path: Path) -> Mapping[str, Mapping[str, Any]]:
    with open(path, "rb") as stream:
        return tomllib.load(stream)


def listed_facts(lists: Path, split: str, rule: str) -> SplitFacts:
    """Rule of a split with number and hash of its cases in the complete release.

    Args:
        lists: TOML file with a table a split.
        split: the split; those of the leaking scheme are marked.
        rule: how it is drawn.
    """
    mark = MARK if split.startswith(LEAKING) else ""
    return SplitFacts(rule, mark=mark, **_lists(lists)[split])


def whole_split(split: str) -> str:
    """The split that a fraction is taken from; any other split itself.

    >>> whole_split("train_10"), whole_split("val")
    ('train', 'val')
    """
    return "train" if split in FRACTIONS else split


def in_fraction(patient: str, split: str) -> bool:
    """Whether a training patient belongs to a training split.

    >>> [in_fraction("patient00826", split) for split in ("train", "train_10", "train_1")]
    [True, False, False]
    """
    return hashed_share(f"fraction/42/{patient}") < FRACTIONS.get(split, 1.0)


def hashed_split(patient: str, test: float, val: float) -> str:
    """Which of ``train``, ``val`` and ``test`` a patient belongs to by a hash.

    Args:
        patient: the patient, or the image where the release names no patient.
        test: share of the test split.
        val: share of the validation split.
    """
    return hashed_part(f"42/{patient}", (("test", test), ("val", test + val), ("train", 1.0)))


def check_fraction(split: str, classes: Sequence[str], counts: Mapping[str, int], hint: str = "") -> None:
    """Refuse a fraction that holds no case of a class.

    Args:
        split: the split.
        classes: names of all classes.
        counts: class -> cases of the split.
        hint: what to do.

    Raises:
        MedbenchError: ``split.class_empty`` naming the class.
    """
    empty = [name for name in classes if not counts.get(name)]
    if split in FRACTIONS and empty:
        raise MedbenchError(
            "split.class_empty",
            f"split {split}: holds no case of {', '.join(empty)}.",
            hint or "Train on a larger fraction: --split train_10 or train.",
        )


class RadiographFiles:
    """Reading and splits of radiographs, beside a release of a family."""

    def read_image(self, path: Path) -> npt.NDArray[np.uint8]:
        """A radiograph as three equal planes ``(height, width, 3)``, 8 bit, larger is brighter.

        Raises:
            MedbenchError: as :func:`medbench.io.radiographs.read_radiograph`.
        """
        return np.repeat(read_radiograph(path)[..., np.newaxis], 3, axis=2)

    def training_split_of(self, split: str) -> str:
        """The training split of the same scheme."""
        return f"{LEAKING}train" if split.startswith(LEAKING) else "train"

    def overlap(self, training_split: str, split: str) -> bool:
        """Whether one of the splits alone is of the public program's leaking scheme."""
        return training_split.startswith(LEAKING) != split.startswith(LEAKING)

    def disjoint_splits(self) -> Sequence[Sequence[str]]:
        """Training, validation and test; fractions lie within the training split."""
        return (SPLITS[:3],)


def drawn_names(
    names: Iterator[str],
    quota: Mapping[str, int],
    split_of: Callable[[str], str],
    group_of: Callable[[str], str] = str,
) -> Iterator[tuple[str, str]]:
    """Names of a sample with so many in every split, each with its split.

    Args:
        names: candidates without end.
        quota: split -> number; a fraction's are those of ``train`` that are in no smaller one.
        split_of: ``train``, ``val`` or ``test`` of a name.
        group_of: the patient of a name.
    """
    remaining = dict(quota)
    while any(remaining.values()):
        name = next(names)
        split = split_of(name)
        if split == "train":
            split = next(
                (part for part in reversed(tuple(FRACTIONS)) if in_fraction(group_of(name), part)), split
            )
        if remaining.get(split):
            remaining[split] -= 1
            yield name, split
