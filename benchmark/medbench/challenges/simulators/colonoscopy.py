"""A simulator of colonoscopy: a polyp on mucosa with folds, vessels and specular highlights.

A sequence has one mucosa and one polyp; its frames differ by a slow drift of the camera and of the light, so
that frames of one sequence are near duplicates, as in real videos. The polyp's hue lies in the range of the
mucosa of other sequences; only its dome, surface and rim tell it from mucosa.
"""

from __future__ import annotations

import cv2
import numpy as np

from medbench.challenges.simulators.textures import (
    Field,
    MaskedImage,
    as_image,
    blob,
    draw_line,
    grid,
    smooth_noise,
    wandering_line,
)


class Sequence:
    """The scene of one simulated sequence.

    Args:
        rng: source of everything random.
        height: of the frames in pixels.
        width: of the frames in pixels.
        polyps: number of polyps, which may touch.
    """

    def __init__(
        self, rng: np.random.Generator, height: int = 288, width: int = 384, *, polyps: int = 1
    ) -> None:
        self.height, self.width = height, width
        self.margin = height // 9
        shape = (height + 2 * self.margin, width + 2 * self.margin)
        self.shape = shape
        mucosa = np.array(
            [rng.uniform(0.62, 0.8), rng.uniform(0.3, 0.45), rng.uniform(0.2, 0.36)], np.float32
        )
        relief = smooth_noise(rng, shape, 34) + 0.35 * smooth_noise(rng, shape, 9)
        self.relief = relief + self._folds(rng)
        colour = mucosa + 0.03 * smooth_noise(rng, shape, 20)[..., None]
        vessels = self._vessels(rng)
        self.colour = colour * (1 - vessels[..., None] * np.array([0.2, 0.45, 0.4], np.float32))
        self.colour += 0.012 * smooth_noise(rng, shape, 1.2)[..., None]
        self.inside = np.zeros(shape, np.bool_)
        for _ in range(polyps):
            self._add_polyp(rng, mucosa)
        self.gloss = rng.uniform(0.55, 0.9)
        self.drift = rng.uniform(-1, 1, (2, 2)) * self.margin * 0.45
        self.light = rng.uniform(-0.5, 0.5, 2)

    def _folds(self, rng: np.random.Generator) -> Field:
        folds = np.zeros(self.shape, np.float32)
        side = max(self.shape)
        for _ in range(int(rng.integers(2, 5))):
            start = (rng.uniform(0, self.shape[1]), rng.uniform(0, self.shape[0]))
            line = wandering_line(rng, start, rng.uniform(0, 2 * np.pi), side, 0.015)
            ridge = np.zeros(self.shape, np.float32)
            draw_line(ridge, line, 1.0, int(rng.integers(6, 16)))
            folds += cv2.GaussianBlur(ridge, (0, 0), rng.uniform(5, 9)) * np.float32(rng.uniform(1.0, 2.2))
        return folds

    def _vessels(self, rng: np.random.Generator) -> Field:
        vessels = np.zeros(self.shape, np.float32)
        for _ in range(int(rng.integers(3, 9))):
            start = (rng.uniform(0, self.shape[1]), rng.uniform(0, self.shape[0]))
            heading = rng.uniform(0, 2 * np.pi)
            line = wandering_line(rng, start, heading, int(rng.integers(80, 260)), 0.08)
            draw_line(vessels, line, rng.uniform(0.4, 0.9), int(rng.integers(1, 3)))
            branch = wandering_line(
                rng, tuple(line[len(line) // 2]), heading + rng.choice([-0.8, 0.8]), 90, 0.1
            )
            draw_line(vessels, branch, rng.uniform(0.3, 0.7), 1)
        return np.asarray(cv2.GaussianBlur(vessels, (0, 0), 0.8), np.float32)

    def _add_polyp(self, rng: np.random.Generator, mucosa: Field) -> None:
        height, width = self.shape
        side = min(self.height, self.width)
        radius = side * rng.uniform(0.11, 0.3)
        edge = self.margin * 1.6 + radius * 0.6
        centre = (
            rng.uniform(edge, height - edge),
            rng.uniform(edge, width - edge),
        )
        radii = (radius, radius * rng.uniform(0.6, 1.0))
        reach = blob(rng, self.shape, centre, radii, rng.uniform(0, np.pi), rng.uniform(0.1, 0.35))
        inside = reach < 1
        self.inside |= inside
        dome = np.sqrt(np.clip(1 - reach**2, 0, 1)).astype(np.float32)
        flat = np.where(inside, np.float32(0.25), np.float32(1))
        self.relief = self.relief * flat + dome * np.float32(radius / 5)
        tint = np.array([rng.uniform(0.96, 1.12), rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2)], np.float32)
        skin = mucosa * tint + 0.05 * smooth_noise(rng, self.shape, 4)[..., None]
        cover = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1.2)[..., None]
        self.colour = np.asarray(self.colour * (1 - cover) + skin * cover, np.float32)
        rim = np.exp(-((reach - 1.06) ** 2) / 0.006).astype(np.float32)
        self.colour *= (1 - 0.28 * rim * np.float32(rng.uniform(0.4, 1)))[..., None]

    def frame(self, rng: np.random.Generator, moment: float) -> MaskedImage:
        """A frame with the polyp's mask.

        Args:
            rng: source of the noise of this frame.
            moment: position in the sequence, from 0 to 1.
        """
        shift = self.drift[0] * np.sin(np.pi * moment) + self.drift[1] * moment + rng.normal(0, 0.7, 2)
        down, across = (int(v) for v in np.clip(np.rint(self.margin + shift), 0, 2 * self.margin))
        window = (slice(down, down + self.height), slice(across, across + self.width))
        relief, colour = self.relief[window], self.colour[window]
        slope_down, slope_across = np.gradient(relief)
        light = np.array([*(self.light + rng.normal(0, 0.03, 2)), 1.0])
        light /= np.linalg.norm(light)
        length = np.sqrt(slope_down**2 + slope_across**2 + 0.09)
        shading = (0.3 * light[2] - slope_down * light[0] - slope_across * light[1]) / length
        shading = np.clip(shading, 0.05, None)
        rows, columns = grid(self.height, self.width)
        off_axis = np.hypot(rows / self.height - 0.5, columns / self.width - 0.5)
        lit = colour * (0.35 + 0.75 * shading * np.exp(-1.6 * off_axis**2))[..., None]
        sparkle = 0.15 * smooth_noise(rng, relief.shape, 2.5) + shading
        highlight = np.clip((sparkle - self._brightest(sparkle)) * 9, 0, 1) * self.gloss
        highlight = cv2.GaussianBlur(highlight.astype(np.float32), (0, 0), 1.0)[..., None]
        lit = lit * (1 - highlight) + highlight
        lit += rng.normal(0, 0.012, lit.shape).astype(np.float32)
        lit *= self._aperture(rows, columns)[..., None]
        return MaskedImage(as_image(lit), self.inside[window].astype(np.uint8))

    @staticmethod
    def _brightest(sparkle: Field) -> float:
        return float(np.quantile(sparkle[::4, ::4], 0.988))

    def _aperture(self, rows: Field, columns: Field) -> Field:
        """Brightness of the scope's octagonal field of view: 0 in the corners."""
        corner = np.minimum(rows, self.height - 1 - rows) + np.minimum(columns, self.width - 1 - columns)
        return np.clip((corner - 26) / 3, 0, 1).astype(np.float32)
