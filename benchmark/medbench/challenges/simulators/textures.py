"""Textures and shapes that several simulators share: smooth noise, blobs, curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MaskedImage:
    """A simulated image with the mask of its structure.

    Attributes:
        image: ``(height, width, 3)``, 8-bit RGB.
        mask: ``(height, width)``, 8 bit, 1 where the structure is.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Field:
    """Gaussian noise smoothed to structures of about ``scale`` elements, zero mean and unit variance.

    Args:
        rng: source of everything random.
        shape: of the field, any number of axes.
        scale: standard deviation of the smoothing in elements.
    """
    from scipy.ndimage import gaussian_filter, zoom

    step = max(1, int(scale / 2))
    coarse = tuple(-(-side // step) + 4 for side in shape)
    field = gaussian_filter(rng.standard_normal(coarse, np.float32), scale / step, mode="reflect")
    if step > 1:
        field = zoom(field, step, order=1)
    field = field[tuple(slice(0, side) for side in shape)]
    spread = float(field.std())
    return np.asarray((field - field.mean()) / (spread or 1.0), np.float32)


def grid(height: int, width: int) -> tuple[Field, Field]:
    """Row and column of every pixel, ``(height, width)`` each."""
    rows, columns = np.mgrid[:height, :width]
    return rows.astype(np.float32), columns.astype(np.float32)


def blob(
    rng: np.random.Generator,
    shape: tuple[int, int],
    centre: tuple[float, float],
    radii: tuple[float, float],
    angle: float,
    roughness: float,
) -> Field:
    """Relative radius of every pixel in an ellipse whose outline waves: below 1 is inside.

    Args:
        rng: source of the waves.
        shape: height and width in pixels.
        centre: row and column of the centre.
        radii: half axes in pixels.
        angle: of the first axis to the columns, in radians.
        roughness: size of the waves as a share of the radius.
    """
    rows, columns = grid(*shape)
    down, across = rows - centre[0], columns - centre[1]
    along = (across * np.cos(angle) + down * np.sin(angle)) / radii[0]
    beside = (down * np.cos(angle) - across * np.sin(angle)) / radii[1]
    direction = np.arctan2(beside, along)
    wave = np.zeros(shape, np.float32)
    for order in range(2, 7):
        amplitude, phase = rng.normal(0, roughness / order), rng.uniform(0, 2 * np.pi)
        wave += np.float32(amplitude) * np.cos(order * direction + np.float32(phase))
    return np.asarray(np.hypot(along, beside) / (1 + wave), np.float32)


def wandering_line(
    rng: np.random.Generator, start: tuple[float, float], heading: float, length: int, bend: float
) -> npt.NDArray[np.float64]:
    """``(length, 2)`` points, x and y, one pixel apart, whose heading drifts by ``bend`` radians a step."""
    turns = np.cumsum(rng.normal(0, bend, length))
    headings = heading + turns
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return np.asarray(start + np.cumsum(steps, axis=0))


def draw_line(canvas: Field, points: npt.NDArray[np.float64], value: float, width: int) -> None:
    """Draw a smooth polyline into ``canvas`` ``(height, width)`` in place, x and y in pixels."""
    import cv2

    subpixels = np.round(points * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(canvas, [subpixels], False, float(value), width, cv2.LINE_AA, shift=4)


def as_image(colours: Field) -> npt.NDArray[np.uint8]:
    """Colours ``(height, width, 3)`` from 0 to 1 as an 8-bit image."""
    return np.clip(np.rint(colours * 255), 0, 255).astype(np.uint8)
