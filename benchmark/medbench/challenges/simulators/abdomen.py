"""A simulator of contrast-enhanced abdominal CT with eight labelled organs.

Organs are rough ellipsoids at their usual places in a body of fat, muscle, spine and ribs; size, place,
attenuation and noise vary between volumes. Unlabelled structures (vena cava, bowel, gas) have attenuations in
the organs' range, so that no threshold segments an organ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.textures import Field, smooth_noise


@dataclass(frozen=True, slots=True)
class Organ:
    """An organ as an ellipsoid, with position, size and attenuation.

    Attributes:
        label: 1 to 8; 0 for what is drawn but not labelled.
        centre_mm: x to the patient's left, y to the back, z upwards, from the middle of the volume.
        radii_mm: along x, y and z.
        hounsfield: least and largest attenuation.
        tilt: shift along y for each mm along x.
    """

    label: int
    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    hounsfield: tuple[float, float]
    tilt: float = 0.0


ORGANS = (
    Organ(0, (20, -62, -45), (55, 22, 25), (20, 60)),
    Organ(0, (-70, -20, -70), (26, 26, 40), (10, 55)),
    Organ(5, (-62, -14, 22), (72, 62, 58), (90, 125)),
    Organ(6, (58, -42, 22), (42, 32, 40), (25, 60)),
    Organ(1, (100, 38, 22), (26, 42, 42), (95, 140)),
    Organ(2, (-62, 58, -12), (27, 29, 50), (140, 210)),
    Organ(3, (62, 58, -4), (27, 29, 50), (140, 210)),
    Organ(4, (-42, -42, -10), (17, 16, 26), (0, 20)),
    Organ(0, (-20, 36, 0), (12, 10, 400), (110, 165)),
    Organ(7, (9, 40, 0), (11, 11, 400), (150, 230)),
    Organ(8, (8, -2, 2), (58, 12, 17), (75, 115), 0.18),
)


@dataclass(frozen=True, slots=True)
class CT:
    """A simulated CT volume with its label map.

    Attributes:
        hounsfield: ``(slices, height, width)`` float32.
        labels: the same shape, 8 bit, 0 to 8.
        spacing_mm: along slices, height and width.
    """

    hounsfield: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]


def draw_ct(rng: np.random.Generator, n_slices: int, size: int) -> CT:
    """Draw a volume of the liver region.

    Args:
        rng: source of everything random.
        n_slices: number of axial slices.
        size: side of the slices in pixels.
    """
    field_mm = rng.uniform(340, 400)
    spacing = (
        float(rng.choice([4.0, 5.0])),
        float(round(field_mm / size, 4)),
        float(round(field_mm / size, 4)),
    )
    shape = (n_slices, size, size)
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True)
    wave = smooth_noise(rng, shape, size / 22)
    body = field_mm / 2 * rng.uniform(0.8, 0.9)
    girth = rng.uniform(0.68, 0.8)
    reach = np.hypot(x / body, y / (body * girth)) * (1 + 0 * z)
    hounsfield = np.full(shape, -1000, np.float32)
    hounsfield[reach < 1] = rng.uniform(-110, -85)
    hounsfield[reach < 0.9 + 0.015 * wave] = rng.uniform(40, 60)
    hounsfield[reach < 0.82 + 0.02 * wave] = rng.uniform(-105, -80)
    labels = np.zeros(shape, np.uint8)
    scale = body / 160
    _add_bones(rng, hounsfield, reach, (x, y, z), scale)
    for organ in ORGANS:
        inside = _inside(rng, organ, (x, y, z), scale, wave)
        hounsfield[inside] = rng.uniform(*organ.hounsfield)
        labels[inside] = organ.label
    gas = (labels == 6) & (y < -52 * scale) & (wave > 0.2)
    hounsfield[gas] = -850
    hounsfield += 9 * smooth_noise(rng, shape, 1.2) + 5 * smooth_noise(rng, shape, 4)
    return CT(_blurred(hounsfield), labels, spacing)


def _inside(
    rng: np.random.Generator, organ: Organ, axes: tuple[Field, Field, Field], scale: float, wave: Field
) -> npt.NDArray[np.bool_]:
    x, y, z = axes
    centre = (np.array(organ.centre_mm) + rng.normal(0, (4, 4, 6))) * scale
    radii = np.array(organ.radii_mm) * rng.uniform(0.85, 1.12, 3) * scale
    across = (x - centre[0]) / radii[0]
    down = (y - centre[1] - organ.tilt * (x - centre[0])) / radii[1]
    up = (z - centre[2]) / radii[2]
    distance = across**2 + down**2 + up**2
    roughness = 0.22 if organ.radii_mm[2] < 100 else 0.04
    return np.asarray(distance < 1 + roughness * np.roll(wave, int(rng.integers(0, 64)), axis=-1))


def _add_bones(
    rng: np.random.Generator,
    hounsfield: Field,
    reach: Field,
    axes: tuple[Field, Field, Field],
    scale: float,
) -> None:
    x, y, z = axes
    vertebra = np.hypot(x / (22 * scale), (y - 70 * scale) / (18 * scale)) * (1 + 0 * z)
    hounsfield[vertebra < 1] = rng.uniform(130, 190)
    hounsfield[(vertebra < 1) & (vertebra > 0.82)] = rng.uniform(350, 600)
    angle = np.arctan2(y, x) * 9 + z / (9 * scale)
    ribs = (reach > 0.83) & (reach < 0.88) & (np.sin(angle) > 0.55) & (y > -60 * scale)
    hounsfield[ribs] = rng.uniform(300, 600)


def _blurred(hounsfield: Field) -> npt.NDArray[np.float32]:
    """The scanner's point spread within slices."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(hounsfield, (0, 0.6, 0.6)), np.float32)
