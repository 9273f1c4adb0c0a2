"""A simulator of dermoscopy: a pigmented lesion on skin, with hairs, gel bubbles and the lens's dark rim.

The outline of the mask is the lesion's outline; its edge fades over some pixels, and tones and pigment
networks vary so that no one brightness tells lesion from skin.
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


def draw_image(rng: np.random.Generator, height: int, width: int) -> MaskedImage:
    """A dermoscopic image with the lesion's mask.

    Args:
        rng: source of everything random.
        height: in pixels.
        width: in pixels.
    """
    shape, side = (height, width), min(height, width)
    tone = rng.uniform((1, 0.68, 0.56), (1, 0.82, 0.72))
    skin = (tone * rng.uniform(0.7, 0.98)).astype(np.float32)
    colours = skin + 0.03 * smooth_noise(rng, shape, side / 9)[..., None]
    colours = colours + 0.012 * smooth_noise(rng, shape, max(1.0, side / 250))[..., None]
    reach, radius = _outline(rng, shape)
    inside = reach < 1
    softness = float(rng.uniform(0.03, 0.16))
    cover = 1 / (1 + np.exp(np.clip((reach - 1) / (softness / 2), -30, 30)))
    pigment = _pigment(rng, shape, skin, radius, reach)
    colours = colours * (1 - cover[..., None]) + pigment * cover[..., None]
    colours = colours * (1 - _hairs(rng, shape)[..., None] * np.float32(rng.uniform(0.6, 0.9)))
    colours = _bubbles(rng, colours.astype(np.float32))
    colours *= _lens(rng, shape)[..., None]
    colours += rng.normal(0, 0.008, colours.shape).astype(np.float32)
    return MaskedImage(as_image(colours), inside.astype(np.uint8))


def _outline(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Field, float]:
    height, width = shape
    side = min(shape)
    radius = side * float(rng.uniform(0.14, 0.36))
    centre = (height * rng.uniform(0.42, 0.58), width * rng.uniform(0.42, 0.58))
    radii = (radius * rng.uniform(0.9, 1.25), radius * rng.uniform(0.65, 1.0))
    return blob(rng, shape, centre, radii, rng.uniform(0, np.pi), rng.uniform(0.08, 0.35)), radius


def _pigment(
    rng: np.random.Generator, shape: tuple[int, int], skin: Field, radius: float, reach: Field
) -> Field:
    """Tones of the lesion: one to three browns in patches, a network of lines, a darker or paler centre."""
    depth = rng.uniform(0.3, 0.75)
    brown = skin * np.array([1, 0.85, 0.75], np.float32) * np.float32(1 - depth)
    tones = brown + 0.05 * smooth_noise(rng, shape, radius / 4)[..., None]
    for _ in range(int(rng.integers(0, 3))):
        patch = np.clip(smooth_noise(rng, shape, radius / 3) - 0.6, 0, 1)[..., None]
        other = skin * rng.uniform((0.3, 0.3, 0.3), (0.9, 0.7, 0.8)).astype(np.float32)
        tones = tones * (1 - patch) + other * patch
    mesh = np.abs(smooth_noise(rng, shape, max(1.5, radius / 22)))
    lines = np.exp(-((mesh / 0.25) ** 2)) * np.float32(rng.uniform(0, 0.3))
    centre = np.float32(rng.uniform(-0.15, 0.25)) * np.clip(1 - reach, 0, 1)
    return np.asarray(tones * (1 - lines[..., None]) * (1 - centre[..., None]), np.float32)


def _hairs(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    hairs = np.zeros(shape, np.float32)
    side = max(shape)
    direction = rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(0, 26))):
        start = (rng.uniform(0, shape[1]), rng.uniform(0, shape[0]))
        heading = direction + rng.normal(0, 0.5)
        length = int(side * rng.uniform(0.2, 0.8))
        draw_line(hairs, wandering_line(rng, start, heading, length, 0.012), 1.0, int(rng.integers(1, 4)))
    return np.asarray(cv2.GaussianBlur(hairs, (0, 0), 0.7), np.float32)


def _bubbles(rng: np.random.Generator, colours: Field) -> Field:
    """Bright rings of gel bubbles."""
    height, width = colours.shape[:2]
    rings = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(0, 6))):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.circle(rings, centre, int(rng.integers(3, max(4, height // 20))), 1.0, 2, cv2.LINE_AA)
    bright = cv2.GaussianBlur(rings, (0, 0), 1.2)[..., None] * np.float32(0.5)
    return np.asarray(colours * (1 - bright) + bright, np.float32)


def _lens(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Brightness of the lens: vignetting, and in a third of the images a black rim."""
    rows, columns = grid(*shape)
    height, width = shape
    off_axis = np.hypot(rows - height / 2, columns - width / 2) / (max(shape) / 2)
    light = 1 - np.float32(rng.uniform(0.05, 0.45)) * off_axis**2
    if rng.uniform() < 0.35:
        light = light * np.clip((rng.uniform(0.95, 1.12) - off_axis) * 40, 0.02, 1)
    return np.asarray(light, np.float32)
