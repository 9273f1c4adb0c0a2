"""Files of COVIDx: text files of training and test with patient, file, class and source of every image."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.families.image_classes.files import ClassedImage, ImageClassRelease
from medbench.challenges.families.radiographs import (
    FRACTION_RULE,
    FRACTIONS,
    SPLITS,
    RadiographFiles,
    check_fraction,
    hashed_split,
    in_fraction,
    whole_split,
)
from medbench.challenges.release import SplitFacts
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io.tables import plain_text

CLASSES = ("normal", "pneumonia", "COVID-19")
VAL = 0.20
_NAME = re.compile(r"(train|test)_(COVIDx\w*|split_\w+)\.txt")
_RULE = (
    "the release's own text files of training and test; of the training patients a fifth validates, by the "
    "first 32 bits of the SHA-256 of '42/<source>/<patient>' below 0.20 of their range"
)


class COVIDxRelease(RadiographFiles, ImageClassRelease):
    """Files of COVIDx."""

    splits = SPLITS
    data_hint = (
        "Expected train_COVIDx9A.txt and test_COVIDx9A.txt (or those of another version) beside the folders "
        "train/ and test/ with the images."
    )
    sample_writer = "medbench.challenges.covidx.sample:write_sample"
    sample_version = "1"
    colours = False

    def split_facts(self, split: str) -> SplitFacts:
        """The rule; sizes differ from version to version."""
        if split in FRACTIONS:
            return SplitFacts(FRACTION_RULE.format(share=FRACTIONS[split]))
        return SplitFacts(_RULE)

    def images(self, root: Path) -> list[ClassedImage]:
        """Every line of both text files."""
        images = [image for part in ("train", "test") for image in _images(root, part)]
        if not images:
            raise self.layout_error(root, ("train_COVIDx9A.txt", "test_COVIDx9A.txt"))
        return images

    def images_of(self, images: Sequence[ClassedImage], split: str) -> list[ClassedImage]:
        """Images of the split."""
        whole = whole_split(split)
        return [image for image in images if image.part == whole and in_fraction(image.group, split)]

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images.

        Raises:
            MedbenchError: also ``split.class_empty`` for a fraction without a case of a class.
        """
        cases = super().cases(root, split)
        classes = Counter(CLASSES[case.facts["class"]] for case in cases if case.facts["class"] is not None)
        check_fraction(split, CLASSES, classes)
        return cases


def _images(root: Path, part: str) -> list[ClassedImage]:
    tables = sorted(
        path for path in root.glob(f"{part}_*.txt") if _NAME.fullmatch(path.name) and path.is_file()
    )
    if len(tables) > 1:
        raise MedbenchError(
            "data.layout_unknown",
            f"{root}: holds {' and '.join(path.name for path in tables)}, expected one version.",
            "Keep one table in the folder.",
        )
    images = [image for table in tables for image in _lines(table, root / part, part)]
    names = Counter(image.id for image in images)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        raise MedbenchError(
            "data.row_twice", f"{tables[0]}: {twice} occurs twice.", "Use the file as released."
        )
    return images


def _lines(table: Path, folder: Path, part: str) -> list[ClassedImage]:
    """Images of a text file: patient, file name (which may hold blanks), class and source."""
    images = []
    for number, line in enumerate(plain_text(table).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) < 4:
            raise MedbenchError(
                "data.table",
                f"{table}, line {number}: holds {counted(len(words), 'word')}, not patient, file, class and "
                "source.",
                "Use the file as released.",
            )
        patient, name, label, source = words[0], " ".join(words[1:-2]), words[-2], words[-1]
        is_class = label in CLASSES
        fault = "" if is_class else f"{table}, line {number}: '{label[:40]}' is no class."
        group = f"{source}/{patient}"
        own = part if part == "test" else hashed_split(group, 0.0, VAL)
        image_class = CLASSES.index(label) if is_class else None
        images.append(
            ClassedImage(f"{part}-{_id(name)}", folder / name, table, image_class, group, own, fault)
        )
    return images


def _id(name: str) -> str:
    """Id of a file: its name without dots and blanks."""
    return re.sub(r"[^\w-]", "_", name)
