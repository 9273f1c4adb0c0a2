"""Files of ISIC 2018 task 3: the organisers' folders and tables, lesions, and the splits.

Two ways of splitting:

* ``train``, ``val``, ``test``: 70, 10 and 20 % of the 10,015 training images by a hash of the lesion, so that
  images of one lesion stay together; by a hash of the image where the table of lesions is missing.
* ``official_train``, ``official_val``, ``official_test``: the organisers' own three sets, where the copy has
  their ground truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from medbench.challenges.families.image_classes.files import ClassedImage, ImageClassRelease
from medbench.challenges.release import SplitFacts
from medbench.challenges.stray import Finding
from medbench.core.errors import MedbenchError
from medbench.core.seeds import hashed_part
from medbench.io.tables import read_lines, read_table

CODES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
PARTS = {"train": ("Training", 10015), "val": ("Validation", 193), "test": ("Test", 1512)}
GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"
SHARES = (("test", 0.20), ("val", 0.30), ("train", 1.0))
_NAME = re.compile(r"ISIC_\d{7}")
_HASH_RULE = (
    "by lesion (by image where the table of lesions is missing): the first 32 bits of the SHA-256 of "
    "'42/<lesion>' as a share of their range, below 0.20 test, below 0.30 val, else train"
)


def hashed_split(group: str) -> str:
    """Which of ``train``, ``val`` and ``test`` a lesion belongs to.

    >>> [hashed_split(f"HAM_00000{number:02}") for number in (0, 3, 10)]
    ['train', 'test', 'train']
    """
    return hashed_part(f"42/{group}", SHARES)


class ISIC2018Task3Release(ImageClassRelease):
    """Files of ISIC 2018 task 3."""

    splits = ("train", "val", "test", "official_train", "official_val", "official_test")
    data_hint = (
        "Expected ISIC2018_Task3_Training_Input/ and ISIC2018_Task3_Training_GroundTruth.csv (likewise "
        "Validation and Test) from challenge.isic-archive.com/data."
    )
    sample_writer = "medbench.challenges.isic2018_task3.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The rule, and the size of the organisers' own sets."""
        scheme, _, part = split.rpartition("_")
        if scheme:
            return SplitFacts("the organisers' own sets", PARTS[part][1])
        return SplitFacts(_HASH_RULE)

    def completeness(self, root: Path, split: str) -> tuple[int, int] | None:
        """For splits by hash, images of the training set: how many fall into the split is not fixed."""
        if "_" in split:
            return super().completeness(root, split)
        return sum(image.part == "train" for image in self.images(root)), PARTS["train"][1]

    def training_split_of(self, split: str) -> str:
        """The training split of the same scheme."""
        return "official_train" if split.startswith("official_") else "train"

    def overlap(self, training_split: str, split: str) -> bool:
        """All but the organisers' validation and test sets are drawn from the same images."""
        if split in ("official_val", "official_test"):
            return False
        return self.training_split_of(split) != self.training_split_of(training_split)

    def disjoint_splits(self) -> Sequence[Sequence[str]]:
        """By hash, and the organisers'."""
        return self.splits[:3], self.splits[3:]

    def images(self, root: Path) -> list[ClassedImage]:
        """Every image of the organisers' folders that has a row in their table, or lacks one."""
        images = [image for part in PARTS for image in _images_of_part(root, part)]
        if not images:
            raise self.layout_error(root, ("ISIC2018_Task3_Training_Input/",))
        return images

    def images_of(self, images: Sequence[ClassedImage], split: str) -> list[ClassedImage]:
        """Images of the split."""
        scheme, _, part = split.rpartition("_")
        if scheme:
            return [image for image in images if image.part == part]
        return [
            image
            for image in images
            if image.part == "train" and hashed_split(image.group or image.id) == split
        ]

    def check_files(self, root: Path) -> list[Finding]:
        """As for all images with classes, and whether the table of lesions is there."""
        findings = super().check_files(root)
        if _table(root, GROUPINGS) is None:
            findings.insert(
                0,
                Finding(
                    "warning",
                    f"{root}: has no {GROUPINGS}, so that images of one lesion may lie in several splits.",
                    "Get it from the organisers' page: scores are too good without it.",
                ),
            )
        return findings


def _images_of_part(root: Path, part: str) -> Iterator[ClassedImage]:
    name = f"ISIC2018_Task3_{PARTS[part][0]}"
    folder = root / f"{name}_Input"
    if not folder.is_dir():
        return
    table = _table(root, f"{name}_GroundTruth.csv") or root / f"{name}_GroundTruth.csv"
    classes = read_ground_truth(table)
    groupings = _table(root, GROUPINGS) if part == "train" else None
    rows = read_table(groupings, "image", "lesion_id") if groupings is not None else []
    lesions = {row["image"]: row["lesion_id"] for row in rows}
    for path in sorted(folder.glob("ISIC_*.jpg")):
        if _NAME.fullmatch(path.stem):
            image_class, fault = classes.get(path.stem, (None, f"{table}: has no row of {path.stem}."))
            yield ClassedImage(path.stem, path, table, image_class, lesions.get(path.stem, ""), part, fault)


def _table(root: Path, name: str) -> Path | None:
    """A table beside the folders, or in the folder of its own name that its archive unpacks to."""
    places = [root / name, root / name.removesuffix(".csv") / name]
    places += [folder / name for folder in root.glob("ISIC2018_Task3_*_GroundTruth")]
    return next((path for path in places if path.is_file()), None)


def read_ground_truth(path: Path) -> dict[str, tuple[int | None, str]]:
    """Image -> index of its class and why there is none, from a one-hot table.

    Raises:
        MedbenchError: ``file.unreadable``, or ``data.column_missing`` for another header.
    """
    lines = read_lines(path)
    header = lines[0][1] if lines else []
    if header != ["image", *CODES]:
        raise MedbenchError(
            "data.column_missing",
            f"{path}, line 1: the columns are not image,{','.join(CODES)}.",
            "Use the file as released.",
        )
    classes: dict[str, tuple[int | None, str]] = {}
    for line, cells in lines[1:]:
        if cells[0] in classes:
            classes[cells[0]] = (None, f"{path}, line {line}: {cells[0]} is there twice.")
        else:
            place = _one_hot(cells[1:])
            fault = f"{path}, line {line}: {cells[0]} has not one class." if place is None else ""
            classes[cells[0]] = (place, fault)
    return classes


def _one_hot(cells: Sequence[str]) -> int | None:
    """Place of the only one among zeros."""
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        return None
    right = len(values) == len(CODES) and sorted(values) == [0.0] * (len(CODES) - 1) + [1.0]
    return values.index(1.0) if right else None
