"""The synthetic sample of MIMIC-CXR-JPG: chest phantoms with reports whose words follow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from medbench.challenges.mimic_cxr.pairs import PREFIX
from medbench.challenges.simulators.chest import KINDS, Kind, draw_chest, draw_findings, write_report
from medbench.core.files import write_text

SEEDS = {"train": 2506, "validate": 2506, "test": 11674}
"""Split -> seed. The recipe ``quick`` was chosen while looking at test pairs of the seed 2506, in version 1;
those of the present seed have chosen nothing."""
COUNTS = {"train": 480, "validate": 64, "test": 160}
SIDE = 128
LABELS = ("Cardiomegaly", "Consolidation", "Lung Lesion", "No Finding", "Pleural Effusion", "Pneumothorax")
LABEL_OF: Mapping[Kind, str] = {
    "none": "No Finding",
    "consolidation": "Consolidation",
    "nodule": "Lung Lesion",
    "effusion": "Pleural Effusion",
    "pneumothorax": "Pneumothorax",
    "cardiomegaly": "Cardiomegaly",
}


def write_sample(root: Path, counts: Mapping[str, int] | None = None) -> None:
    """Draw pairs; each depends on the seed, its split and its number only.

    Args:
        root: folder that gets ``files`` and the tables.
        counts: split -> pairs.
    """
    jobs = [(split, number) for split, count in (counts or COUNTS).items() for number in range(count)]
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda job: _write(root, *job), jobs))
    names = ("dicom_id", "study_id", "subject_id")
    _table(
        root,
        "split",
        (*names, "split"),
        [(*row[:3], split) for row, (split, _) in zip(rows, jobs, strict=True)],
    )
    metadata = [(row[0], row[2], row[1], "PA", SIDE, SIDE) for row in rows]
    _table(
        root, "metadata", ("dicom_id", "subject_id", "study_id", "ViewPosition", "Rows", "Columns"), metadata
    )
    labels = [(row[2], row[1], *("1.0" if name == row[3] else "" for name in LABELS)) for row in rows]
    _table(root, "chexpert", ("subject_id", "study_id", *LABELS), labels)


def _write(root: Path, split: str, number: int) -> tuple[str, str, str, str]:
    """Write a pair; its ``dicom_id``, study, patient and label."""
    import cv2

    place = list(COUNTS).index(split)
    rng = np.random.default_rng([SEEDS[split], place, number])
    chest = draw_findings(rng, KINDS[number % len(KINDS)])
    patient, study = f"{10 + place}{number:06}", f"5{place}{number:06}"
    folder = root / "files" / f"p{patient[:2]}" / f"p{patient}"
    (folder / f"s{study}").mkdir(parents=True, exist_ok=True)
    dicom_id = f"{rng.bytes(16).hex()}"
    _, jpeg = cv2.imencode(".jpg", draw_chest(rng, chest, SIDE), [cv2.IMWRITE_JPEG_QUALITY, 92])
    jpeg.tofile(folder / f"s{study}" / f"{dicom_id}.jpg")
    write_text(folder / f"s{study}.txt", write_report(rng, chest))
    return dicom_id, study, patient, LABEL_OF[chest.kind]


def _table(root: Path, name: str, header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    lines = [",".join(map(str, row)) for row in (header, *rows)]
    write_text(root / f"{PREFIX}{name}.csv", "\n".join(lines) + "\n")
