"""Real data that stand for a release, laid out as that release is, with a file that says what they are."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

GROUP_LENGTH, FIRST_TEST = 50, 3200
TEST_SECTIONS, TEST_FIGURES = 2, (2, 4)
COVIDX_CLASSES = {"No_findings": "normal", "Pneumonia": "pneumonia", "Covid-19": "COVID-19"}
PUBLICATION_LENGTH, TEST_SHARE = 10, 0.35


def lay_out(challenge: str, source: Path, target: Path) -> Path:
    """The data of a challenge's substitute in the layout of its release.

    Args:
        challenge: a key of :data:`LAYOUTS`.
        source: folder of the substitute.
        target: folder to write.
    """
    words = LAYOUTS[challenge](source, target)
    (target / "substitute.txt").write_text(f"{words}\n", encoding="utf-8")
    return target


def _psfhs(source: Path, target: Path) -> str:
    """Frames recovered from figures; one figure is one fifty of numbers, two figures in five test."""
    with open(source / "figure_recovered" / "index.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    figures = sorted({row["figure"] for row in rows})
    for folder in ("image_mha", "label_mha"):
        (target / folder).mkdir(parents=True)
    starts: dict[str, int] = {}
    for number, figure in enumerate(figures):
        first = FIRST_TEST if number % 5 in TEST_FIGURES else 0
        before = [start for start in starts.values() if start // FIRST_TEST == first // FIRST_TEST]
        starts[figure] = first + GROUP_LENGTH * len(before)
    taken: dict[str, int] = {}
    for row in rows:
        place = taken.get(row["figure"], 0)
        taken[row["figure"]] = place + 1
        for folder in ("image_mha", "label_mha"):
            file = source / "figure_recovered" / folder / f"{row['name']}.mha"
            if file.is_file() and place < GROUP_LENGTH:
                shutil.copy(file, target / folder / f"{starts[row['figure']] + place:05d}.mha")
    return "JNU-IFM frames recovered from published figures, lossy; two figures in five for the test"


def _kpis_patch(source: Path, target: Path) -> str:
    """Tiles of human sections; the last sections in alphabetical order are the test."""
    folder = source / "hubmap_kidney_256"
    with open(folder / "index.csv", encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if (folder / "images" / row["name"]).is_file()]
    sections = sorted({row["wsi"] for row in rows})
    test = set(sections[-TEST_SECTIONS:])
    for number, row in enumerate(rows):
        split, section = "test" if row["wsi"] in test else "train", row["wsi"]
        base = target / "Task1_patch_level" / split / "normal" / section
        name = f"normal_{section}_{number}_{1024 * (number % 16)}_{1024 * (number // 16)}"
        for kind in ("img", "mask"):
            (base / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "images" / row["name"], base / "img" / f"{name}_img.png")
        mask = cv2.imread(str(folder / "masks" / row["name"]), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(base / "mask" / f"{name}_mask.png"), (mask > 0).astype(np.uint8) * 255)
    return (
        "HuBMAP tiles of human kidney sections, 256 x 256, stained with PAS; two of the sections for the test"
    )


def _covidx(source: Path, target: Path) -> str:
    """Radiographs of three folders; NIH names patients, and like names of COVID-19 files count as one."""
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for folder, label in COVIDX_CLASSES.items():
        for file in sorted((source / "classification_talo" / folder).glob("*.jpg")):
            nih = label != "COVID-19"
            patient = file.stem.partition("_")[0] if nih else file.stem[:PUBLICATION_LENGTH]
            collection = "nih" if nih else "ieee8023"
            digest = hashlib.sha256(f"{collection}/{patient}".encode()).hexdigest()
            part = "test" if int(digest[:8], 16) < TEST_SHARE * 2**32 else "train"
            (target / part).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target / part / file.name)
            lines[part].append(f"{patient} {file.name} {label} {collection}")
    for part, rows in lines.items():
        (target / f"{part}_COVIDx9A.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return (
        "180 radiographs, 60 a class, patients apart; COVID-19 and no other class is of ieee8023's "
        "collection: whoever tells collections apart tells that class, so this is no clinical evidence"
    )


LAYOUTS: dict[str, Callable[[Path, Path], str]] = {
    "psfhs": _psfhs,
    "kpis_patch": _kpis_patch,
    "covidx": _covidx,
}
