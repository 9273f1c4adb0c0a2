"""Area-weighted surface elements: what DeepMind's ``surface-distance`` calls surfels.

A point sits on every corner of the voxel lattice whose neighbours (2x2 pixels, 2x2x2 voxels) are not all
alike; its weight is the length or area of the piece of boundary that marching squares or cubes puts
there. BraTS 2023 computes its Hausdorff distances on these points
(rachitsaluja/BraTS-2023-Metrics@43c9052).

The pieces of the 256 neighbourhoods follow from 14 of them by turning, mirroring and swapping inside and
outside; the 14 are listed as area vectors at unit spacing, in eighths (google-deepmind/surface-distance,
table of normals, Apache-2.0).
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from medbench.metrics.arrays import Mask, Spacing

Floats = npt.NDArray[np.float64]
_WEIGHTS = np.array([[[128, 64], [32, 16]], [[8, 4], [2, 1]]])
_Vectors = tuple[tuple[int, int, int], ...]
_PIECES: dict[int, _Vectors] = {
    1: ((1, 1, 1),),
    3: ((2, 2, 0), (2, 2, 0)),
    6: ((1, 1, 1), (1, 1, 1)),
    7: ((1, 1, 1), (2, 2, 2), (4, 0, 0)),
    15: ((4, 0, 0), (4, 0, 0)),
    22: ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    23: ((1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2)),
    24: ((1, 1, 1), (1, 1, 1)),
    25: ((0, 2, 2), (0, 2, 2), (1, 1, 1)),
    27: ((0, 2, 2), (1, 1, 1), (2, 0, 2), (3, 3, 3)),
    30: ((1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 0, 0)),
    60: ((2, 2, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0)),
    105: ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
}


@lru_cache(maxsize=1)
def _all_pieces() -> dict[int, _Vectors]:
    """Area vectors of every neighbourhood code, by symmetry."""
    table: dict[int, _Vectors] = {}
    for code, vectors in _PIECES.items():
        inside = (_WEIGHTS & code) > 0
        for order in itertools.permutations(range(3)):
            permutation = inside.transpose(order)
            pieces = tuple(tuple(vector[axis] for axis in order) for vector in vectors)
            for flips in itertools.product((False, True), repeat=3):
                reflection = np.flip(permutation, tuple(axis for axis in range(3) if flips[axis]))
                own = int(_WEIGHTS[reflection].sum())
                table[own] = table[255 - own] = pieces  # type: ignore[assignment]
    return table


def _areas(spacing: Spacing) -> Floats:
    scale = np.array([spacing[1] * spacing[2], spacing[0] * spacing[2], spacing[0] * spacing[1]])
    areas = np.zeros(256)
    for code, vectors in _all_pieces().items():
        areas[code] = np.linalg.norm(np.array(vectors) / 8 * scale, axis=1).sum()
    return areas


def _lengths(spacing: Spacing) -> Floats:
    """Contour length of the 16 codes of 2x2 pixels, weights 8 4 / 2 1."""
    first, second = spacing
    diagonal = 0.5 * float(np.hypot(first, second))
    lengths = np.full(16, diagonal)
    lengths[[0, 15]] = 0
    lengths[[0b0011, 0b1100]] = second
    lengths[[0b0101, 0b1010]] = first
    lengths[[0b0110, 0b1001]] = 2 * diagonal
    return lengths


@lru_cache(maxsize=64)
def sizes(spacing: Spacing) -> Floats:
    """Length (2-D) or area (3-D) of the boundary in each neighbourhood code, at the given spacing."""
    return _areas(spacing) if len(spacing) == 3 else _lengths(spacing)


def neighbour_codes(mask: Mask) -> npt.NDArray[np.uint8]:
    """Code of the 2x2 or 2x2x2 neighbours around each inner corner; one element less along every axis.

    Args:
        mask: 2-D or 3-D, with a layer of zeros around the object.
    """
    ndim = mask.ndim
    codes = np.zeros([side - 1 for side in mask.shape], np.uint8)
    weight = 1 << (2**ndim - 1)
    for corner in itertools.product((0, 1), repeat=ndim):
        window = tuple(slice(step, step + side) for step, side in zip(corner, codes.shape, strict=True))
        codes |= np.multiply(mask[window], weight, dtype=np.uint8)
        weight >>= 1
    return codes
