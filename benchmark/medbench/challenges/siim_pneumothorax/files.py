"""Files of SIIM-ACR pneumothorax: DICOM images and a table of run lengths, a row for each piece of a mask.

Splits are by image, all rows of which stay together; the table names no patients. The paper's program splits
by row, so that pieces of one mask lie in two splits; the splits ``leaking_*`` repeat this, and their results
are never ranked.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.image_masks.files import ImageMaskRelease, Pair
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
from medbench.challenges.siim_pneumothorax.leaking import leaking_places
from medbench.challenges.siim_pneumothorax.run_lengths import EMPTY, decode_runs
from medbench.challenges.stray import Role
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io.gate.listing import visible_paths
from medbench.io.tables import read_lines

TABLES = ("train-rle.csv", "stage_2_train.csv")
FOLDERS = ("dicom-images-train", "dicom-images-test", "train", "stage_2_images")
COLUMNS = ["ImageId", "EncodedPixels"]
SHARE = 0.15
LISTS = Path(__file__).parent / "splits.toml"
_RULE = (
    "by image: the first 32 bits of the SHA-256 of '42/<ImageId>' as a share of their range, below 0.15 "
    "test, below 0.30 val, else train"
)
_LEAKING_RULE = (
    "by row of the table, as the public program: 70 % train, 15 % val, 15 % test by scikit-learn's "
    "train_test_split with the seed 0; an image with several rows may lie in several splits, with a part of "
    "its mask in each"
)


class SIIMRelease(RadiographFiles, ImageMaskRelease):
    """Files of SIIM-ACR pneumothorax."""

    splits = (*SPLITS, *(f"{LEAKING}{part}" for part in SPLITS[:3]))
    may_be_empty = True
    data_hint = (
        "Expected dicom-images-train/<study>/<series>/<image>.dcm and train-rle.csv (stage_2_train.csv) from "
        "the competition's page."
    )
    sample_writer = "medbench.challenges.siim_pneumothorax.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The rule, with number and hash of the cases."""
        rule = _LEAKING_RULE if split.startswith(LEAKING) else _RULE
        if split in FRACTIONS:
            rule = FRACTION_RULE.format(share=FRACTIONS[split]).replace("patient", "image")
        return listed_facts(LISTS, split, rule)

    def pairs(self, root: Path) -> list[Pair]:
        """Images of the table in the order of their names, with the table as their mask's file."""
        table = table_of(root)
        if table is None:
            raise self.layout_error(root, (f"{FOLDERS[0]}/", TABLES[0]))
        files = {path.stem: path for name in FOLDERS for path in visible_paths(root / name, "**/*.dcm")}
        missing = root / FOLDERS[0]
        return [
            Pair(name, files.get(name, missing / f"{name}.dcm"), table) for name in sorted(runs_of(table))
        ]

    def pairs_of(self, pairs: Sequence[Pair], split: str) -> list[Pair]:
        """Images of the split."""
        if split.startswith(LEAKING):
            own = _lines_of(pairs[0].mask, split) if pairs else {}
            return [pair for pair in pairs if pair.id in own]
        whole = whole_split(split)
        return [
            pair
            for pair in pairs
            if hashed_split(pair.id, SHARE, SHARE) == whole and in_fraction(pair.id, split)
        ]

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images.

        Raises:
            MedbenchError: also ``split.class_empty`` for a fraction without images of either kind.
        """
        cases = super().cases(root, split)
        runs = runs_of(cases[0].reference["labels"])
        if split.startswith(LEAKING):
            lines = _lines_of(cases[0].reference["labels"], split)
            return [dataclasses.replace(case, facts={"lines": lines[case.id]}) for case in cases]
        positive = sum(any(text != EMPTY for _, text in runs[case.id]) for case in cases)
        names = ("images with a pneumothorax", "images without one")
        check_fraction(split, names, dict(zip(names, (positive, len(cases) - positive), strict=True)))
        return cases

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """All pieces of the mask in one, ``(height, width)``; of a leaking split those of its own rows.

        Raises:
            MedbenchError: ``data.row_missing``, or as :func:`decode_runs` and :meth:`read_image`.
        """
        shape = self.read_image(case.inputs["image"]).shape[:2]
        return self._mask(
            case.reference["labels"], case.id, (shape[0], shape[1]), case.facts.get("lines", ())
        )

    def check_mask(self, pair: Pair) -> tuple[npt.NDArray[np.uint8], Sequence[str]]:
        """The reference mask; its rows have no oddities."""
        shape = self.read_image(pair.image).shape[:2]
        return self._mask(pair.mask, pair.id, (shape[0], shape[1])), ()

    def shown_sha256(self, path: Path, role: Role) -> str | None:
        """Of images alone: all masks are in one table."""
        return super().shown_sha256(path, role) if role == "image" else None

    @staticmethod
    def _mask(
        table: Path, name: str, shape: tuple[int, int], lines: Sequence[int] = ()
    ) -> npt.NDArray[np.uint8]:
        rows = [row for row in runs_of(table).get(name, ()) if not lines or row[0] in lines]
        if not rows:
            raise MedbenchError(
                "data.row_missing", f"{table}: has no row of {name}.", "Use the file as released."
            )
        masks = [decode_runs(text, shape, f"{table}, line {line}") for line, text in rows]
        return np.asarray(np.maximum.reduce(masks), np.uint8)


def table_of(root: Path) -> Path | None:
    """The table of run lengths; ``None`` where there is none."""
    places = [folder / name for name in TABLES for folder in (root, root / "siim")]
    return next((path for path in places if path.is_file()), None)


def runs_of(table: Path) -> Mapping[str, Sequence[tuple[int, str]]]:
    """Image -> its rows: line and run lengths; read once while the file stays as it is.

    Raises:
        MedbenchError: ``data.column_missing`` for another header.
    """
    state = table.stat()
    return _runs(table, state.st_size, state.st_mtime_ns)


def _lines_of(table: Path, split: str) -> Mapping[str, Sequence[int]]:
    """Image -> lines of its rows that lie in a leaking split."""
    runs = runs_of(table)
    rows = sorted((line, name) for name, own in runs.items() for line, _ in own)
    lines: dict[str, list[int]] = {}
    for place in leaking_places(len(rows))[split]:
        line, name = rows[place]
        lines.setdefault(name, []).append(line)
    return lines


@functools.lru_cache(maxsize=4)
def _runs(table: Path, size: int, mtime_ns: int) -> Mapping[str, Sequence[tuple[int, str]]]:
    lines = read_lines(table)
    header = [cell.strip() for cell in lines[0][1]] if lines else []
    if header[:2] != COLUMNS:
        raise MedbenchError(
            "data.column_missing",
            f"{table}, line 1: the columns are not {','.join(COLUMNS)}.",
            "Use the file as released.",
        )
    runs: dict[str, list[tuple[int, str]]] = {}
    for line, cells in lines[1:]:
        if len(cells) < 2:
            raise MedbenchError(
                "data.table",
                f"{table}, line {line}: has {counted(len(cells), 'cell')}, not 2.",
                "Use the file as released.",
            )
        runs.setdefault(cells[0].strip(), []).append((line, cells[1].strip()))
    return runs
