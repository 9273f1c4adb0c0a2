"""Files of CheXpert: frontal images, the tables of labels, uncertain labels, and splits by patient.

The paper's program drops rows by position from a filtered table, so that most of its validation images are
trained on; here the validation set is by patient. The splits ``leaking_train`` and ``leaking_val`` repeat its
own, and their results are never ranked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from medbench.challenges.chexpert.leaking import leaking_rows
from medbench.challenges.families.image_labels.files import ImageLabelRelease, LabelledImage
from medbench.challenges.families.radiographs import (
    FRACTION_RULE,
    FRACTIONS,
    LEAKING,
    SPLITS,
    RadiographFiles,
    check_fraction,
    hashed_split,
    in_fraction,
    listed_facts,
    whole_split,
)
from medbench.challenges.release import SplitFacts
from medbench.core.case import Case
from medbench.io.tables import read_table

LABELS = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
UNCERTAIN: Mapping[str, int] = {
    "Atelectasis": 1,
    "Cardiomegaly": 0,
    "Consolidation": 0,
    "Edema": 1,
    "Pleural Effusion": 1,
}
"""Label -> the value of an uncertain mention, as the paper's program takes it."""
TABLES = {"train": "train.csv", "test": "valid.csv"}
VAL = 0.025
LISTS = Path(__file__).parent / "splits.toml"
_VALUES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "": 0}
_SIGNS = ("-1", "-1.0")
_RULES = {
    "test": "the release's own valid.csv, frontal images",
    "val": "frontal images of train.csv of patients whose first 32 bits of the SHA-256 of '42/<patient>' are "
    "below 0.025 of their range",
    "train": "frontal images of train.csv of all other patients",
    "leaking_val": "frontal images among 5,000 rows of train.csv that the public program draws by position",
    "leaking_train": "frontal images of train.csv, from which the public program drops other rows than it "
    "validates on",
}


class CheXpertRelease(RadiographFiles, ImageLabelRelease):
    """Files of CheXpert."""

    splits = (*SPLITS, f"{LEAKING}train", f"{LEAKING}val")
    data_hint = (
        "Expected CheXpert-v1.0-small/ (or CheXpert-v1.0/) with train.csv, valid.csv, train/ and valid/, or "
        "that folder itself."
    )
    sample_writer = "medbench.challenges.chexpert.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The rule, with number and hash of the cases."""
        rule = FRACTION_RULE.format(share=FRACTIONS[split]) if split in FRACTIONS else _RULES[split]
        return listed_facts(LISTS, split, rule)

    def images(self, root: Path) -> list[LabelledImage]:
        """Frontal images of both tables."""
        folder = _folder(root)
        if folder is None:
            raise self.layout_error(root, TABLES.values())
        parts = (part for part, name in TABLES.items() if (folder / name).is_file())
        return [image for part in parts for image in frontal_images(folder / TABLES[part], part)]

    def images_of(self, images: Sequence[LabelledImage], split: str) -> list[LabelledImage]:
        """Images of the split."""
        if split.startswith(LEAKING):
            return _leaking(images, split)
        whole = whole_split(split)
        return [image for image in images if image.part == whole and in_fraction(image.group, split)]

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images.

        Raises:
            MedbenchError: also ``split.class_empty`` for a fraction without an image of a label.
        """
        cases = super().cases(root, split)
        counts = Counter(
            name for case in cases for name, value in zip(LABELS, case.facts["labels"], strict=False) if value
        )
        check_fraction(split, LABELS, counts)
        return cases


def _leaking(images: Sequence[LabelledImage], split: str) -> list[LabelledImage]:
    """Images of a split of the public program, which draws rows of the training table."""
    training_images = [image for image in images if image.part != "test"]
    if not training_images:
        return []
    table = training_images[0].reference
    rows = read_table(table, "Path")
    own = {_name_of(rows[number]["Path"]) for number in leaking_rows(table, LABELS)[split]}
    return [image for image in training_images if image.id in own]


def _name_of(path: str) -> str:
    inside = PurePosixPath(path).parts[-4:]
    return "_".join((*inside[1:-1], PurePosixPath(inside[-1]).stem))


def _folder(root: Path) -> Path | None:
    places = (root, root / "CheXpert-v1.0-small", root / "CheXpert-v1.0")
    return next((place for place in places if (place / TABLES["test"]).is_file()), None)


def frontal_images(table: Path, part: str) -> list[LabelledImage]:
    """Frontal images of a table.

    Args:
        table: the file; images are beside it, whatever folder the table names.
        part: ``test``, or ``train``, whose patients are dealt out to training and validation.

    Raises:
        MedbenchError: for a table that cannot be read, or lacks a column.
    """
    rows = read_table(table, "Path", "Frontal/Lateral", *LABELS)
    lines = enumerate(rows, 2)
    return [_image(table, part, line, row) for line, row in lines if row["Frontal/Lateral"] == "Frontal"]


def _image(table: Path, part: str, line: int, row: Mapping[str, str]) -> LabelledImage:
    inside = PurePosixPath(row["Path"]).parts[-4:]
    patient = inside[1] if len(inside) == 4 else "/".join(inside)
    values = [label_value(name, row[name]) for name in LABELS]
    wrong = next((name for name, value in zip(LABELS, values, strict=True) if value is None), None)
    fault = f"{table}, line {line}, column '{wrong}': '{row[wrong][:40]}' is no label." if wrong else ""
    return LabelledImage(
        _name_of(row["Path"]),
        table.parent.joinpath(*inside),
        table,
        () if wrong else tuple(value for value in values if value is not None),
        patient,
        part if part == "test" else hashed_split(patient, 0.0, VAL),
        fault,
    )


def label_value(name: str, cell: str) -> int | None:
    """A label's value from a cell; ``None`` for what is none.

    >>> [label_value("Edema", cell) for cell in ("1.0", "", "-1.0", "0.0", "x")]
    [1, 0, 1, 0, None]
    >>> label_value("Cardiomegaly", "-1.0")
    0
    """
    return UNCERTAIN[name] if cell in _SIGNS else _VALUES.get(cell)
