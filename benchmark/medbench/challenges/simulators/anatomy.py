"""Shapes of symphysis and head, and the convex probe that scans them.

Lengths are in units of the image's longer side; x runs to the right and y downwards from the upper left
corner of a square image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

BEAMS, DEPTHS = 192, 352
ANGLES_DEG = (76.0, 149.0)


@dataclass(frozen=True, slots=True)
class Oval:
    """An ellipse, or an egg: centre, semi-axes, angle of the first axis in radians (clockwise on the screen).

    Attributes:
        taper: 0 for an ellipse; above 0 the end in the direction of the first axis is the pointed one.
    """

    x: float
    y: float
    a: float
    b: float
    angle: float
    taper: float = 0.0

    def axes(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Coordinates of points along and across the first axis, in semi-axes."""
        cosine, sine = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        right, down = x - np.float32(self.x), y - np.float32(self.y)
        along = (right * cosine + down * sine) / np.float32(self.a)
        across = (down * cosine - right * sine) / np.float32(self.b)
        crosswise = across * (1 + np.float32(self.taper) * np.clip(along, -1.5, 1.5))
        return along.astype(np.float32, copy=False), crosswise.astype(np.float32, copy=False)

    def level(self, x: Array, y: Array) -> Array:
        """Level of points: below 1 inside, 1 on the outline."""
        return np.hypot(*self.axes(x, y))

    def outline(self, n: int = 180) -> npt.NDArray[np.float64]:
        """Points (x, y) of the outline, ``(n, 2)``."""
        turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
        along = self.a * np.cos(turn)
        across = self.b * np.sin(turn) / (1 + self.taper * np.cos(turn))
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.stack(
            [self.x + along * cosine - across * sine, self.y + along * sine + across * cosine], axis=1
        )

    def moved(self, dx: float, dy: float, turn: float = 0.0, scale: float = 1.0) -> Oval:
        """The shape after a shift, a turn in radians and a change of scale."""
        return replace(
            self,
            x=self.x + dx,
            y=self.y + dy,
            a=self.a * scale,
            b=self.b * scale,
            angle=self.angle + turn,
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """A convex ultrasound probe above the image.

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

    def grid(self) -> tuple[Array, Array, Array]:
        """x, y ``(DEPTHS, BEAMS)`` and radius ``(DEPTHS, 1)`` of every echo."""
        radius = np.linspace(self.near, self.far, DEPTHS, dtype=np.float32)[:, None]
        angle = np.linspace(-self.half_angle, self.half_angle, BEAMS, dtype=np.float32)[None]
        x, y = 0.5 + radius * np.sin(angle), radius * np.cos(angle) - self.apex
        return x.astype(np.float32), y.astype(np.float32), radius

    def conversion(self, height: int, width: int) -> tuple[Array, Array]:
        """Beam and depth index of every pixel, for ``cv2.remap``."""
        x, y = pixel_centres(height, width)
        x, y = x - 0.5, y + self.apex
        beam = (np.arctan2(x, y) / self.half_angle + 1) / 2 * (BEAMS - 1)
        depth = (np.hypot(x, y) - self.near) / (self.far - self.near) * (DEPTHS - 1)
        return beam.astype(np.float32), depth.astype(np.float32)

    def visible_share(self, oval: Oval) -> float:
        """Share of an outline that lies within the sector and a square image."""
        points = oval.outline()
        x, y = (points - (0.5, -self.apex)).T
        radius = np.hypot(x, y)
        visible = (np.abs(np.arctan2(x, y)) < self.half_angle) & (radius > self.near) & (radius < self.far)
        return float((visible & ((points > 0) & (points < 1)).all(axis=1)).mean())


def progression_angle(symphysis: Oval, head: Oval) -> float | None:
    """Angle of progression in degrees, or ``None`` when the head surrounds the symphysis' end."""
    axis = np.array([np.cos(symphysis.angle), np.sin(symphysis.angle)]) * symphysis.a
    end = np.array([symphysis.x, symphysis.y]) + axis
    x, y = end.astype(np.float32).reshape(2, 1)
    if head.level(x, y).item() <= 1.05:
        return None
    rays = head.outline() - end
    start = np.arctan2(-axis[1], -axis[0])
    return float(np.degrees(((start - np.arctan2(rays[:, 1], rays[:, 0])) % (2 * np.pi)).max()))


def draw_anatomy(rng: np.random.Generator, probe: Probe) -> tuple[Oval, Oval]:
    """A symphysis and a head below it, apart and in the probe's view.

    The angle of progression is drawn first, evenly between 76 and 149 degrees, and the head is laid against
    that tangent.
    """
    while True:
        target = rng.uniform(*ANGLES_DEG)
        for _ in range(60):
            symphysis, head = _against_tangent(rng, np.radians(target))
            angle = progression_angle(symphysis, head)
            if angle is None or abs(angle - target) > 4 or not ANGLES_DEG[0] < angle < ANGLES_DEG[1]:
                continue
            gap = symphysis.level(*head.outline().T.astype(np.float32)).min()
            apart = head.level(*symphysis.outline().T.astype(np.float32)).min()
            if (
                min(gap, apart) > 1.08
                and probe.visible_share(symphysis) == 1
                and probe.visible_share(head) > 0.9
            ):
                return symphysis, head


def _against_tangent(rng: np.random.Generator, angle: float) -> tuple[Oval, Oval]:
    symphysis = Oval(
        rng.uniform(0.38, 0.60),
        rng.uniform(0.15, 0.25),
        rng.uniform(0.098, 0.122),
        rng.uniform(0.048, 0.060),
        rng.uniform(-0.2, 0.5),
        rng.uniform(0.0, 0.35),
    )
    a = rng.uniform(0.235, 0.275)
    b = a * rng.uniform(0.76, 0.95)
    turn = rng.uniform(0, np.pi)
    tangent = symphysis.angle + np.pi - angle
    normal = tangent + np.pi / 2
    support = np.hypot(a * np.cos(normal - turn), b * np.sin(normal - turn))
    along = rng.uniform(0.0, 0.45)
    x = symphysis.x + symphysis.a * np.cos(symphysis.angle) + along * np.cos(tangent)
    y = symphysis.y + symphysis.a * np.sin(symphysis.angle) + along * np.sin(tangent)
    head = Oval(
        float(x + support * np.cos(normal)),
        float(y + support * np.sin(normal)),
        a,
        b,
        turn,
        rng.uniform(-0.12, 0.12),
    )
    return symphysis, head


def transperineal_probe(rng: np.random.Generator) -> Probe:
    """A probe held against the perineum, as it differs between machines."""
    near = rng.uniform(0.16, 0.26)
    apex = near * rng.uniform(0.80, 0.98)
    return Probe(apex, near, apex + rng.uniform(0.92, 1.06), rng.uniform(0.52, 0.68))


def pixel_centres(height: int, width: int) -> tuple[Array, Array]:
    """x and y of every pixel, ``(height, width)`` each; the shorter side of an image is centred."""
    side = max(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return (x + 0.5 - width / 2) / side + 0.5, (y + 0.5) / side
