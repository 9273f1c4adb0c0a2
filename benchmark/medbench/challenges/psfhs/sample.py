"""The synthetic sample of PSFHS 2023: 256 × 256 frames in ``image_mha`` and ``label_mha``, ``NNNNN.mha``.

Images are 8 bit with three equal planes, label maps 8 bit with 0, 1 and 2; numbers are spread over the
release's so that every split and several groups have some.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from medbench.challenges.psfhs.files import RUNS, SIDE
from medbench.challenges.simulators.ultrasound import draw_frame
from medbench.core.case import Volume
from medbench.io import nifti_mha

SEED = 2023
COUNTS = {"train": 64, "val": 8, "test": 20}


def drawn_numbers() -> list[int]:
    """Numbers of the frames that are drawn, evenly over each split's run of numbers."""
    return [
        int(number)
        for split, count in COUNTS.items()
        for number in np.linspace(RUNS[split].start + 1, RUNS[split].stop - 1, count)
    ]


def write_sample(root: Path, numbers: Sequence[int] | None = None) -> None:
    """Draw frames; each depends on the seed and its own number only.

    Args:
        root: folder that gets ``image_mha`` and ``label_mha``.
        numbers: what to draw; :func:`drawn_numbers` if not given.
    """
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda number: _write(root, number), drawn_numbers() if numbers is None else numbers))


def _write(root: Path, number: int) -> None:
    frame = draw_frame(np.random.default_rng([SEED, number]), height=SIDE, width=SIDE)
    planes = np.repeat(frame.image[np.newaxis], 3, axis=0)
    nifti_mha.write_volume(root / "image_mha" / f"{number:05}.mha", _unit_spaced(planes))
    nifti_mha.write_volume(root / "label_mha" / f"{number:05}.mha", _unit_spaced(frame.labels))


def _unit_spaced(array: np.ndarray) -> Volume:
    return Volume(array, spacing=(1.0,) * array.ndim)
