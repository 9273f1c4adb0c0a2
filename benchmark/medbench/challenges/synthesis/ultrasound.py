"""A simulator of transperineal intrapartum ultrasound: anatomy seen through a convex probe.

Echo strengths are set on the probe's own grid of beams and depths, where attenuation, shadows behind bone
and speckle arise, and are then scan-converted into the picture. It is not a model of acoustics, but what a
network must cope with is there: speckle that widens with depth, a skull line that drops out where the beam
grazes it, shadows, gain that differs between videos, motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

BEAMS, DEPTHS = 160, 320
SYMPHYSIS, HEAD = 1, 2


@dataclass(frozen=True, slots=True)
class Clip:
    """A drawn video.

    Attributes:
        frames: ``(frames, size, size)``, 8-bit grey.
        labels: ``(frames, size, size)``, 0 background, 1 pubic symphysis, 2 fetal head; they describe what is
            visible in standard-plane frames only.
        standard_plane: ``(frames,)``.
    """

    frames: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    standard_plane: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse in units of the picture's side: centre, semi-axes, angle of the first axis (downwards)."""

    x: float
    y: float
    a: float
    b: float
    angle: float

    def level(self, x: Array, y: Array) -> Array:
        """Below 1 inside, 1 on the outline."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        along = (x - self.x) * cosine + (y - self.y) * sine
        across = (y - self.y) * cosine - (x - self.x) * sine
        return np.sqrt((along / self.a) ** 2 + (across / self.b) ** 2).astype(np.float32)

    def outline(self, n: int = 180) -> npt.NDArray[np.float64]:
        """``(n, 2)`` points (x, y)."""
        turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
        along, across = self.a * np.cos(turn), self.b * np.sin(turn)
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.stack(
            [self.x + along * cosine - across * sine, self.y + along * sine + across * cosine], axis=1
        )

    def moved(self, dx: float, dy: float, turn: float = 0.0, scale: float = 1.0) -> Ellipse:
        """The same ellipse elsewhere."""
        return Ellipse(self.x + dx, self.y + dy, self.a * scale, self.b * scale, self.angle + turn)


@dataclass(frozen=True, slots=True)
class Probe:
    """A convex probe above the picture, in units of the picture's side.

    Attributes:
        apex: height of the virtual apex above the upper edge.
        near: radius of the probe's face.
        far: radius of the deepest echo.
        half_angle: half of the opening in radians.
    """

    apex: float
    near: float
    far: float
    half_angle: float

    def grid(self) -> tuple[Array, Array]:
        """``(DEPTHS, BEAMS)`` x and y of every echo."""
        radius = np.linspace(self.near, self.far, DEPTHS, dtype=np.float32)[:, None]
        angle = np.linspace(-self.half_angle, self.half_angle, BEAMS, dtype=np.float32)[None]
        return 0.5 + radius * np.sin(angle), radius * np.cos(angle) - self.apex

    def conversion(self, height: int, width: int) -> tuple[Array, Array]:
        """For every pixel its beam and depth index, as ``cv2.remap`` wants them."""
        side = max(height, width)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        x = (x + 0.5 - width / 2) / side
        y = (y + 0.5) / side + self.apex
        radius, angle = np.hypot(x, y), np.arctan2(x, y)
        beam = (angle / self.half_angle + 1) / 2 * (BEAMS - 1)
        depth = (radius - self.near) / (self.far - self.near) * (DEPTHS - 1)
        return beam.astype(np.float32), depth.astype(np.float32)

    def share_seen(self, ellipse: Ellipse) -> float:
        """Share of an outline that lies within the sector."""
        x, y = (ellipse.outline() - (0.5, -self.apex)).T
        radius = np.hypot(x, y)
        seen = (np.abs(np.arctan2(x, y)) < self.half_angle) & (radius > self.near) & (radius < self.far)
        return float(seen.mean())


def progression_angle(symphysis: Ellipse, head: Ellipse) -> float | None:
    """Angle of progression in degrees, or ``None`` when the head surrounds the symphysis' end."""
    axis = np.array([np.cos(symphysis.angle), np.sin(symphysis.angle)]) * symphysis.a
    centre = np.array([symphysis.x, symphysis.y])
    end, other = centre + axis, centre - axis
    if head.level(np.float32(end[0]), np.float32(end[1])) <= 1.05:  # type: ignore[arg-type]
        return None
    rays = head.outline() - end
    start = np.arctan2(*(other - end)[::-1])
    return float(np.degrees(((start - np.arctan2(rays[:, 1], rays[:, 0])) % (2 * np.pi)).max()))


def draw_anatomy(rng: np.random.Generator, probe: Probe) -> tuple[Ellipse, Ellipse]:
    """A symphysis and a head below it: apart, in the probe's view, with an angle of 75 to 150 degrees."""
    while True:
        symphysis = Ellipse(
            rng.uniform(0.40, 0.60),
            rng.uniform(0.19, 0.27),
            rng.uniform(0.105, 0.13),
            rng.uniform(0.044, 0.054),
            rng.uniform(-0.15, 0.55),
        )
        head = Ellipse(
            rng.uniform(0.30, 0.60),
            rng.uniform(0.46, 0.66),
            rng.uniform(0.24, 0.28),
            rng.uniform(0.19, 0.22),
            rng.uniform(0.2, np.pi - 0.2),
        )
        angle = progression_angle(symphysis, head)
        gap = symphysis.level(*head.outline().T.astype(np.float32)).min()
        apart = head.level(*symphysis.outline().T.astype(np.float32)).min() > 1.08
        seen = probe.share_seen(symphysis) == 1 and probe.share_seen(head) > 0.85
        if angle is not None and 75 < angle < 150 and apart and gap > 1.1 and seen:
            return symphysis, head


class _Scene:
    """What stays the same over a clip, and the state of its speckle."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.rng = rng
        self.probe = Probe(
            rng.uniform(0.12, 0.24), rng.uniform(0.19, 0.29), rng.uniform(1.04, 1.16), rng.uniform(0.5, 0.64)
        )
        self.x, self.y = self.probe.grid()
        self.beam, self.depth = self.probe.conversion(height, width)
        self.gain_db = rng.uniform(-5, 5)
        self.smoothness = rng.uniform(0.45, 0.85)
        self.range_db = rng.uniform(48, 62)
        self.absorption = rng.uniform(1.2, 2.6)
        self.compensation = rng.uniform(0.35, 0.8)
        self.tissue = self._texture((26, 10)) * 0.55 + self._texture((90, 30)) * 0.35
        self.brain = self._texture((22, 8))
        self.reflectors = self._texture((12, 9))
        self.dropout = self._texture((400, 14))
        self.layers = rng.uniform(0.06, 0.16, 4)
        self.speckle = self._speckle()

    def _texture(self, scale: tuple[int, int]) -> Array:
        import cv2

        small = self.rng.standard_normal((max(3, DEPTHS // scale[0] + 3), max(3, BEAMS // scale[1] + 3)))
        large = cv2.resize(small.astype(np.float32), (BEAMS, DEPTHS), interpolation=cv2.INTER_CUBIC)
        return np.asarray(large / max(float(large.std()), 1e-6), np.float32)

    def _speckle(self) -> npt.NDArray[np.complex64]:
        import cv2

        parts = []
        for _ in range(2):
            white = self.rng.standard_normal((DEPTHS, BEAMS)).astype(np.float32)
            fine = cv2.GaussianBlur(white, (0, 0), sigmaX=0.8, sigmaY=0.9)
            coarse = cv2.GaussianBlur(white, (0, 0), sigmaX=1.5, sigmaY=1.1)
            deep = np.linspace(0, 1, DEPTHS, dtype=np.float32)[:, None]
            parts.append(fine / fine.std() * (1 - deep) + coarse / coarse.std() * deep)
        return (parts[0] + 1j * parts[1]).astype(np.complex64)

    def echoes(self, symphysis: Ellipse, head: Ellipse, seen: tuple[float, float]) -> Array:
        """``(DEPTHS, BEAMS)`` echo amplitude; ``seen`` is how clearly the symphysis and the head show."""
        x, y = self.x, self.y
        radius = np.linspace(self.probe.near, self.probe.far, DEPTHS, dtype=np.float32)[:, None]
        level = -17 + 6.5 * self.tissue
        for index, thickness in enumerate(self.layers):
            place = self.probe.near + 0.02 + 0.045 * index
            level = level + 9 * np.exp(-(((radius - place) / (0.09 * thickness)) ** 2)) * (
                1 + 0.35 * self.tissue
            )
        level = level + 15 * np.exp(-(((radius - self.probe.near) / 0.012) ** 2))
        bone = np.zeros_like(level)

        inside = head.level(x, y)
        depth_in = _sigmoid((1 - inside) / 0.012)
        level = level * (1 - depth_in * seen[1]) + (-30 + 4.5 * self.brain) * depth_in * seen[1]
        facing = self._facing(head)
        near_side = facing > 0
        wall = np.exp(-(((inside - 1) / 0.035) ** 2))
        strength = np.where(near_side, 26 * np.abs(facing) ** 0.7, 13 * np.abs(facing) ** 1.2)
        patchy = np.clip(1.15 + 0.55 * self.dropout, 0, 1.4)
        level = level + wall * strength * patchy * seen[1]
        bone += wall * np.where(near_side, 0.10 + 0.05 * self.dropout, 0.02) * seen[1]
        midline = np.exp(-((self._across(head) / 0.02) ** 2)) * (inside < 0.75)
        level = level + 5 * midline * seen[1]

        level = level + 9 * np.clip(self.reflectors - 1.3, 0, 2.0) * (1 - 0.6 * depth_in)

        oval = symphysis.level(x, y)
        body = _sigmoid((1 - oval) / 0.03)
        level = level * (1 - 0.9 * body * seen[0]) + (-28 + 3 * self.brain) * 0.9 * body * seen[0]
        capsule = np.exp(-(((oval - 1) / 0.10) ** 2))
        level = level + capsule * (15 + 8 * np.abs(self._facing(symphysis))) * seen[0]
        bone += body * 0.035 * seen[0]

        path = np.cumsum(bone, axis=0) + self.absorption * (radius - self.probe.near)
        lost = 8.0 * path - self.compensation * 8.0 * self.absorption * (radius - self.probe.near)
        return level - lost

    def _facing(self, ellipse: Ellipse) -> Array:
        """Cosine between the beam and the outline's inward normal: 1 where the beam hits it squarely."""
        cosine, sine = np.cos(ellipse.angle), np.sin(ellipse.angle)
        along = (self.x - ellipse.x) * cosine + (self.y - ellipse.y) * sine
        across = (self.y - ellipse.y) * cosine - (self.x - ellipse.x) * sine
        normal_along, normal_across = along / ellipse.a**2, across / ellipse.b**2
        normal_x = normal_along * cosine - normal_across * sine
        normal_y = normal_along * sine + normal_across * cosine
        beam_x, beam_y = self.x - 0.5, self.y + self.probe.apex
        length = np.hypot(normal_x, normal_y) * np.hypot(beam_x, beam_y) + 1e-9
        return (-(normal_x * beam_x + normal_y * beam_y) / length).astype(np.float32)

    def _across(self, ellipse: Ellipse) -> Array:
        cosine, sine = np.cos(ellipse.angle), np.sin(ellipse.angle)
        return ((self.y - ellipse.y) * cosine - (self.x - ellipse.x) * sine).astype(np.float32)

    def frame(self, symphysis: Ellipse, head: Ellipse, seen: tuple[float, float]) -> npt.NDArray[np.uint8]:
        """One picture ``(height, width)``; the speckle moves on a little."""
        import cv2

        self.speckle = (0.8 * self.speckle + 0.6 * self._speckle()).astype(np.complex64)
        amplitude = (np.abs(self.speckle) / 1.25) ** self.smoothness
        level = self.echoes(symphysis, head, seen) + 20 * np.log10(amplitude + 0.03) + self.gain_db
        level = np.logaddexp(level / 4, -52 / 4) * 4
        grey = np.clip((level + self.range_db * 0.82) / self.range_db, 0, 1) ** 1.15 * 255
        picture = cv2.remap(
            grey.astype(np.float32), self.beam, self.depth, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
        return np.rint(picture).astype(np.uint8)

    def labels(self, symphysis: Ellipse, head: Ellipse) -> npt.NDArray[np.uint8]:
        """What is drawn, within the sector."""
        height, width = self.beam.shape
        side = max(height, width)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        x, y = (x + 0.5 - width / 2) / side + 0.5, (y + 0.5) / side
        drawn = np.where(head.level(x, y) <= 1, HEAD, 0)
        drawn[symphysis.level(x, y) <= 1] = SYMPHYSIS
        sector = (self.beam >= 0) & (self.beam <= BEAMS - 1) & (self.depth >= 0) & (self.depth <= DEPTHS - 1)
        return (drawn * sector).astype(np.uint8)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def draw_video(
    rng: np.random.Generator,
    *,
    n_frames: int,
    size: int = 512,
    standard_plane: Literal["all", "none", "mixed"] = "all",
) -> Clip:
    """Draw a video.

    A frame is a standard plane when both structures are in it. In a ``none`` clip one of them is missing,
    faint or cut off in every frame; a ``mixed`` clip begins like that and moves into the standard plane,
    where it ends.

    Args:
        rng: source of everything random.
        n_frames: number of frames.
        size: side of the square frames in pixels.
        standard_plane: which frames are standard planes.
    """
    scene = _Scene(rng, size, size)
    symphysis, head = draw_anatomy(rng, scene.probe)
    clarity = _clarity(rng, n_frames, standard_plane)
    faults = rng.permutation(3) if standard_plane == "none" else rng.integers(3, size=1)
    away = rng.choice([-1, 1]) * rng.uniform(0.16, 0.3)
    drift = rng.uniform(-0.04, 0.04, 2)
    base_gain, gain_phase = scene.gain_db, rng.uniform(0, 2 * np.pi)
    descent = rng.uniform(0, 0.012)
    sway = rng.uniform(0, 2 * np.pi, 2)
    frames, labels = [], []
    for index, clear in enumerate(clarity):
        moment = index / max(1, n_frames - 1)
        dx, dy = drift * moment + 0.004 * np.sin(sway + 5 * moment) + rng.normal(0, 0.0012, 2)
        off = 1 - clear
        scene.gain_db = base_gain + 3 * np.sin(gain_phase + 6 * moment)
        shift = off * away * (1 if standard_plane == "mixed" else np.cos(4 * moment))
        fault = faults[int(moment * (len(faults) - 1) + 0.5)]
        bone = symphysis.moved(dx + 0.4 * shift, dy - (0.05 * off if fault == 2 else 0))
        skull = head.moved(
            dx + shift * (fault != 1),
            dy + descent * moment,
            0.06 * moment,
            1 - 0.4 * off * (fault == 1),
        )
        seen = (
            clear if fault != 1 else 0.15 + 0.85 * clear,
            1.0 if fault == 0 else 0.25 + 0.75 * clear,
        )
        frames.append(scene.frame(bone, skull, seen))
        labels.append(scene.labels(bone, skull))
    return Clip(np.stack(frames), np.stack(labels), clarity > 0.5)


def _clarity(
    rng: np.random.Generator, n_frames: int, standard_plane: Literal["all", "none", "mixed"]
) -> npt.NDArray[np.float64]:
    """How much of the standard plane each frame shows, 0 to 1."""
    if standard_plane == "all":
        return np.clip(rng.uniform(0.88, 1) + rng.normal(0, 0.02, n_frames), 0.8, 1)
    if standard_plane == "none":
        return np.clip(rng.uniform(0, 0.2) + rng.normal(0, 0.03, n_frames), 0, 0.25)
    turn = rng.uniform(0.3, 0.55) * n_frames
    ramp = 1 / (1 + np.exp(-(np.arange(n_frames) - turn) / 0.8))
    return np.clip(ramp * 0.94 + 0.04, 0, 1)
