"""Random augmentation of patches of volumes, drawn from one generator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Patch = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
PLANES = ((0, 1), (0, 2), (1, 2))


def mirrored(patch: Patch, labels: Labels, rng: np.random.Generator) -> tuple[Patch, Labels]:
    """The patch flipped along each axis with probability one half.

    Args:
        patch: ``(channels, depth, height, width)``.
        labels: ``(depth, height, width)``.
        rng: generator of the choice.
    """
    for axis in range(3):
        if rng.random() < 0.5 and labels.shape[axis] > 1:
            patch, labels = np.flip(patch, axis + 1), np.flip(labels, axis)
    return np.ascontiguousarray(patch), np.ascontiguousarray(labels)


def rotated(
    patch: Patch, labels: Labels, background: Patch, rng: np.random.Generator
) -> tuple[Patch, Labels]:
    """The patch turned by whole degrees from −10 to 9 in a random plane, by nearest neighbours.

    A patch of one plane is turned in it.

    As in Jun-Jie-Shi/PASSION@fd308b5, except for the corners: background in the image and 0 in the labels
    here, −1 there, which as a class index is the last class.

    Args:
        patch: ``(channels, depth, height, width)``.
        labels: ``(depth, height, width)``.
        background: value of each channel outside, ``(channels,)``.
        rng: generator of angle and plane.
    """
    planes = PLANES if labels.shape[0] > 1 else PLANES[-1:]
    first, second = planes[rng.integers(len(planes))]
    angle = np.deg2rad(rng.integers(-10, 10))
    sides = labels.shape[first], labels.shape[second]
    centre = [(side - 1) / 2 for side in sides]
    one, two = np.indices(sides) - np.array(centre)[:, None, None]
    sources = [
        np.rint(place + middle).astype(int)
        for place, middle in zip(
            (np.cos(angle) * one + np.sin(angle) * two, np.cos(angle) * two - np.sin(angle) * one),
            centre,
            strict=True,
        )
    ]
    inside = np.logical_and.reduce(
        [(source >= 0) & (source < side) for source, side in zip(sources, sides, strict=True)]
    )
    rows, columns = (np.clip(source, 0, side - 1) for source, side in zip(sources, sides, strict=True))
    plane_last = np.moveaxis(patch, (first + 1, second + 1), (-2, -1))[..., rows, columns]
    plane_last = np.where(inside, plane_last, background[:, None, None, None])
    labels_last = np.where(inside, np.moveaxis(labels, (first, second), (-2, -1))[..., rows, columns], 0)
    return (
        np.moveaxis(plane_last, (-2, -1), (first + 1, second + 1)),
        np.moveaxis(labels_last, (-2, -1), (first, second)),
    )


def rescaled(patch: Patch, rng: np.random.Generator, *, by_plane: bool) -> Patch:
    """The patch with each channel times 0.9 to 1.1, and with ``by_plane`` shifted by −0.1 to 0.1.

    Args:
        patch: ``(channels, depth, height, width)``.
        rng: generator of factors and shifts.
        by_plane: whether every plane of the first axis has its own factor and shift, as in PASSION.
    """
    shape = (len(patch), patch.shape[1] if by_plane else 1, 1, 1)
    output = patch * rng.uniform(0.9, 1.1, shape).astype(np.float32)
    return output + rng.uniform(-0.1, 0.1, shape).astype(np.float32) if by_plane else output
