"""The masks that speed/metrics.py measures on: seeded, synthetic, of the shapes that challenges have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def ellipsoid(shape, center, radii, seed, roughness=0.12):
    """A smooth, irregular organ."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    box = tuple(
        slice(max(int(c - 1.5 * r), 0), min(int(c + 1.5 * r) + 1, side))
        for c, r, side in zip(center, radii, shape, strict=True)
    )
    grid = np.ogrid[box]
    distance = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, center, radii, strict=True))
    coarse = ndimage.gaussian_filter(rng.standard_normal([max(3, side // 5) for side in distance.shape]), 1.2)
    factors = [side / small for side, small in zip(distance.shape, coarse.shape, strict=True)]
    mask = np.zeros(shape, np.uint8)
    mask[box] = distance + roughness * ndimage.zoom(coarse / coarse.std(), factors, order=1) < 1
    return mask


def shifted_pair(shape, center, radii, roughness=0.12):
    """A reference and a prediction with Dice around 0.9."""
    moved = [c + 1 for c in center]
    return ellipsoid(shape, center, radii, 1, roughness), ellipsoid(shape, moved, radii, 2, roughness)


CASES: dict[str, tuple[str, tuple[float, ...], Callable[[], tuple[Any, Any]]]] = {
    "brats": (
        "tumour, 155 x 240 x 240", (1.0, 1.0, 1.0),
        lambda: shifted_pair((155, 240, 240), (80, 120, 110), (25, 32, 30)),
    ),
    "liver": (
        "liver, 200 x 512 x 512", (2.5, 0.8, 0.8),
        lambda: shifted_pair((200, 512, 512), (100, 250, 220), (45, 110, 130), 0.06),
    ),
    "gall_bladder": (
        "gall bladder, 200 x 512 x 512", (2.5, 0.8, 0.8),
        lambda: shifted_pair((200, 512, 512), (80, 200, 200), (8, 15, 18)),
    ),
    "patch": (
        "glomeruli patch, 2048 x 2048", (1.0, 1.0),
        lambda: shifted_pair((2048, 2048), (1000, 900), (300, 350), 0.05),
    ),
}  # fmt: skip


ORGANS = (
    ((100, 250, 160), (45, 100, 110)), ((110, 180, 400), (20, 30, 45)), ((60, 330, 190), (25, 26, 24)),
    ((62, 332, 330), (25, 26, 24)), ((140, 150, 260), (18, 40, 36)), ((90, 400, 260), (60, 12, 12)),
    ((85, 120, 250), (8, 15, 18)), ((105, 260, 300), (9, 18, 50)),
)  # fmt: skip


def organ_maps():
    """Two label maps of one CT with eight organs."""
    maps = []
    for shift in (0, 1):
        labels = np.zeros((200, 512, 512), np.uint8)
        for label, (center, radii) in enumerate(ORGANS, 1):
            organ = ellipsoid(labels.shape, [c + shift for c in center], radii, label + 10 * shift)
            labels[organ > 0] = label
        maps.append(labels)
    return maps


SCAN, SCAN_SPACING = (200, 512, 512), (2.5, 0.8, 0.8)


def scan_pairs():
    """Name -> what makes large pairs of one CT: liver, rough liver, lobe missed, far blob, specks, body."""

    def liver(seed, moved=0, roughness=0.06):
        return ellipsoid(SCAN, (100 + moved, 250 + moved, 220 + moved), (45, 110, 130), seed, roughness)

    def without_lobe():
        mask = liver(2, 1)
        mask[:, :, :180] = 0
        return mask

    def with_blob():
        return liver(2, 1) | ellipsoid(SCAN, (160, 420, 430), (12, 25, 25), 5)

    def with_specks():
        mask = liver(2, 1)
        mask[tuple(np.random.default_rng(7).integers(0, SCAN, (3000, 3)).T)] = 1
        return mask

    def body(seed, moved):
        return ellipsoid(SCAN, (100, 256 + moved, 256 + moved), (140, 180, 235), seed, 0.03)

    return {
        "liver": lambda: (liver(1), liver(2, 1)),
        "liver, rough": lambda: (liver(1, 0, 0.25), liver(2, 1, 0.25)),
        "liver, a lobe missed": lambda: (liver(1), without_lobe()),
        "liver, a far blob": lambda: (liver(1), with_blob()),
        "liver, 3,000 specks": lambda: (liver(1), with_specks()),
        "whole body": lambda: (body(3, 0), body(4, 1)),
    }


def many_labels():
    """Two label maps of 300 x 320 x 320 with 117 structures."""
    rng = np.random.default_rng(0)
    maps = [np.zeros((300, 320, 320), np.uint8) for _ in range(2)]
    for label in range(1, 118):
        center, radii = rng.uniform((20, 30, 30), (280, 290, 290)), rng.uniform(6, 26, 3)
        for number, labels in enumerate(maps):
            at = center + number * rng.uniform(-1, 1, 3)
            labels[ellipsoid(labels.shape, at, radii, 2 * label + number) > 0] = label
    return maps


def frame_pairs(n: int) -> tuple[list[Any], list[Any]]:
    """Frames of 256 x 256 with a symphysis and a head, Dice around 0.9."""
    references, predictions = [], []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        center = rng.uniform(-6, 6, 2)
        pair = []
        for shift in (0, 1):
            frame = np.zeros((256, 256), np.uint8)
            at = center + shift * rng.uniform(-2, 2, 2)
            frame[ellipsoid((256, 256), np.add(at, (50, 105)), (13, 29), 10 * seed + shift, 0.06) > 0] = 1
            frame[
                ellipsoid((256, 256), np.add(at, (135, 140)), (57, 50), 10 * seed + shift + 5, 0.04) > 0
            ] = 2
            pair.append(frame)
        references.append(pair[0])
        predictions.append(pair[1])
    return references, predictions


def worst_pairs():
    """Large, ragged or far surfaces."""
    shape, rng = (120, 150, 150), np.random.default_rng(0)
    grid = np.ogrid[tuple(slice(0, side) for side in shape)]

    def ball(center, radius):
        return sum((axis - c) ** 2 for axis, c in zip(grid, center, strict=True)) < radius**2

    middle = (60, 75, 75)
    return {
        "full volume against a ball": (np.ones(shape, bool), ball(middle, 35)),
        "30 % noise against a ball": (rng.random(shape) < 0.3, ball(middle, 35)),
        "1 % noise against a ball": (rng.random(shape) < 0.01, ball(middle, 35)),
        "concentric balls": (ball(middle, 20), ball(middle, 55)),
        "two far corners": (ball((20, 20, 20), 18), ball((100, 130, 130), 18)),
        "slab against a ball": (np.broadcast_to(grid[0] < 15, shape).copy(), ball(middle, 30)),
    }
