"""The synthetic sample of ColonPath: patches of 256 × 256 in the organisers' folders and tables."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from medbench.challenges.colonpath.files import hashed_split
from medbench.challenges.simulators.colon_patch import draw_patch
from medbench.core.files import write_text
from medbench.io import raster

SEED = 2023
CASES = {"train": 16, "val": 4, "test": 12}
PATCHES = 2
HEADER = "img_id,study_id,tumor"


def drawn_cases() -> list[str]:
    """Cases of the sample, so many of each split by hash."""
    remaining, cases, number = dict(CASES), [], 8000
    while any(remaining.values()):
        number += 1
        case = f"2019-{number:05}"
        if remaining[hashed_split(case)]:
            remaining[hashed_split(case)] -= 1
            cases.append(case)
    return cases


def write_sample(root: Path, cases: Sequence[str] | None = None) -> None:
    """Draw the patches of some cases, every other of them with tumours, in turns into both public sets.

    Args:
        root: folder that gets ``MedFMC_train`` and ``MedFMC_val``.
        cases: :func:`drawn_cases` if not given.
    """
    tables: dict[str, list[str]] = {"train": [HEADER], "val": [HEADER]}
    jobs = []
    for index, case in enumerate(drawn_cases() if cases is None else cases):
        part, tumour = ("val" if index % 3 == 2 else "train"), index % 2
        for patch in range(PATCHES):
            place = f"{33000 + index}-9759-6526-5268p{patch:04}"
            name = f"{case}-1-1-{index % 5 + 1}_2019-05-28 23_17_50-lv1-{place}"
            tables[part].append(f"{name}.png,{case},{tumour}")
            jobs.append((root / f"MedFMC_{part}/colon/images/{name}.png", [SEED, index, patch], bool(tumour)))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: _write(*job), jobs))
    for part, rows in tables.items():
        write_text(root / f"MedFMC_{part}/colon/colon_{part}.csv", "".join(f"{row}\n" for row in rows))


def _write(path: Path, seed: list[int], tumour: bool) -> None:
    raster.write_image(path, draw_patch(np.random.default_rng(seed), tumour))
