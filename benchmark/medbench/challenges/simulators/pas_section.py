"""A simulated PAS-stained kidney section: tubules, glomeruli of four groups, a wavy tissue border.

Drawn at the working level of KPIs 2024 (a glomerulus is about 300 pixels across), strip by strip, so that a
section of any size needs memory for one strip. It looks like the stain, not like any real case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.textures import Field, as_image, blob, smooth_noise

Pixels = npt.NDArray[np.uint8]
RGB = tuple[float, float, float]

TEXTURE_SIDE = 1536
TUBULE_SPACING = 62.0
STAMPS = 10
_ROWS_AT_ONCE = 128
STAMP_SIDE = 400
PITCH = 500
CYTOPLASM: RGB = (0.84, 0.66, 0.78)
LUMEN: RGB = (0.95, 0.92, 0.95)
MEMBRANE: RGB = (0.66, 0.28, 0.56)
NUCLEUS: RGB = (0.38, 0.30, 0.56)
MATRIX: RGB = (0.72, 0.36, 0.62)
SCLEROSIS: RGB = (0.80, 0.50, 0.68)


@dataclass(frozen=True, slots=True)
class Morphology:
    """Shape and colour of the glomeruli of a group.

    Attributes:
        radius: mean radius of the capsule in pixels at the working level, and its spread.
        tuft: radius of the tuft as a share of the capsule's.
        matrix: amount of magenta matrix, 0 to 1.
        sclerosis: share of glomeruli with a solid pale segment.
        nuclei: number of nuclei of a tuft of mean size.
    """

    radius: tuple[float, float]
    tuft: float
    matrix: float
    sclerosis: float
    nuclei: int


MORPHOLOGIES = {
    "56Nx": Morphology((158.0, 20.0), 0.84, 0.45, 0.6, 60),
    "DN": Morphology((150.0, 16.0), 0.93, 0.85, 0.2, 70),
    "NEP25": Morphology((134.0, 20.0), 0.62, 0.60, 0.5, 40),
    "normal": Morphology((132.0, 12.0), 0.88, 0.30, 0.0, 75),
}


@dataclass(frozen=True, slots=True)
class Stamp:
    """A glomerulus: image ``(side, side, 3)`` and mask ``(side, side)``, 0 or 1."""

    image: Pixels
    mask: Pixels


@dataclass(frozen=True, slots=True)
class Placement:
    """Row and column of a stamp's top-left corner, and the index of the stamp."""

    row: int
    column: int
    stamp: int


def draw_glomerulus(rng: np.random.Generator, form: Morphology) -> Stamp:
    """A glomerulus with its capsule; the mask ends at the capsule's outline."""
    side = STAMP_SIDE
    radius = float(np.clip(rng.normal(*form.radius), 90, 0.45 * side))
    aspect, angle = rng.uniform(0.85, 1.0), rng.uniform(0, np.pi)
    shape, centre = (side, side), (side / 2, side / 2)
    capsule = blob(rng, shape, centre, (radius, radius * aspect), angle, 0.03)
    lobes = blob(rng, shape, centre, (radius * form.tuft, radius * aspect * form.tuft), angle, 0.10)
    colours = np.empty((side, side, 3), np.float32)
    colours[:] = LUMEN
    inside = lobes < 1
    texture = smooth_noise(rng, shape, 9.0)
    tuft = np.clip(0.5 + 0.30 * texture + 0.5 * (form.matrix - 0.3), 0, 1)[..., None]
    paint = np.array(CYTOPLASM, np.float32) * (1 - tuft) + np.array(MATRIX, np.float32) * tuft
    loops = (np.abs(smooth_noise(rng, shape, 6.0)) < 0.16)[..., None]
    paint = np.where(loops, np.array(MEMBRANE, np.float32), paint)
    colours[inside] = paint[inside]
    if rng.random() < form.sclerosis:
        heading, reach = rng.uniform(0, 2 * np.pi), radius * form.tuft * 0.55
        spot = (centre[0] + reach * np.sin(heading), centre[1] + reach * np.cos(heading))
        solid = (blob(rng, shape, spot, (radius * 0.38, radius * 0.3), heading, 0.15) < 1) & inside
        colours[solid] = SCLEROSIS
    _nuclei(rng, colours, inside, round(form.nuclei * (radius / form.radius[0]) ** 2))
    colours[np.abs(capsule - 1) * radius < 3.0] = MEMBRANE
    return Stamp(as_image(colours), (capsule < 1).astype(np.uint8))


def _nuclei(rng: np.random.Generator, colours: Field, where: npt.NDArray[np.bool_], count: int) -> None:
    import cv2

    rows, columns = np.nonzero(where)
    if not len(rows):
        return
    for index in rng.integers(0, len(rows), count):
        axes = (int(rng.integers(4, 7)), int(rng.integers(3, 5)))
        place = (int(columns[index]), int(rows[index]))
        cv2.ellipse(colours, place, axes, float(rng.uniform(0, 180)), 0, 360, NUCLEUS, -1, cv2.LINE_AA)


def draw_tubules(rng: np.random.Generator, side: int = TEXTURE_SIDE) -> Pixels:
    """A texture of tubules, ``(side, side, 3)``, that is periodic in both directions.

    Cells of a jittered lattice: magenta membranes between them, cytoplasm with nuclei, pale lumens.
    """
    import cv2
    from scipy.spatial import cKDTree

    half = side // 2
    count = max(3, round(side / TUBULE_SPACING))
    step = half / count
    lattice = np.stack(np.meshgrid(np.arange(count), np.arange(count), indexing="ij"), -1).reshape(-1, 2)
    centres = (lattice + 0.5 + rng.uniform(-0.38, 0.38, lattice.shape)) * step % half
    rows, columns = np.mgrid[:half, :half]
    points = np.stack([rows.ravel(), columns.ravel()], 1).astype(np.float64)
    near, owner = cKDTree(centres, boxsize=half).query(points, k=2, workers=1)
    first, second = near[:, 0].reshape(half, half), near[:, 1].reshape(half, half)
    cell = owner[:, 0].reshape(half, half)
    lumen_radius = rng.uniform(0.12, 0.42, len(centres))[cell] * step
    colours = np.empty((half, half, 3), np.float32)
    colours[:] = CYTOPLASM
    colours *= rng.normal(1, 0.05, len(centres)).astype(np.float32)[cell][..., None]
    colours[first < lumen_radius] = LUMEN
    colours[second - first < 2.4] = MEMBRANE
    for index, centre in enumerate(centres):
        for heading in rng.uniform(0, 2 * np.pi, int(rng.integers(2, 6))):
            reach = step * rng.uniform(0.34, 0.42)
            row, column = centre[0] + reach * np.sin(heading), centre[1] + reach * np.cos(heading)
            inner = 4 < row < half - 4 and 4 < column < half - 4
            if inner and cell[int(row), int(column)] == index:
                cv2.circle(colours, (round(column), round(row)), 2, NUCLEUS, -1, cv2.LINE_AA)
    tile = np.pad(as_image(colours), ((2, 2), (2, 2), (0, 0)), mode="wrap")
    return np.ascontiguousarray(
        cv2.resize(tile, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)[4:-4, 4:-4]
    )


class Section:
    """A kidney section of one group, drawn on demand in strips of rows.

    Args:
        seed: of all random numbers.
        group: one of :data:`MORPHOLOGIES`.
        height: in pixels at the working level.
        width: in pixels at the working level.
        empty: whether to draw tissue without glomeruli.
    """

    def __init__(self, seed: list[int], group: str, height: int, width: int, *, empty: bool = False) -> None:
        rng = np.random.default_rng(seed)
        self.shape = (height, width)
        form = MORPHOLOGIES[group]
        tint = 1 + rng.normal(0, 0.07, 3)
        self.texture = _tinted(draw_tubules(rng, min(TEXTURE_SIDE, -(-max(height, width) // 2) * 2)), tint)
        stamps = [draw_glomerulus(rng, form) for _ in range(STAMPS)]
        self.stamps = [Stamp(_tinted(stamp.image, tint), stamp.mask) for stamp in stamps]
        self.border_step = max(8, max(height, width) // 512)
        coarse = (-(-height // self.border_step) + 1, -(-width // self.border_step) + 1)
        outline = blob(
            rng, coarse, (coarse[0] / 2, coarse[1] / 2), (coarse[1] * 0.47, coarse[0] * 0.47), 0.0, 0.05
        )
        self.outline = outline + 0.006 * smooth_noise(rng, coarse, 2.0)
        self.placements = [] if empty else self._place(rng)

    def _place(self, rng: np.random.Generator) -> list[Placement]:
        """Glomeruli on a jittered lattice about the centre, most of its places within the tissue taken."""
        reach = STAMP_SIDE // 2
        turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        ring = [(reach * np.sin(turn), reach * np.cos(turn)) for turn in turns]
        glomeruli = []
        nodes = [range(-(side // (2 * PITCH)), side // (2 * PITCH) + 1) for side in self.shape]
        for down in nodes[0]:
            for across in nodes[1]:
                shift, has_glomerulus, stamp = (
                    rng.integers(-45, 46, 2),
                    rng.random() < 0.8,
                    int(rng.integers(STAMPS)),
                )
                row = self.shape[0] // 2 + down * PITCH + int(shift[0])
                column = self.shape[1] // 2 + across * PITCH + int(shift[1])
                within = all(self._depth(int(row + y), int(column + x)) < 0.98 for y, x in ring)
                if within and (has_glomerulus or down == across == 0):
                    glomeruli.append(Placement(row - reach, column - reach, stamp))
        return glomeruli

    def _depth(self, row: int, column: int) -> float:
        """Relative radius of a pixel, below 1 within the tissue."""
        if not (0 <= row < self.shape[0] and 0 <= column < self.shape[1]):
            return float("inf")
        return float(self.outline[row // self.border_step, column // self.border_step])

    def tissue(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Mask of the tissue in rows ``start`` to ``stop``."""
        width = self.shape[1]
        low, share = self._between(np.arange(width))
        mask = np.empty((stop - start, width), bool)
        for first in range(start, stop, _ROWS_AT_ONCE):
            last = min(first + _ROWS_AT_ONCE, stop)
            above, below = self._between(np.arange(first, last))
            rows = self.outline[above] * (1 - below[:, None]) + self.outline[above + 1] * below[:, None]
            depth = rows[:, low] * (1 - share) + rows[:, low + 1] * share
            mask[first - start : last - start] = depth < 1
        return mask

    def _between(self, places: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Field]:
        """Index of the last element of the coarse outline before a pixel, and the distance from it."""
        low = places // self.border_step
        return low, (places / self.border_step - low).astype(np.float32)

    def strip(self, start: int, stop: int) -> tuple[Pixels, Pixels]:
        """Pixels ``(rows, width, 3)`` and mask ``(rows, width)``, 0 or 1, of rows ``start`` to ``stop``."""
        side, width = len(self.texture), self.shape[1]
        rows = np.arange(start, stop) % side
        image = np.tile(self.texture[rows], (1, -(-width // side), 1))[:, :width]
        mask = np.zeros((stop - start, width), np.uint8)
        for place in self.placements:
            top, bottom = max(start, place.row), min(stop, place.row + STAMP_SIDE)
            if top >= bottom:
                continue
            stamp, inner = self.stamps[place.stamp], slice(top - place.row, bottom - place.row)
            columns, outer = (
                slice(place.column, place.column + STAMP_SIDE),
                slice(top - start, bottom - start),
            )
            inside = stamp.mask[inner] > 0
            image[outer, columns][inside] = stamp.image[inner][inside]
            mask[outer, columns] |= stamp.mask[inner]
        tissue = self.tissue(start, stop)
        image[~tissue] = 0
        mask[~tissue] = 0
        return image, mask


def enlarged(strip: Pixels, factor: int, grain: Pixels, first_row: int) -> Pixels:
    """A strip at the scan level: pixels repeated, with the scanner's noise on tissue.

    Args:
        strip: ``(rows, width, 3)``.
        factor: 1 or 2.
        grain: ``(side, side)`` from 0 up, repeated over the slide.
        first_row: first row of the strip at the scan level.
    """
    import cv2

    large: Pixels = strip
    if factor > 1:
        large = np.repeat(np.repeat(strip, factor, axis=0), factor, axis=1)
    rows = np.arange(first_row, first_row + len(large)) % len(grain)
    noise = np.tile(grain[rows], (1, -(-large.shape[1] // len(grain))))[:, : large.shape[1]]
    darker: Any = cv2.subtract(large, cv2.merge([noise, noise, noise]))
    return np.asarray(darker)


def draw_grain(rng: np.random.Generator, side: int = 1024) -> Pixels:
    """Fine noise of 0 to 12 grey values, ``(side, side)``."""
    return np.clip(rng.normal(4, 3, (side, side)), 0, 12).astype(np.uint8)


def _tinted(image: Pixels, tint: npt.NDArray[np.float64]) -> Pixels:
    """The image with the stain stronger or weaker in each colour, by a power of the transmitted light."""
    light = np.arange(256)[:, None] / 255
    table = np.rint(255 * light ** tint[None]).astype(np.uint8)
    return np.stack([table[image[..., channel], channel] for channel in range(3)], axis=-1)
