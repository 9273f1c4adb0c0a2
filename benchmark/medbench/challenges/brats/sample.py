"""A synthetic sample of BraTS: skull-stripped heads in four modalities with nested tumour regions.

Tissue contrasts follow what the modalities show: fluid bright in T2, dark in FLAIR; oedema bright in FLAIR;
enhancing tumour bright in contrast T1, necrosis dark. Size is reduced, spacing is 1 mm.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.textures import smooth_noise
from medbench.core.case import Volume
from medbench.io.nifti_mha import write_volume

if TYPE_CHECKING:
    from medbench.challenges.brats.editions import Edition

SEED = 2020
SHAPE = (40, 72, 64)
COUNTS = {"train": 6, "val": 2, "test": 4}
TISSUES = ("white matter", "grey matter", "fluid", "oedema", "necrosis", "enhancing", "cavity")
CONTRAST = {
    "t1n": (0.75, 0.55, 0.20, 0.45, 0.30, 0.50, 0.16),
    "t1c": (0.70, 0.52, 0.20, 0.45, 0.25, 0.98, 0.16),
    "t2w": (0.40, 0.55, 0.98, 0.80, 0.85, 0.60, 1.05),
    "t2f": (0.45, 0.58, 0.15, 0.95, 0.50, 0.70, 0.10),
}

Array = npt.NDArray[np.float32]


def write_sample(root: Path, edition: Edition) -> None:
    """Draw every case with its reference; each depends on the seed and its own number only.

    Args:
        root: folder that gets ``train``, ``val`` and ``test``.
        edition: names of files and labels.
    """
    number = 0
    for split, count in COUNTS.items():
        for _ in range(count):
            number += 1
            case = edition.example.format(number)
            rng = np.random.default_rng([SEED, number])
            images, tissues = draw_head(rng, cavity=_fluid_label(edition) > 0)
            folder = root / split / case
            for modality, suffix in edition.suffixes.items():
                _write(folder / f"{case}{edition.separator}{suffix}.nii.gz", images[modality])
            _write(folder / f"{case}{edition.separator}{edition.reference}.nii.gz", _labels(tissues, edition))


def draw_head(
    rng: np.random.Generator, *, cavity: bool = False
) -> tuple[dict[str, npt.NDArray[np.int16]], npt.NDArray[np.int8]]:
    """Four modalities ``(z, y, x)`` and the tissue of every voxel, an index into :data:`TISSUES` or −1.

    Args:
        rng: generator of all random numbers.
        cavity: whether to draw fluid beside the tumour's core, of a resection cavity or a cyst.
    """
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in SHAPE), indexing="ij")
    radii = rng.uniform(0.82, 0.95, 3)
    brain = (z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2 + 0.08 * smooth_noise(
        rng, SHAPE, 6
    ) < 1
    tissue = np.where(smooth_noise(rng, SHAPE, 3.5) > 0.2, 1, 0)
    ventricle = np.hypot((np.abs(x) - 0.16) / 0.10, y / 0.45) + (z / 0.4) ** 2 < 1
    tissue[ventricle] = 2
    centre = rng.uniform(-0.4, 0.4, 3)
    reach = rng.uniform(0.34, 0.5)
    distance = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) / reach
    distance = distance + 0.12 * smooth_noise(rng, SHAPE, 4)
    for label, limit in ((3, 1.0), (5, 0.62), (4, 0.36)):
        tissue[distance < limit] = label
    if cavity:
        beside = [at + 0.45 * reach * (-1 if at > 0 else 1) for at in centre]
        away = np.sqrt((z - beside[0]) ** 2 + (y - beside[1]) ** 2 + (x - beside[2]) ** 2) / reach
        tissue[away + 0.06 * smooth_noise(rng, SHAPE, 4) < 0.4] = 6
    tissue[~brain] = -1
    bias = 1 + 0.12 * smooth_noise(rng, SHAPE, 14)
    images = {}
    for modality, levels in CONTRAST.items():
        clean = np.asarray(levels, np.float32)[np.maximum(tissue, 0)]
        clean = (clean * bias * rng.uniform(0.85, 1.15)).astype(np.float32)
        noisy = _blurred(clean, 0.6) + rng.normal(0, 0.035, SHAPE)
        images[modality] = np.where(brain, np.maximum(np.rint(1000 * noisy), 1), 0).astype(np.int16)
    return images, tissue.astype(np.int8)


def _labels(tissue: npt.NDArray[np.int8], edition: Edition) -> npt.NDArray[np.uint8]:
    """Labels of the tissues: those of ET, then of the rest of TC, then of the rest of WT."""
    regions = {name: set(labels) for name, labels in edition.regions.items()}
    table = np.zeros(len(TISSUES) + 1, np.uint8)
    if "GTV" in regions:
        table[[4, 5]] = min(regions["GTV"])
        return table[tissue]
    enhancing = min(regions["ET"])
    necrosis = min(regions["TC"] - regions["ET"])
    oedema = max(regions["WT"] - regions["TC"])
    table[[3, 4, 5]] = oedema, necrosis, enhancing
    table[6] = _fluid_label(edition)
    return table[tissue]


def _fluid_label(edition: Edition) -> int:
    """The label of fluid beside the core: a resection cavity, or the cyst of paediatric tumours; else 0."""
    if "RC" in edition.regions:
        return edition.regions["RC"][0]
    core = sorted(set(edition.regions.get("TC", ())) - set(edition.regions.get("ET", ())))
    return core[1] if len(core) > 1 else 0


def _blurred(array: Array, sigma: float) -> Array:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(array, sigma), np.float32)


def _write(path: Path, array: npt.NDArray[np.generic]) -> None:
    write_volume(path, Volume(array, (1.0, 1.0, 1.0), (0.0, 239.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1)))
