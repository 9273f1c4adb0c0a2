"""Files of object-CXR: JPEG radiographs, and tables of foreign objects as rectangles, ellipses or polygons.

Every object is taken as its bounding box. The release names no patients: an image is a patient.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.families.image_boxes.files import Box, BoxedImage
from medbench.challenges.families.radiograph_boxes import RadiographBoxRelease
from medbench.challenges.families.radiographs import (
    FRACTION_RULE,
    FRACTIONS,
    SPLITS,
    check_fraction,
    hashed_split,
    in_fraction,
    whole_split,
)
from medbench.challenges.release import SplitFacts
from medbench.core.case import Case
from medbench.io.tables import read_table

PARTS = {"train": "train", "test": "dev"}
VAL = 0.10
SHAPES = ("0", "1", "2")
"""Rectangle, ellipse and polygon."""
KINDS = ("images with objects", "images without objects")
_NUMBER = re.compile(r"-?\d{1,6}(\.\d{1,9})?")
_RULE = (
    "dev.csv tests; of train.csv a tenth validates: the first 32 bits of the SHA-256 of '42/<image>' below "
    "0.10 of their range"
)


class ObjectCXRRelease(RadiographBoxRelease):
    """Files of object-CXR."""

    splits = SPLITS
    data_hint = "Expected train.csv, dev.csv and the folders train/ and dev/ with the images."
    sample_writer = "medbench.challenges.object_cxr.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The rule."""
        if split in FRACTIONS:
            return SplitFacts(FRACTION_RULE.format(share=FRACTIONS[split]).replace("patient", "image"))
        return SplitFacts(_RULE)

    def images(self, root: Path) -> list[BoxedImage]:
        """Every row of both tables."""
        tables = {part: root / f"{name}.csv" for part, name in PARTS.items()}
        present = {part: table for part, table in tables.items() if table.is_file()}
        if not present:
            raise self.layout_error(root, ("train.csv", "dev.csv"))
        return [image for part, table in present.items() for image in _images(table, part)]

    def images_of(self, images: Sequence[BoxedImage], split: str) -> list[BoxedImage]:
        """Images of the split."""
        whole = whole_split(split)
        return [image for image in images if image.part == whole and in_fraction(image.id, split)]

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images.

        Raises:
            MedbenchError: also ``split.class_empty`` for a fraction without images of either kind.
        """
        cases = super().cases(root, split)
        full = sum(bool(case.facts.get("boxes")) for case in cases)
        check_fraction(split, KINDS, dict(zip(KINDS, (full, len(cases) - full), strict=True)))
        return cases


def _images(table: Path, part: str) -> list[BoxedImage]:
    images = []
    for line, row in enumerate(read_table(table, "image_name", "annotation"), 2):
        name = Path(row["image_name"]).name
        boxes = boxes_of_annotation(row["annotation"])
        fault = (
            "" if boxes is not None else f"{table}, line {line}: '{row['annotation'][:40]}' are no objects."
        )
        stem = Path(name).stem
        own = part if part == "test" else hashed_split(stem, 0.0, VAL)
        images.append(BoxedImage(stem, table.parent / PARTS[part] / name, table, boxes, stem, own, fault))
    return images


def boxes_of_annotation(text: str) -> tuple[Box, ...] | None:
    """Bounding boxes of a row's objects; ``None`` for what are none.

    >>> boxes_of_annotation("0 1 2 5 6;2 3 4 9 8 5 1")
    ((1.0, 2.0, 5.0, 6.0, 0), (3.0, 1.0, 9.0, 8.0, 0))
    >>> boxes_of_annotation(""), boxes_of_annotation("0 1 2 5")
    ((), None)
    """
    boxes: list[Box] = []
    for piece in filter(None, (piece.strip() for piece in text.split(";"))):
        shape, *words = piece.split()
        fits = len(words) == 4 if shape in SHAPES[:2] else len(words) >= 6 and len(words) % 2 == 0
        if shape not in SHAPES or not fits or not all(_NUMBER.fullmatch(word) for word in words):
            return None
        x, y = ([float(word) for word in words[axis::2]] for axis in (0, 1))
        boxes.append((min(x), min(y), max(x), max(y), 0))
    return tuple(boxes)
