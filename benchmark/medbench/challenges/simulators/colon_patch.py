"""A simulator of colon stained with haematoxylin and eosin: regular glands, or a tumour's crowded ragged "
"ones."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.textures import Field, as_image, blob, smooth_noise

STROMA, CELLS, LUMEN, NUCLEUS = (0.90, 0.72, 0.82), (0.80, 0.58, 0.76), (0.97, 0.95, 0.97), (0.36, 0.24, 0.52)


def draw_patch(rng: np.random.Generator, tumour: bool, side: int = 256) -> npt.NDArray[np.uint8]:
    """Draw one patch, ``(side, side, 3)``, 8 bit.

    Args:
        rng: source of everything random.
        tumour: whether its glands are a tumour's.
        side: in pixels.
    """
    shape = (side, side)
    colours: Field = np.empty((*shape, 3), np.float32)
    colours[:] = STROMA
    colours += 0.04 * smooth_noise(rng, shape, side / 20)[..., None]
    pitch = side / (rng.uniform(4.6, 5.6) if tumour else rng.uniform(3.4, 4.2))
    rough, jitter = (0.45, 0.25) if tumour else (0.06, 0.10)
    for row in np.arange(pitch / 2, side + pitch / 2, pitch):
        for column in np.arange(pitch / 2, side + pitch / 2, pitch):
            centre = (row + rng.normal(0, jitter) * pitch, column + rng.normal(0, jitter) * pitch)
            radius = pitch * rng.uniform(0.42, 0.58) if tumour else pitch * rng.uniform(0.36, 0.42)
            _gland(rng, colours, centre, (radius, radius * rng.uniform(0.75, 1.0)), rough, tumour)
    _nuclei(rng, colours, np.argwhere(np.ones(shape, bool)), int(side * (0.5 if tumour else 0.35)), 2)
    stain = rng.uniform((0.92, 0.88, 0.92), (1.05, 1.08, 1.05)).astype(np.float32)
    colours = colours * stain + rng.normal(0, 0.012, colours.shape).astype(np.float32)
    return as_image(colours)


def _gland(
    rng: np.random.Generator,
    colours: Field,
    centre: tuple[float, float],
    radii: tuple[float, float],
    rough: float,
    tumour: bool,
) -> None:
    margin = int(2 * max(radii)) + 1
    top, left = (max(0, int(place) - margin) for place in centre)
    window = colours[top : int(centre[0]) + margin, left : int(centre[1]) + margin]
    shape = (window.shape[0], window.shape[1])
    reach = blob(rng, shape, (centre[0] - top, centre[1] - left), radii, rng.uniform(0, np.pi), rough)
    window[reach < 1] = CELLS
    window[reach < (rng.uniform(0.1, 0.4) if tumour else rng.uniform(0.45, 0.6))] = LUMEN
    rim = np.argwhere((reach > (0.55 if tumour else 0.8)) & (reach < 1)) + np.array((top, left))
    _nuclei(rng, colours, rim, len(rim) // (22 if tumour else 34), 3 if tumour else 2)


def _nuclei(
    rng: np.random.Generator, colours: Field, places: npt.NDArray[np.int64], count: int, size: int
) -> None:
    if not len(places):
        return
    for index in rng.integers(0, len(places), count):
        row, column = (int(value) for value in places[index])
        axes = (int(rng.integers(size, size + 2)), int(rng.integers(max(1, size - 1), size + 1)))
        dark = tuple(float(value) * rng.uniform(0.8, 1.15) for value in NUCLEUS)
        cv2.ellipse(colours, (column, row), axes, float(rng.uniform(0, 180)), 0, 360, dark, -1)
