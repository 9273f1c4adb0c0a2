"""Exact distances from the points of one set to the nearest point of another, on a grid with spacing.

Four ways lead to the same numbers, and each is taken where it is the cheapest:

1. *Shells*: predictions lie close to references, so most points have their nearest neighbour within a few
   voxels. The offsets around a voxel are tried by rising distance, all points at once.
2. *KD-tree* for the points that are left: ``scipy.spatial.cKDTree``, or for many of them ``pykdtree`` where
   the extra ``fast`` is installed.
3. *Distance transform* (``scipy.ndimage.distance_transform_edt``, its feature form) of the box, when a sample
   of points shows that the tree would visit too many candidates: large, ragged or far surfaces. With unit
   spacing and the ``edt`` package installed, its squared distances are whole numbers and it is taken instead.
4. *Minima axis by axis* (:mod:`medbench.metrics.masks.separable_distances`), at the rows of the points alone,
   where that is less work than the whole box.

Whatever way finds the neighbour, the distance is computed from the whole-number offset between the two
voxels, so the four agree with one another and with a distance transform of the whole image: to the bit for
unit spacing, and otherwise but for the rounding of neighbours that are equally near.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.metrics.arrays import Mask, Spacing
from medbench.metrics.masks.separable_distances import estimated_seconds, nearest_by_axes, whole_squares

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

MARGIN = 3
_SHELL_OFFSETS = 130
_TREE_QUERY_S = 1.0e-6
_TREE_START_S = 5e-7
_TREE_WORST_QUERY_S = 5e-5
_TREE_LEAF_S = 1.4e-7
_TREE_BUILD_S = 1.2e-7
_TREE_MANY_QUERIES = 2000
_LEAF = 16
_TRANSFORM_S = 7e-8
_EDT_S = 5e-8
_LOOKUP_S = 4e-9
_SAMPLE = 8


@lru_cache(maxsize=64)
def shells(spacing: Spacing) -> tuple[tuple[float, npt.NDArray[np.intp]], ...]:
    """Offsets within the margin by rising distance: ``(distance, offsets of shape (n, ndim))``.

    Only whole shells are listed: no offset outside the list is nearer than the last one inside.
    """
    axes = [np.arange(-MARGIN, MARGIN + 1)] * len(spacing)
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(spacing))
    distances = lengths(offsets, spacing)
    reach = (MARGIN + 1) * min(spacing)
    order = np.argsort(distances, kind="stable")
    order = order[(distances[order] > 0) & (distances[order] < reach)]
    groups = []
    total = 0
    starts = np.flatnonzero(np.diff(distances[order], prepend=-1.0))
    for begin, end in zip(starts, [*starts[1:], len(order)], strict=True):
        total += end - begin
        if total > _SHELL_OFFSETS:
            break
        groups.append((float(distances[order[begin]]), offsets[order[begin:end]]))
    return tuple(groups)


def lengths(offsets: npt.NDArray[np.integer], spacing: Spacing) -> Floats:
    """Euclidean lengths of integer offsets of shape ``(n, ndim)``, summed in the order of the axes."""
    squares = np.zeros(len(offsets))
    for axis, step in enumerate(spacing):
        along = offsets[:, axis] * step
        squares += along * along
    return np.sqrt(squares)


def nearest_distances(points: Indices, target: Mask, spacing: Spacing) -> Floats:
    """Distance of each point to the nearest true element of ``target``.

    Args:
        points: flat indices into ``target``, at least :data:`MARGIN` away from every face.
        target: boolean grid, C-contiguous, with at least one true element.
        spacing: step along each axis.
    """
    flat = target.reshape(-1)
    distances = np.zeros(len(points))
    waiting = np.flatnonzero(~flat[points])
    strides = np.array(target.strides)
    reach = MARGIN * int(strides.sum())
    corners = points[waiting] - reach
    n_target: int | None = None
    for distance, offsets in shells(spacing):
        if not len(corners):
            return distances
        first, *others = (offsets @ strides + reach).tolist()
        hit = flat[first:].take(corners)
        for step in others:
            hit |= flat[step:].take(corners)
        distances[waiting[hit]] = distance
        misses = ~hit
        n_hits = len(corners)
        waiting, corners = waiting[misses], corners[misses]
        n_hits -= len(corners)
        n_target = int(np.count_nonzero(flat)) if n_target is None else n_target
        saving_s = n_hits * _TREE_QUERY_S + (n_target * _TREE_BUILD_S if len(corners) < n_hits else 0)
        if saving_s < len(offsets) * len(corners) * _LOOKUP_S:
            break
    if len(corners):
        distances[waiting] = _beyond_shells(corners + reach, target, spacing)
    return distances


def _coordinates(flat: Indices, shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """As ``np.unravel_index``; 32-bit divisions by one number are vectorised, and several times faster."""
    coordinates = np.empty((len(shape), len(flat)), np.int32)
    remainder = flat.astype(np.int32) if math.prod(shape) < 1 << 31 else flat
    for axis in range(len(shape) - 1, 0, -1):
        lines = remainder // shape[axis]
        np.subtract(remainder, lines * shape[axis], out=coordinates[axis], casting="same_kind")
        remainder = lines
    coordinates[0] = remainder
    return coordinates.T


def _beyond_shells(points: Indices, target: Mask, spacing: Spacing) -> Floats:
    query = _coordinates(points, target.shape)
    candidates = _coordinates(np.flatnonzero(target), target.shape)
    whole = whole_squares(target.shape, spacing)
    bound_s = target.size * (_EDT_S if whole and _has_edt(target.ndim) else _TRANSFORM_S)
    build_s = len(candidates) * _TREE_BUILD_S
    steps = np.array(spacing)
    if build_s + len(query) * _TREE_WORST_QUERY_S <= bound_s:
        return _by_tree(None, query, candidates, spacing)

    dense_s = estimated_seconds(query, candidates, whole)
    dense = dense_s < bound_s
    bound_s = min(bound_s, dense_s)
    if build_s + len(query) * _TREE_QUERY_S <= bound_s:
        tree = _tree(candidates * steps)
        leaves_paid_for = (bound_s / len(query) - _TREE_START_S) / _TREE_LEAF_S
        if not _visits_more_leaves(tree, query[:: max(1, len(query) // _SAMPLE)] * steps, leaves_paid_for):
            if _takes_fast_tree(query):
                tree = None
            return _by_tree(tree, query, candidates, spacing)
    return (
        nearest_by_axes(query, candidates, target, spacing)
        if dense
        else _by_transform(query, target, spacing)
    )


def _tree(positions: Floats) -> Any:
    from scipy.spatial import cKDTree

    return cKDTree(positions, leafsize=48, balanced_tree=False, compact_nodes=False)


def _takes_fast_tree(query: npt.NDArray[np.int32]) -> bool:
    return len(query) >= _TREE_MANY_QUERIES and _pykdtree() is not None


def _by_tree(
    tree: Any, query: npt.NDArray[np.int32], candidates: npt.NDArray[np.int32], spacing: Spacing
) -> Floats:
    steps = np.array(spacing)
    if _takes_fast_tree(query):
        neighbours = _pykdtree()(candidates * steps, leafsize=_LEAF).query(query * steps)[1]
    else:
        tree = tree or _tree(candidates * steps)
        threads = min(4, os.cpu_count() or 1) if len(query) >= _TREE_MANY_QUERIES else 1
        neighbours = tree.query(query * steps, workers=threads)[1]
    return lengths(candidates[neighbours] - query, spacing)


def _visits_more_leaves(tree: Any, sample: Floats, limit: float) -> bool:
    """Whether the sampled queries look through more than ``limit`` leaves of the tree on average."""
    budget = limit * len(sample)
    for point, reach in zip(sample, tree.query(sample)[0].tolist(), strict=True):
        budget -= _leaves_visited(tree, point, reach, budget)
        if budget < 0:
            return True
    return False


def _leaves_visited(tree: Any, point: Floats, reach: float, most: float) -> int:
    """How many leaves of the tree lie nearer to ``point`` than ``reach``; counting ends just above ``most``.

    A query has to look through all of them. A tree prunes badly where many candidates are about equally far
    (a ball inside a shell). Counting tells so without a clock, and the way taken never depends on how busy
    the machine is.
    """
    count = 0
    limit = reach * reach
    outside = np.maximum(np.maximum(tree.mins - point, point - tree.maxes), 0) ** 2
    waiting = [(tree.tree, float(outside.sum()), tuple(outside.tolist()))]
    while waiting and count <= most:
        node, square, sides = waiting.pop()
        if node.split_dim < 0:
            count += 1
            continue
        axis = node.split_dim
        beyond = float(point[axis]) - node.split
        near, far = (node.lesser, node.greater) if beyond < 0 else (node.greater, node.lesser)
        waiting.append((near, square, sides))
        across = square - sides[axis] + beyond * beyond
        if across < limit:
            waiting.append((far, across, (*sides[:axis], beyond * beyond, *sides[axis + 1 :])))
    return count


@lru_cache(maxsize=1)
def _pykdtree() -> Any:
    try:
        from pykdtree.kdtree import KDTree
    except ImportError:
        return None
    return KDTree


@lru_cache(maxsize=1)
def _edt() -> Any:
    try:
        import edt
    except ImportError:
        return None
    return edt


def _has_edt(ndim: int) -> bool:
    return ndim in (2, 3) and _edt() is not None


def _by_transform(query: npt.NDArray[np.int32], target: Mask, spacing: Spacing) -> Floats:
    if whole_squares(target.shape, spacing) and _has_edt(target.ndim):
        squares = _edt().edtsq(~target, parallel=min(4, os.cpu_count() or 1))
        distances: Floats = np.sqrt(squares[tuple(query.T)].astype(np.float64))
        return distances
    from scipy.ndimage import distance_transform_edt

    features = distance_transform_edt(~target, sampling=spacing, return_distances=False, return_indices=True)
    where = tuple(query.T)
    neighbours = np.stack([axis[where] for axis in features], axis=1)
    return lengths(neighbours - query, spacing)
