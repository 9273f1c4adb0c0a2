"""Simulated echoes of an anatomy on the grid of a convex probe, and the scan conversion into an image.

Echo strengths in dB are set on the probe's own grid of beams and depths, where attenuation, shadows behind
bone and speckle arise, and are then scan-converted into the image. It is not a model of acoustics, but what
a network must cope with is there: speckle that widens with depth, a skull line that drops out where the beam
grazes it, shadows, lost contact, reverberation, gain that differs between videos.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.anatomy import BEAMS, DEPTHS, Array, Oval, Probe, pixel_centres

SYMPHYSIS, HEAD = 1, 2


@dataclass(frozen=True, slots=True)
class View:
    """Structures in the plane at one moment; each ``_clarity`` is from 0 (absent) to 1 (clear)."""

    symphysis: Oval
    head: Oval
    symphysis_clarity: float = 1.0
    head_clarity: float = 1.0
    void_clarity: float = 0.0
    smear: float = 1.0
    drift: tuple[float, float] = (0.0, 0.0)
    gain_db: float = 0.0


class Scene:
    """The constant parts of a clip, and the state of its speckle.

    Args:
        rng: source of everything random.
        height: of the image in pixels.
        width: of the image in pixels.
        probe: the probe that scans the anatomy.
    """

    def __init__(self, rng: np.random.Generator, height: int, width: int, probe: Probe) -> None:
        self.rng, self.probe, self.shape = rng, probe, (height, width)
        self.x, self.y, self.radius = probe.grid()
        self.step = np.float32((probe.far - probe.near) / (DEPTHS - 1))
        self.beam, self.depth = probe.conversion(height, width)
        self.gain_db, self.range_db = rng.uniform(-5, 5), rng.uniform(44, 58)
        self.smoothness, self.noise_db = rng.uniform(0.42, 0.72), rng.uniform(-34, -23)
        self.skull_db, self.far_wall_db = rng.uniform(19, 28), rng.uniform(16, 32)
        self.skull_width, self.skull_loss_db = rng.uniform(0.007, 0.011), rng.uniform(1.5, 6.5)
        self.head_db, self.brain_db = rng.uniform(7, 15), rng.uniform(2.5, 5)
        self.capsule_db, self.symphysis_db = rng.uniform(15, 22), rng.uniform(9, 15)
        self.symphysis_loss_db, self.core_db = rng.uniform(2, 9), rng.uniform(2, 17)
        self.transthalamic = False
        self.void = Oval(rng.uniform(0.3, 0.7), rng.uniform(0.4, 0.75), rng.uniform(0.2, 0.32), 0, 0)
        self.void = replace(
            self.void, b=self.void.a * rng.uniform(0.55, 0.9), angle=rng.uniform(0, np.pi), taper=0.3
        )
        self.void_db = rng.uniform(10, 24)
        self.dropout = {part: self._around() for part in ("skull", "capsule")}
        self.strokes = [
            (*rng.uniform(-0.6, 0.6, 2), rng.uniform(0.05, 0.25), rng.uniform(9, 20), rng.uniform(-1, 1))
            for _ in range(rng.integers(1, 6))
        ]
        self.brain = self._texture((26, 10))
        self.tissue = self._tissue()
        self.fixed = self._fixed()
        self.speckle = self._speckle()

    def _texture(self, scale: tuple[int, int]) -> Array:
        """``(DEPTHS, BEAMS)`` smooth noise of unit deviation; ``scale`` in depths and beams."""
        import cv2

        small = self.rng.standard_normal((max(3, DEPTHS // scale[0] + 3), max(3, BEAMS // scale[1] + 3)))
        large = cv2.resize(small.astype(np.float32), (BEAMS, DEPTHS), interpolation=cv2.INTER_CUBIC)
        return (large / max(float(large.std()), 1e-6)).astype(np.float32)

    def _around(self) -> Array:
        """Periodic smooth noise of 512 values, one for each direction from a shape's centre."""
        waves = np.arange(1, 12)
        turn = np.linspace(0, 2 * np.pi, 512, endpoint=False)[:, None]
        noise = np.cos(waves * turn + self.rng.uniform(0, 2 * np.pi, 11)) @ (self.rng.normal(0, 1, 11))
        array: npt.NDArray[np.float32] = (noise / noise.std()).astype(np.float32)
        return array

    def _tissue(self) -> Array:
        """Echo level of the tissue, which moves with the anatomy: patches, fasciae, strong reflectors."""
        rng, reach = self.rng, self.probe.far - self.probe.near
        level = 2.6 * self._texture((14, 7)) + 2.6 * self._texture((40, 24)) + 3.4 * self._texture((130, 60))
        bend = self._texture((DEPTHS, 30))[:1]
        for _ in range(rng.integers(3, 7)):
            place = self.probe.near + rng.uniform(0.02, 0.26) * reach + rng.uniform(0.003, 0.012) * bend
            line = np.exp(-(((self.radius - place) / rng.uniform(0.003, 0.009)) ** 2))
            level += line * rng.uniform(4, 13) * np.clip(0.4 + self._texture((DEPTHS, 22))[:1], 0, 1.6)
        for _ in range(rng.integers(3, 10)):
            beam, depth = rng.uniform(0, BEAMS), DEPTHS * rng.uniform(0.2, 0.95)
            long, thick, tilt = rng.uniform(4, 22), rng.uniform(2.5, 9), rng.uniform(-0.8, 0.8)
            beams = np.arange(BEAMS, dtype=np.float32)[None] - beam
            depths = np.arange(DEPTHS, dtype=np.float32)[:, None] - depth - tilt * beams
            patch = np.exp(-((beams / long) ** 2) - (depths / thick) ** 2)
            level += rng.uniform(6, 17) * patch * (1 + 0.4 * self._texture((6, 5)))
        array: npt.NDArray[np.float32] = level.astype(np.float32)
        return array

    def _fixed(self) -> Array:
        """Echo level that the probe causes: skin line, reverberation, lost contact, depth gain."""
        rng, below = self.rng, self.radius - self.probe.near
        reach = self.probe.far - self.probe.near
        beams = np.linspace(-1, 1, BEAMS, dtype=np.float32)[None]
        level = 14 * np.exp(-((below / 0.010) ** 2)) - 4.0
        spacing = rng.uniform(0.022, 0.045)
        for order in range(1, rng.integers(2, 6)):
            line = np.exp(-(((below - order * spacing) / 0.006) ** 2))
            level = level + rng.uniform(5, 10) * 0.75**order * line * np.clip(
                0.7 + self._texture((400, 30)), 0, 2
            )
        level = level + 6 * np.exp(-below / (0.12 * reach))
        level = level + rng.uniform(-11, 0) * below / reach + rng.uniform(-5, 0) * (below / reach) ** 3
        focus = rng.uniform(0.3, 0.7)
        level = level + rng.uniform(0, 4) * np.exp(-(((below / reach - focus) / 0.2) ** 2))
        contact_loss = _sigmoid(
            (rng.choice([-1, 1]) * beams - rng.uniform(0.35, 1.2)) / rng.uniform(0.05, 0.15)
        )
        level = level - rng.uniform(6, 26) * contact_loss * np.clip(below / (0.15 * reach), 0.15, 1)
        for _ in range(rng.integers(0, 4)):
            stripe = np.exp(-(((beams - rng.uniform(-0.9, 0.9)) / rng.uniform(0.04, 0.14)) ** 2))
            start = _sigmoid((below / reach - rng.uniform(0.05, 0.3)) / 0.03)
            level = level - rng.uniform(3, 11) * stripe * start
        array: npt.NDArray[np.float32] = (level + 1.5 * self._texture((DEPTHS, 8))[:1]).astype(np.float32)
        return array

    def _speckle(self) -> npt.NDArray[np.complex64]:
        """Fully developed speckle, ``(DEPTHS, BEAMS)``, whose grain widens with depth."""
        import cv2

        deep = np.linspace(0, 1, DEPTHS, dtype=np.float32)[:, None]
        parts = []
        for _ in range(2):
            white = self.rng.standard_normal((DEPTHS, BEAMS), dtype=np.float32)
            fine = cv2.GaussianBlur(white, (0, 0), sigmaX=0.6, sigmaY=0.75)
            coarse = cv2.GaussianBlur(white, (0, 0), sigmaX=1.15, sigmaY=0.9)
            parts.append(fine / fine.std() * (1 - deep) + coarse / coarse.std() * deep)
        array: npt.NDArray[np.complex64] = (parts[0] + 1j * parts[1]).astype(np.complex64)
        return array

    def _carried(self, texture: Array, drift: tuple[float, float]) -> Array:
        """A texture moved by ``drift``, as far as the grid allows."""
        import cv2

        middle = self.probe.near + 0.4 * (self.probe.far - self.probe.near)
        beams = drift[0] / (2 * self.probe.half_angle * middle) * (BEAMS - 1)
        move = np.array([[1, 0, beams], [0, 1, drift[1] / self.step]], np.float32)
        return cv2.warpAffine(texture, move, (BEAMS, DEPTHS), borderMode=cv2.BORDER_REFLECT)  # type: ignore[return-value]

    def _surface(self, oval: Oval) -> tuple[Array, Array, npt.NDArray[np.int32], Array, Array]:
        """Distance to the outline, negative inside; cosine to the beam; direction index; coordinates.

        Coordinates are in semi-axes; the cosine is 1 where a beam meets the outline at a right angle.
        """
        along, across = oval.axes(self.x, self.y)
        level = np.hypot(along, across)
        down = np.gradient(level, self.step, axis=0)
        aside = np.gradient(level, axis=1) * (BEAMS - 1) / (2 * self.probe.half_angle) / self.radius
        slope = np.maximum(np.hypot(down, aside), 1e-3)
        around = (np.arctan2(across, along) * (256 / np.pi)).astype(np.int32) % 512
        return (level - 1) / slope, -down / slope, around, along, across

    def echoes(self, view: View) -> Array:
        """Echo level in dB, ``(DEPTHS, BEAMS)``."""
        import cv2

        level = self._carried(self.tissue, view.drift)
        loss = np.zeros_like(level)
        if view.void_clarity > 0:
            void = self.void.moved(*view.drift).level(self.x, self.y)
            level = level - self.void_db * view.void_clarity * _sigmoid((1 - void) / 0.06)
        if view.head_clarity > 0:
            level = self._head(level, loss, view)
        if view.symphysis_clarity > 0:
            level = self._symphysis(level, loss, view)
        path = np.cumsum(loss, axis=0) * self.step
        level = level - cv2.GaussianBlur(path, (0, 0), sigmaX=2.5, sigmaY=0.5) + self.fixed
        noise = self.noise_db + 10 * (self.radius - self.probe.near)
        array: npt.NDArray[np.float32] = np.logaddexp(level / 4.3429, noise / 4.3429) * 4.3429
        return array

    def _head(self, level: Array, loss: Array, view: View) -> Array:
        distance, facing, around, along, across = self._surface(view.head)
        clarity, width = view.head_clarity, self.skull_width * view.smear
        inside = _sigmoid(-distance / (0.004 * view.smear)) * clarity
        depth_in = np.clip(-distance / 0.12, 0, 1)
        brain = self.brain_db * self._carried(self.brain, view.drift) - self.head_db
        haze = 7 * np.exp(np.minimum(distance, 0) / 0.035) * (facing > 0) * facing
        for place, offset, length, strength, tilt in self.strokes:
            thick = across - offset - tilt * (along - place)
            stroke = ((along - place) / length) ** 2 + (thick / 0.035) ** 2
            brain = brain + strength * np.exp(-stroke) * depth_in
        if self.transthalamic:
            brain = brain + self._midbrain(along, across)
        level = level * (1 - 0.85 * inside) + (brain + haze) * inside
        echo = np.clip(0.98 + 0.34 * self.dropout["skull"][around], 0.12, 1.3)
        near = np.clip(facing, 0, 1) ** 0.8 * self.skull_db
        far = np.clip((-facing - 0.45) / 0.55, 0, 1) * self.far_wall_db
        wall = np.exp(-(((distance + 0.004) / width) ** 2))
        scalp = np.exp(-(((distance - 2.5 * width) / (2 * width)) ** 2)) * np.clip(facing, 0, 1)
        level = level + (wall * echo * (near + far + 2.5) + 3.5 * scalp) * clarity / np.sqrt(view.smear)
        through = self.skull_loss_db / (width * 1.772) / np.clip(np.abs(facing), 0.3, 1)
        loss += wall * through * clarity * np.clip(echo, 0.4, 1.2) * (facing > -0.3)
        return level

    def _midbrain(self, along: Array, across: Array) -> Array:
        """Falx, cavum septi pellucidi and thalami, along the head's first axis."""
        falx = np.exp(-((across / 0.018) ** 2)) * (np.abs(along) < 0.86)
        gaps = np.clip(0.75 + 0.6 * np.sin(9 * along + self.gain_db), 0.1, 1.2)
        cavum = np.hypot((along - 0.42) / 0.13, across / 0.075)
        thalami = np.hypot((along + 0.05) / 0.20, (np.abs(across) - 0.17) / 0.14)
        level = 13 * falx * gaps * (cavum > 1) * (np.abs(along + 0.05) > 0.12)
        array: npt.NDArray[np.float32] = (
            level - 5 * _sigmoid((1 - thalami) / 0.1) + 9 * np.exp(-(((cavum - 1) / 0.25) ** 2))
        )
        return array

    def _symphysis(self, level: Array, loss: Array, view: View) -> Array:
        distance, facing, around, along, across = self._surface(view.symphysis)
        clarity = view.symphysis_clarity
        inside = _sigmoid(-distance / (0.005 * view.smear)) * clarity
        core = np.exp(-((along / 0.6) ** 2) - ((across + 0.1) / 0.22) ** 2) * self.core_db
        core = core * np.clip(0.6 + 0.6 * self.dropout["capsule"][(around * 3) % 512], 0, 1.5)
        body = 0.4 * level - self.symphysis_db + core
        level = level * (1 - 0.9 * inside) + body * 0.9 * inside
        echo = np.clip(1.0 + 0.3 * self.dropout["capsule"][around], 0.25, 1.4)
        capsule = np.exp(-(((distance + 0.004) / (0.0065 * view.smear)) ** 2))
        strength = self.capsule_db * (0.35 + 0.65 * np.abs(facing)) * echo
        loss += inside * self.symphysis_loss_db / (2 * view.symphysis.b)
        array: npt.NDArray[np.float32] = level + capsule * strength * clarity / np.sqrt(view.smear)
        return array

    def frame(self, view: View) -> npt.NDArray[np.uint8]:
        """The next frame, ``(height, width)``, 8-bit grey; every call moves the speckle on."""
        import cv2

        self.speckle = (0.85 * self.speckle + 0.527 * self._speckle()).astype(np.complex64)
        speckle = 20 * self.smoothness * np.log10(np.abs(self.speckle) / 1.25 + 0.05)
        level = self.echoes(view) + speckle + self.gain_db + view.gain_db
        grey = 255 * np.clip(level / self.range_db + 0.50, 0, 1) ** 1.3
        image = cv2.remap(
            grey.astype(np.float32), self.beam, self.depth, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
        return np.rint(image).astype(np.uint8)

    def labels(self, symphysis: Oval | None, head: Oval | None) -> npt.NDArray[np.uint8]:
        """Label map of the structures within the sector, ``(height, width)``."""
        x, y = pixel_centres(*self.shape)
        labels = np.zeros(self.shape, np.uint8)
        for oval, label in ((head, HEAD), (symphysis, SYMPHYSIS)):
            if oval is not None:
                labels[oval.level(x, y) <= 1] = label
        sector = (self.beam >= 0) & (self.beam <= BEAMS - 1) & (self.depth >= 0) & (self.depth <= DEPTHS - 1)
        return labels * sector.astype(np.uint8)


def _sigmoid(x: Array) -> Array:
    array: npt.NDArray[np.float32] = 0.5 * (1 + np.tanh(0.5 * x))
    return array
