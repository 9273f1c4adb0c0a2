"""Files of HC18: images, outlines, tables of pixel sizes, and the splits.

References of the test set were never released, so ``train``, ``val`` and ``test`` here are drawn from the
training set; ``official_test`` is the test set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.image_masks.files import ImageMaskRelease, Pair, PairReport
from medbench.challenges.hc18.outlines import read_head
from medbench.challenges.release import SplitFacts
from medbench.challenges.stray import Finding
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.seeds import hashed_part
from medbench.io import eight_bit
from medbench.io.tables import Column, Value, read_rows_by_key

TRAINING, TEST = "training_set", "test_set"
TABLES = {TRAINING: "training_set_pixel_size_and_HC.csv", TEST: "test_set_pixel_size.csv"}
PIXEL_COLUMN, CIRCUMFERENCE_COLUMN = "pixel size(mm)", "head circumference (mm)"
RELEASED = {TRAINING: 999, TEST: 335}
CIRCUMFERENCE_TOLERANCE_MM = 2.5
SMALLEST_MM = 1e-6
PIXEL_FAULT = "pixel_size_fault"
SEED = 18
SHARES = (("test", 0.2), ("val", 0.3), ("train", 1.0))
_NAME = re.compile(r"(\d{3})_\d?HC")
_RULE = (
    "by subject, the number before _HC: the first 32 bits of the SHA-256 of '18/<number>' as a share of "
    "their range, below 0.2 test, below 0.3 val, else train (ours)"
)
_FACTS = {
    "train": SplitFacts(_RULE, 727, "b54fa3b5812fef295686f5bac69c0859eeded6868aaee511fef690b43775c02b"),
    "val": SplitFacts(_RULE, 68, "12818736cbccb6cb0f47894542697d3d8e28cd1ab6b9bb4b79902be1fad7518c"),
    "test": SplitFacts(_RULE, 204, "3454a0e718cb1d844feec81c7c89c8a6fd07509df289c182eebc248e53764e16"),
    "official_test": SplitFacts("the organisers' test set", RELEASED[TEST]),
}


def subject_split(subject: str) -> str:
    """Which of ``train``, ``val`` and ``test`` a subject of the training set belongs to.

    >>> [subject_split(number) for number in ("000", "001", "008")]
    ['train', 'train', 'train']
    """
    return hashed_part(f"{SEED}/{subject}", SHARES)


class HC18Release(ImageMaskRelease):
    """Files of HC18."""

    splits = ("train", "val", "test", "official_test")
    data_hint = (
        "Expected training_set/ with NNN_HC.png and NNN_HC_Annotation.png (or filled NNN_HC_Mask.png) and "
        "training_set_pixel_size_and_HC.csv, and for the test set test_set/ and test_set_pixel_size.csv, "
        "from Zenodo record 1327317."
    )
    sample_writer = "medbench.challenges.hc18.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """Rule and size of a split, and the hash of its names, except for the organisers' test set."""
        return _FACTS[split]

    def disjoint_splits(self) -> Sequence[Sequence[str]]:
        """All four splits."""
        return (self.splits,)

    def pairs(self, root: Path) -> list[Pair]:
        """Images of both sets, in the order of their names; those of the test set have no reference."""
        pairs = []
        for part in (TRAINING, TEST):
            for path in sorted((root / part).glob("*.png")):
                match = _NAME.fullmatch(path.stem)
                if match:
                    outline, mask = (
                        path.with_name(f"{path.stem}_{kind}.png") for kind in ("Annotation", "Mask")
                    )
                    reference = mask if mask.is_file() and not outline.is_file() else outline
                    subject = f"subject {match[1]}" if part == TRAINING else f"test subject {match[1]}"
                    pairs.append(Pair(path.stem, path, reference, subject, part))
        if not pairs:
            raise self.layout_error(root, (f"{TRAINING}/NNN_HC.png", f"{TEST}/NNN_HC.png"))
        return pairs

    def pairs_of(self, pairs: Sequence[Pair], split: str) -> list[Pair]:
        """Images of the split."""
        if split == "official_test":
            return [pair for pair in pairs if pair.part == TEST]
        return [pair for pair in pairs if pair.part == TRAINING and subject_split(pair.id[:3]) == split]

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images with their pixel size in mm, ``None`` where the table has no such row."""
        part = TEST if split == "official_test" else TRAINING
        cases = super().cases(root, split)
        rows = _rows(root / TABLES[part], PIXEL_COLUMN)
        return [
            Case(
                case.id,
                case.inputs,
                {} if part == TEST else case.reference,
                case.group,
                _pixel_facts(rows.get(f"{case.id}.png")),
            )
            for case in cases
        ]

    def read_image(self, path: Path) -> npt.NDArray[np.uint8]:
        """An image, ``(height, width, 3)``: 8-bit grey in the release, here three equal channels."""
        return np.repeat(eight_bit.read_grey(path)[:, :, np.newaxis], 3, axis=2)

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The filled head, ``(height, width)``, 0 and 1.

        Raises:
            MedbenchError: ``data.no_reference`` for the organisers' test set, and as
                :func:`medbench.challenges.hc18.outlines.read_head`.
        """
        if "labels" not in case.reference:
            raise MedbenchError(
                "data.no_reference",
                f"{case.id}: the test set's references are not public.",
                "Hand the predictions in at hc18.grand-challenge.org.",
            )
        return read_head(case.reference["labels"])

    def check_mask(self, pair: Pair) -> tuple[npt.NDArray[np.uint8], Sequence[str]]:
        """The filled head, with an oddity where the file holds a filled mask."""
        oddity = "masks: filled already where the release has outlines, both of which are read"
        return read_head(pair.mask), [oddity] if pair.mask.stem.endswith("_Mask") else []

    def pixel_size_mm(self, case: Case) -> float:
        """Side of a pixel of the case's image in mm.

        Raises:
            MedbenchError: ``data.pixel_size`` without a row in the table.
        """
        step = case.facts["pixel_size_mm"]
        if PIXEL_FAULT in case.facts:
            raise MedbenchError("data.pixel_size", case.facts[PIXEL_FAULT], "Correct that value.")
        if step is None:
            table = TABLES[case.inputs["image"].parent.name]
            raise MedbenchError(
                "data.pixel_size",
                f"{case.id}.png: has no row with a positive pixel size in {table}.",
                "Copy the table of the release again; millimetres need it.",
            )
        return float(step)

    def check_files(self, root: Path) -> list[Finding]:
        """Findings on images and masks, images without a row, and circumferences unlike the outline's."""
        findings = super().check_files(root)
        pairs = self.pairs(root)
        for part, table in TABLES.items():
            present = [pair for pair in pairs if pair.part == part]
            if not present:
                continue
            try:
                findings += self._check_table(root / table, present)
            except MedbenchError as error:
                findings.append(Finding("error", error.message, error.hint))
        return findings

    def _check_table(self, path: Path, pairs: Sequence[Pair]) -> list[Finding]:
        from medbench.metrics.tasks.biometry import LandmarkError, head_circumference_mm

        rows = _rows(path, PIXEL_COLUMN)
        sizes = _numbers(rows, PIXEL_COLUMN)
        lengths = {}
        if path.name != TABLES[TEST]:
            lengths = _numbers(_rows(path, CIRCUMFERENCE_COLUMN), CIRCUMFERENCE_COLUMN)
        findings = [
            Finding("error", row.message, row.hint) for row in rows.values() if isinstance(row, MedbenchError)
        ]
        for pair in pairs:
            name = pair.image.name
            if name not in rows:
                message = f"{path}: has no row with a positive pixel size for {name}."
                findings.append(Finding("error", message, "Copy the table of the release again."))
            elif name in sizes and name in lengths:
                try:
                    length = head_circumference_mm(read_head(pair.mask), pixel_size_mm=sizes[name])
                except (MedbenchError, LandmarkError):
                    continue
                if abs(length - lengths[name]) > CIRCUMFERENCE_TOLERANCE_MM:
                    findings.append(
                        Finding(
                            "warning",
                            f"{pair.mask}: its ellipse measures {length:.1f} mm, {path.name} says "
                            f"{lengths[name]:.1f} mm.",
                            "Mask and row may be of different images, or the mask was resized.",
                        )
                    )
        return findings

    def check_pair(self, pair: Pair) -> PairReport:
        """Findings on an image and its outline; images of the test set have no outline."""
        if pair.part == TEST:
            return self.check_image(pair)[0]
        return super().check_pair(pair)


def _rows(table: Path, column: str) -> dict[str, dict[str, Value] | MedbenchError]:
    """Rows of a table by file name, with a positive number or the error of the row."""
    return read_rows_by_key(table, "filename", Column(column, "float", least=SMALLEST_MM))


def _numbers(rows: Mapping[str, dict[str, Value] | MedbenchError], column: str) -> dict[str, float]:
    return {name: float(row[column]) for name, row in rows.items() if not isinstance(row, MedbenchError)}


def _pixel_facts(row: dict[str, Value] | MedbenchError | None) -> dict[str, float | str | None]:
    if isinstance(row, MedbenchError):
        return {"pixel_size_mm": None, PIXEL_FAULT: row.message}
    return {"pixel_size_mm": None if row is None else float(row[PIXEL_COLUMN])}
