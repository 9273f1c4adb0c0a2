"""A simulator of axial brain MRI: skull, brain with ventricles, and a tumour of one of three kinds or none.

Gliomas are ragged and lie within the brain, meningiomas are smooth and bright and sit on its rim, pituitary
tumours are small, bright and lie low in the middle. Contrast, turn and noise vary, so that no one brightness
tells them.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.textures import Field, blob, smooth_noise

Tumour = Literal["glioma", "meningioma", "notumor", "pituitary"]


def draw_slice(rng: np.random.Generator, tumour: Tumour, side: int = 224) -> npt.NDArray[np.uint8]:
    """Draw one slice, ``(side, side)``, 8 bit.

    Args:
        rng: source of everything random.
        tumour: what it shows.
        side: in pixels.
    """
    shape, turn = (side, side), float(rng.normal(0, 0.12))
    centre = (side * rng.uniform(0.47, 0.53), side * rng.uniform(0.47, 0.53))
    radii = (side * rng.uniform(0.34, 0.38), side * rng.uniform(0.40, 0.45))
    head = blob(rng, shape, centre, (radii[0] * 1.14, radii[1] * 1.1), turn, 0.01)
    brain = blob(rng, shape, centre, radii, turn, 0.015)
    grey = float(rng.uniform(0.32, 0.5))
    image = np.where(head < 1, np.float32(rng.uniform(0.5, 0.85)), np.float32(0.02))
    image = np.where((brain >= 1) & (brain < 1.05), np.float32(0.08), image)
    tissue = grey + 0.05 * smooth_noise(rng, shape, side / 28) + 0.03 * smooth_noise(rng, shape, side / 90)
    image = np.where(brain < 1, tissue, image)
    for sign in (-1, 1):
        place = (centre[0] - side * 0.02, centre[1] + sign * side * 0.055)
        ventricle = blob(rng, shape, place, (side * 0.028, side * 0.10), turn + sign * 0.25, 0.1)
        image = np.where(ventricle < 1, np.float32(0.12), image)
    image = _with_tumour(rng, tumour, image.astype(np.float32), centre, radii, brain)
    image = cv2.GaussianBlur(image, (0, 0), side / 220) * np.float32(rng.uniform(0.85, 1.15))
    image = image + rng.normal(0, rng.uniform(0.01, 0.03), shape)
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _with_tumour(
    rng: np.random.Generator,
    tumour: Tumour,
    image: Field,
    centre: tuple[float, float],
    radii: tuple[float, float],
    brain: Field,
) -> Field:
    if tumour == "notumor":
        return image
    shape, side = (image.shape[0], image.shape[1]), image.shape[0]
    heading = rng.uniform(0, 2 * np.pi)
    if tumour == "glioma":
        place = (
            centre[0] + 0.45 * radii[1] * np.sin(heading),
            centre[1] + 0.5 * radii[0] * np.cos(heading),
        )
        reach = blob(
            rng, shape, place, (side * rng.uniform(0.08, 0.13), side * rng.uniform(0.06, 0.10)), heading, 0.5
        )
        oedema = np.clip(1.7 - reach, 0, 1) * (brain < 1) * np.float32(-0.10)
        core = 0.3 + 0.12 * smooth_noise(rng, shape, side / 40)
        ring = np.exp(-(((reach - 0.9) / 0.12) ** 2)) * np.float32(rng.uniform(0.25, 0.45))
        image = image + oedema
        return np.asarray(np.where((reach < 1) & (brain < 1), core + ring, image), np.float32)
    if tumour == "meningioma":
        place = (
            centre[0] + 0.84 * radii[1] * np.sin(heading),
            centre[1] + 0.82 * radii[0] * np.cos(heading),
        )
        size = side * rng.uniform(0.06, 0.10)
        reach = blob(rng, shape, place, (size, size * rng.uniform(0.85, 1.1)), heading, 0.03)
        bright = np.float32(rng.uniform(0.68, 0.85))
        return np.asarray(np.where((reach < 1) & (brain < 1.04), bright, image), np.float32)
    place = (centre[0] + side * rng.uniform(0.10, 0.16), centre[1] + side * rng.normal(0, 0.01))
    size = side * rng.uniform(0.035, 0.055)
    reach = blob(rng, shape, place, (size, size * rng.uniform(0.9, 1.2)), heading, 0.05)
    return np.asarray(np.where(reach < 1, np.float32(rng.uniform(0.7, 0.9)), image), np.float32)
