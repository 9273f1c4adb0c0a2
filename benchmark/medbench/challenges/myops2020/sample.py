"""A synthetic sample of MyoPS 2020: short-axis hearts in three modalities, with scar inside oedema.

Contrasts follow what the modalities show: blood bright and muscle dark in bSSFP; scar bright and healthy
muscle dark in late gadolinium enhancement; oedema bright and blood dark in T2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.textures import grid, smooth_noise
from medbench.core.case import Volume
from medbench.io.nifti_mha import write_volume

SEED = 2020
HEIGHT, WIDTH = 128, 144
SPACING_MM = (12.0, 1.5, 1.5)
TRAINING = (101, 102, 103, 104, 105, 106)
TEST = (107, 111)
UNLABELLED = (201,)
WITHOUT_SCAR = (103,)
VALUES = (0, 0, 200, 500, 600, 1220, 2221)
CONTRAST = {
    "C0": (0.12, 0.42, 0.30, 0.95, 0.90, 0.36, 0.33),
    "DE": (0.10, 0.40, 0.16, 0.55, 0.52, 0.42, 0.98),
    "T2": (0.08, 0.35, 0.45, 0.12, 0.14, 0.92, 0.80),
}

Tissues = npt.NDArray[np.uint8]


def write_sample(root: Path) -> None:
    """Draw every patient into ``train25``, ``train25_myops_gd`` and ``test20``.

    Args:
        root: folder that gets them.
    """
    for number in (*TRAINING, *TEST, *UNLABELLED):
        rng = np.random.default_rng([SEED, number])
        images, tissues = draw_heart(rng, scar=number not in WITHOUT_SCAR)
        has_labels = number not in UNLABELLED
        folder = root / ("train25" if has_labels else "test20")
        name = f"myops_{'training' if has_labels else 'test'}_{number}"
        for modality, image in images.items():
            _write(folder / f"{name}_{modality}.nii.gz", image)
        if has_labels:
            labels = np.asarray(VALUES, np.int16)[tissues]
            _write(root / "train25_myops_gd" / f"{name}_gd.nii.gz", labels)


def draw_heart(
    rng: np.random.Generator, *, scar: bool = True
) -> tuple[dict[str, npt.NDArray[np.int16]], Tissues]:
    """Three modalities ``(slices, height, width)`` and every voxel's tissue, an index into the contrasts.

    Args:
        rng: generator of all random numbers.
        scar: whether the patient has a scar; the oedema is drawn in any case.
    """
    count = int(rng.integers(3, 5))
    y, x = (field / WIDTH for field in grid(HEIGHT, WIDTH))
    centre = np.array([0.45, 0.55]) + rng.uniform(-0.04, 0.04, 2)
    start, width = rng.uniform(-np.pi, np.pi), rng.uniform(1.2, 1.9)
    radius, wall = rng.uniform(0.11, 0.13), rng.uniform(0.045, 0.06)
    stretch = rng.uniform(0.92, 1.08)
    tissues = np.stack(
        [
            _slice(rng, (y, x), centre, (radius * (1 - 0.13 * z), wall, stretch), (start, width), scar)
            for z in range(count)
        ]
    )
    images = {}
    for modality, levels in CONTRAST.items():
        gain = rng.uniform(350, 500)
        planes = [gain * _noisy(rng, plane) for plane in np.asarray(levels, np.float32)[tissues]]
        images[modality] = np.maximum(np.rint(np.stack(planes)), 1).astype(np.int16)
    return images, tissues


def _slice(
    rng: np.random.Generator,
    grid: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]],
    centre: npt.NDArray[np.float64],
    shape: tuple[float, float, float],
    sector: tuple[float, float],
    scar: bool,
) -> Tissues:
    """One slice: ``grid`` holds rows and columns, ``shape`` the pool's radius, the wall and the stretch."""
    (y, x), (radius, wall, stretch) = grid, shape
    down, right = (y - centre[0]) * stretch, x - centre[1]
    distance, angle = np.hypot(down, right), np.arctan2(down, right)
    wobble = 0.006 * smooth_noise(rng, y.shape, 12)
    pool, outer = distance + wobble < radius, distance + wobble < radius + wall
    tissues = np.zeros(y.shape, np.uint8)
    body = np.hypot((y - 0.44) / 0.40, (x - 0.5) / 0.47) < 1
    tissues[body] = 1
    beside = np.hypot(down / 1.15, right + 0.12) + wobble < radius + 0.6 * wall
    tissues[beside & ~outer] = 4
    tissues[outer] = 2
    deviation = np.abs(np.angle(np.exp(1j * (angle - sector[0]))))
    tissues[outer & (deviation < sector[1] / 2)] = 5
    inner = distance + wobble < radius + 0.62 * wall
    if scar:
        tissues[inner & (deviation < 0.34 * sector[1])] = 6
    tissues[pool] = 3
    return tissues


def _noisy(rng: np.random.Generator, plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """A plane as a scanner shows it: blurred, shaded, with texture and noise."""
    from scipy.ndimage import gaussian_filter

    bias = 1 + 0.1 * smooth_noise(rng, plane.shape, 40)
    texture = 0.03 * smooth_noise(rng, plane.shape, 3) + rng.normal(0, 0.02, plane.shape)
    return np.asarray(gaussian_filter(plane, 0.7) * bias + texture, np.float64)


def _write(path: Path, array: npt.NDArray[np.int16]) -> None:
    write_volume(path, Volume(array, SPACING_MM, (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1)))
