"""A simulator of short-axis cine MRI: right ventricle, myocardium and left ventricle in a stack of slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.textures import blob, smooth_noise


@dataclass(frozen=True, slots=True)
class Heart:
    """A drawn stack.

    Attributes:
        image: ``(slices, side, side)`` float32 from 0 to 1.
        labels: the same shape, 8 bit: 1 right ventricle, 2 myocardium, 3 left ventricle.
    """

    image: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]


def draw_heart(rng: np.random.Generator, slices: int, side: int, end_systole: bool) -> Heart:
    """Draw one stack, the base first; the right ventricle ends before the apex.

    Args:
        rng: source of everything random.
        slices: planes.
        side: in pixels.
        end_systole: whether it is the end of systole.
    """
    shape = (side, side)
    centre = (side * rng.uniform(0.46, 0.54), side * rng.uniform(0.50, 0.58))
    radius = side * rng.uniform(0.10, 0.13) * (0.72 if end_systole else 1.0)
    wall = side * rng.uniform(0.035, 0.05) * (1.35 if end_systole else 1.0)
    heading = rng.normal(np.pi, 0.2)
    blood, muscle = rng.uniform(0.7, 0.9), rng.uniform(0.22, 0.38)
    images, labels = [], []
    for index in range(slices):
        narrow = 1 - 0.6 * (index / max(1, slices - 1)) ** 1.5
        cavity = blob(rng, shape, centre, (radius * narrow,) * 2, 0.0, 0.03)
        outer = blob(rng, shape, centre, (radius * narrow + wall,) * 2, 0.0, 0.02)
        away = (radius * narrow + wall) * 1.15
        place = (centre[0] + away * np.sin(heading), centre[1] + away * np.cos(heading))
        right = blob(rng, shape, place, (radius * narrow * 0.75, radius * narrow * 1.35), heading, 0.08)
        plane = np.zeros(shape, np.uint8)
        if index < 0.8 * slices:
            plane[right < 1] = 1
        plane[outer < 1] = 2
        plane[cavity < 1] = 3
        tissue = 0.3 + 0.10 * smooth_noise(rng, shape, side / 10)
        inside = np.select([plane == 2, plane > 0], [np.float32(muscle), np.float32(blood)], tissue)
        tones = inside + 0.03 * smooth_noise(rng, shape, 1.5) + rng.normal(0, 0.015, shape)
        images.append(np.clip(tones, 0, 1).astype(np.float32))
        labels.append(plane)
    return Heart(np.stack(images), np.stack(labels))
