"""Pairs of frontal radiograph and report in the layout of MIMIC-CXR-JPG 2.0.0.

``files/p10/p10000032/s50414267/<dicom_id>.jpg`` (or ``.dcm``) is an image,
``files/p10/p10000032/s50414267.txt`` the report of its study, also below ``mimic-cxr-reports/``. The tables
are ``mimic-cxr-2.0.0-split.csv``, ``-metadata.csv`` and, where it is there, ``-chexpert.csv``, packed
(``.gz``) or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.sample import TrainingPair
from medbench.io.radiographs import read_radiograph, square
from medbench.io.report_text import read_report
from medbench.io.tables import read_table

PREFIX = "mimic-cxr-2.0.0-"
SPLITS = ("train", "validate", "test")
FRONTAL = ("PA", "AP")
_VALUES = {"1.0": 1.0, "1": 1.0, "-1.0": -1.0, "-1": -1.0}
HINT = (
    "Expected mimic-cxr-2.0.0-split.csv and mimic-cxr-2.0.0-metadata.csv (also .gz) with files/p10/p10000032/"
    "s50414267/*.jpg and files/p10/p10000032/s50414267.txt: MIMIC-CXR-JPG 2.0.0 and the reports of MIMIC-CXR "
    "(physionet.org)."
)


@dataclass(frozen=True, slots=True)
class Radiograph:
    """An image of the release.

    Attributes:
        id: its ``dicom_id``.
        patient: ``p`` and the number of the patient.
        study: ``s`` and the number of the study.
        split: ``train``, ``validate`` or ``test``.
        image: where it lies; where neither a JPEG nor a DICOM file is, where the JPEG should.
        report: of its study.
        findings: name -> 1 stated, 0 negated or not told, -1 uncertain; empty without a table of them.
    """

    id: str
    patient: str
    study: str
    split: str
    image: Path
    report: Path
    findings: Mapping[str, float] = field(default_factory=dict)


def table_of(root: Path, name: str) -> Path | None:
    """Path of a table of the release, packed or not; ``None`` where there is none."""
    paths = [root / f"{PREFIX}{name}.csv", root / f"{PREFIX}{name}.csv.gz"]
    return next((path for path in paths if path.is_file()), None)


def radiographs(root: Path, split: str | None = None) -> list[Radiograph]:
    """Frontal images of the release in the order of its table of splits.

    Args:
        root: folder of the release.
        split: only of this split.

    Raises:
        MedbenchError: ``data.layout_unknown``, or for a table that cannot be read.
    """
    splits, metadata = table_of(root, "split"), table_of(root, "metadata")
    if splits is None or metadata is None:
        raise MedbenchError(
            "data.layout_unknown",
            f"{root}: holds no data of MIMIC-CXR-JPG (looked for {PREFIX}split.csv, {PREFIX}metadata.csv).",
            HINT,
        )
    views = {row["dicom_id"]: row["ViewPosition"] for row in read_table(metadata, "dicom_id", "ViewPosition")}
    findings = _findings(root)
    return [
        _radiograph(root, row, findings.get(row["study_id"], {}))
        for row in read_table(splits, "dicom_id", "study_id", "subject_id", "split")
        if views.get(row["dicom_id"]) in FRONTAL and split in (None, row["split"])
    ]


def _radiograph(root: Path, row: Mapping[str, str], findings: Mapping[str, float]) -> Radiograph:
    patient, study = f"p{row['subject_id']}", f"s{row['study_id']}"
    folder = Path("files") / patient[:3] / patient
    paths = [root / folder / study / f"{row['dicom_id']}{suffix}" for suffix in (".jpg", ".dcm")]
    reports = [base / folder / f"{study}.txt" for base in (root, root / "mimic-cxr-reports")]
    return Radiograph(
        row["dicom_id"],
        patient,
        study,
        row["split"],
        next((path for path in paths if path.is_file()), paths[0]),
        next((path for path in reports if path.is_file()), reports[0]),
        findings,
    )


def _findings(root: Path) -> dict[str, dict[str, float]]:
    path = table_of(root, "chexpert")
    if path is None:
        return {}
    return {
        row["study_id"]: {
            name: _VALUES.get(cell, 0.0)
            for name, cell in row.items()
            if name not in ("subject_id", "study_id")
        }
        for row in read_table(path, "subject_id", "study_id")
    }


def training_pairs(root: Path, split: str) -> tuple[list[TrainingPair], list[MedbenchError]]:
    """Pairs of a split, and why others are left out; images are read later.

    Raises:
        MedbenchError: as :func:`radiographs`; ``data.empty`` where no pair is left.
    """
    pairs, refusals = [], []
    for radiograph in radiographs(root, split):
        try:
            if not radiograph.image.is_file():
                raise MedbenchError(
                    "pair.no_image",
                    f"{radiograph.image}: there is no such image.",
                    "The pair is left out; the others stand.",
                )
            pairs.append(_pair(radiograph, root, read_report(radiograph.report)))
        except MedbenchError as error:
            refusals.append(error)
    if not pairs:
        why = f" The first of {len(refusals)} refused: {refusals[0].message}" if refusals else ""
        raise MedbenchError("data.empty", f"{root}: holds no pair of split {split}.{why}", HINT)
    return pairs, refusals


@dataclass(frozen=True, slots=True)
class SplitPairs:
    """All pairs of a release.

    Attributes:
        pairs: of every split in turn.
        indices: split -> indices of its pairs.
        reasons: why pairs are left out, a line each.
    """

    pairs: tuple[TrainingPair, ...]
    indices: Mapping[str, range]
    reasons: tuple[str, ...]

    def of(self, split: str) -> list[TrainingPair]:
        """Pairs of a split."""
        return [self.pairs[index] for index in self.indices[split]]


def split_pairs(root: Path) -> SplitPairs:
    """Pairs of every split of a release; images are read later.

    Raises:
        MedbenchError: as :func:`training_pairs`.
    """
    pairs: list[TrainingPair] = []
    indices, reasons = {}, []
    for split in SPLITS:
        own, refusals = training_pairs(root, split)
        indices[split] = range(len(pairs), len(pairs) + len(own))
        pairs += own
        reasons += [error.message for error in refusals]
    return SplitPairs(tuple(pairs), indices, tuple(reasons))


def _pair(radiograph: Radiograph, root: Path, sentences: tuple[str, ...]) -> TrainingPair:
    findings = {name: None if value < 0 else value == 1 for name, value in radiograph.findings.items()}
    return TrainingPair(
        radiograph.id,
        radiograph.patient,
        partial(_square_image, radiograph.image, root),
        sentences,
        findings,
    )


def _square_image(path: Path, root: Path, side: int) -> npt.NDArray[np.uint8]:
    return square(read_radiograph(path, root=root), side)
