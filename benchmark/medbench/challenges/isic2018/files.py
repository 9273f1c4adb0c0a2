"""Files of ISIC 2018 task 1: the organisers' folders, repacked copies, and the splits.

Three ways of splitting:

* ``official_train``, ``official_val``, ``official_test``: the organisers' own three sets.
* ``train``, ``val``, ``test``: 72, 18 and 10 % of the 2,594 training images, by a hash of each name: an
  image is in the same split in every copy, whole or not.
* ``papers_train``, ``papers_test``: nine tenths drawn from the 2,594 names by numpy's seed 42, as in the
  papers. They drew from a directory listing, whose order is not defined; here it is the sorted one.

Repacked copies with train/, val/, test/ or images/ are assumed to hold images of the training set alone;
their folders do not decide the split.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from medbench.challenges.families.image_masks.files import ImageMaskRelease, Pair
from medbench.challenges.release import SplitFacts
from medbench.core.errors import MedbenchError
from medbench.core.seeds import hashed_part
from medbench.io import raster
from medbench.io.gate.listing import list_folder

PARTS = {"train": ("Training", 2594), "val": ("Validation", 100), "test": ("Test", 1000)}
REPACKED = ("train", "val", "valid", "test", ".")
SEED = 42
SHARES = (("test", 0.10), ("val", 0.28), ("train", 1.0))
_NAME = re.compile(r"ISIC_\d{7}")

_HASH_RULE = (
    "by name: the first 32 bits of the SHA-256 of '42/<name>' as a share of their range, below 0.10 test, "
    "below 0.28 val, else train"
)
_PAPERS_RULE = (
    "numpy.random.seed(42), choice of round(0.9 n) of the sorted file names for training, the rest for test "
    "(Caipengzhou/BRAU-Netplusplus@b25641a data_split_csv.py, whose own listing had no defined order)"
)


def hashed_split(name: str) -> str:
    """Which of ``train``, ``val`` and ``test`` an image of the training set belongs to.

    >>> [hashed_split(f"ISIC_00000{number:02}") for number in (0, 10, 12)]
    ['train', 'val', 'test']
    """
    return hashed_part(f"{SEED}/{name}", SHARES)


def papers_test(names: Sequence[str]) -> set[str]:
    """Names of the papers' test split, given all names of the training set.

    >>> sorted(papers_test([f"ISIC_{number:07}" for number in range(20)]))
    ['ISIC_0000006', 'ISIC_0000014']
    """
    sorted_names = sorted(names)
    training = np.random.RandomState(SEED).choice(sorted_names, round(0.9 * len(sorted_names)), replace=False)
    return set(sorted_names) - set(training.tolist())


class ISIC2018Release(ImageMaskRelease):
    """Files of ISIC 2018 task 1."""

    splits = (
        "train",
        "val",
        "test",
        "papers_train",
        "papers_test",
        "official_train",
        "official_val",
        "official_test",
    )
    data_hint = (
        "Expected ISIC2018_Task1-2_Training_Input/ and ISIC2018_Task1_Training_GroundTruth/ (likewise "
        "Validation and Test) from challenge.isic-archive.com/data, or train/images/ and train/masks/."
    )
    sample_writer = "medbench.challenges.isic2018.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """Rule of a split, and its size where the list of names is not needed for it."""
        scheme, _, part = split.rpartition("_")
        if scheme == "official":
            return SplitFacts("the organisers' own sets", PARTS[part][1])
        if scheme == "papers":
            training = round(0.9 * PARTS["train"][1])
            return SplitFacts(_PAPERS_RULE, training if part == "train" else PARTS["train"][1] - training)
        return SplitFacts(_HASH_RULE)

    def completeness(self, root: Path, split: str) -> tuple[int, int] | None:
        """Number of images in the folder and in the release; of the training set for splits by hash."""
        if "_" in split:
            return super().completeness(root, split)
        return sum(pair.part == "train" for pair in self.pairs(root)), PARTS["train"][1]

    def training_split_of(self, split: str) -> str:
        """The training split of the same scheme."""
        scheme, _, _ = split.rpartition("_")
        return f"{scheme}_train" if scheme else "train"

    def overlap(self, training_split: str, split: str) -> bool:
        """Whether the splits are of two schemes; the organisers' validation and test sets never overlap."""
        if split in ("official_val", "official_test"):
            return False
        return self.training_split_of(split) != self.training_split_of(training_split)

    def disjoint_splits(self) -> Sequence[Sequence[str]]:
        """The splits by hash, the papers', and the organisers'."""
        return self.splits[:3], self.splits[3:5], self.splits[5:]

    def pairs(self, root: Path) -> list[Pair]:
        """Images and masks of the organisers' folders, or of a repacked copy."""
        pairs: list[Pair] = []
        for part, (name, _) in PARTS.items():
            folder = root / f"ISIC2018_Task1-2_{name}_Input"
            if folder.is_dir():
                pairs += _pairs_in(folder, root / f"ISIC2018_Task1_{name}_GroundTruth", part)
        if not pairs:
            for folder in (root / name for name in REPACKED):
                if (folder / "images").is_dir():
                    pairs += _pairs_in(folder / "images", folder / "masks", "train")
        if not pairs:
            raise self.layout_error(root, ("ISIC2018_Task1-2_Training_Input/", "train/images/", "images/"))
        return sorted(pairs, key=lambda pair: pair.id)

    def pairs_of(self, pairs: Sequence[Pair], split: str) -> list[Pair]:
        """Images of the split.

        Raises:
            MedbenchError: ``data.incomplete`` for the papers' splits when training images are missing.
        """
        scheme, _, part = split.rpartition("_")
        if scheme == "official":
            return [pair for pair in pairs if pair.part == part]
        training = [pair for pair in pairs if pair.part == "train"]
        if not scheme:
            return [pair for pair in training if hashed_split(pair.id) == split]
        whole = PARTS["train"][1]
        if len(training) != whole:
            raise MedbenchError(
                "data.incomplete",
                f"{split}: is drawn from all {whole} names of the training set, and this copy has "
                f"{len(training)}.",
                "Use --split test, which is the same in every copy.",
            )
        test = papers_test([pair.id for pair in training])
        return [pair for pair in training if (pair.id in test) == (part == "test")]


def _pairs_in(folder: Path, masks: Path, part: str) -> Iterator[Pair]:
    paths = {
        entry.stem: entry.path
        for entry in list_folder(folder, raster.SUFFIXES, open_only=False).entries
        if _NAME.fullmatch(entry.stem)
    }
    for path in paths.values():
        names = [masks / f"{path.stem}_segmentation{suffix}" for suffix in (".png", ".jpg", ".jpeg")]
        mask = next((name for name in names if os.path.lexists(name)), names[0])
        yield Pair(path.stem, path, mask, part=part)
