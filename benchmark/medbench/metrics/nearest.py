"""Exact distances from the points of one set to the nearest point of another, on a grid with spacing.

Three ways lead to the same numbers, and each is taken where it is the cheapest:

1. *Shells*: predictions lie close to references, so most points have their nearest neighbour within a few
   voxels. The offsets around a voxel are tried by rising distance, all points at once.
2. *KD-tree* (``scipy.spatial.cKDTree``) for the points that are left.
3. *Distance transform* (``scipy.ndimage.distance_transform_edt``, its feature form) of the box, when a sample
   of points shows that the tree would visit too many candidates: large, ragged or far surfaces. With unit
   spacing and the ``edt`` package installed, its squared distances are whole numbers and it is taken instead.

Whatever way finds the neighbour, the distance is computed from the whole-number offset between the two
voxels, so the three agree with one another and with a distance transform of the whole image.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.metrics.arrays import Mask, Spacing

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

MARGIN = 3
_SHELL_OFFSETS = 130
_TREE_QUERY_S = 1.0e-6
_TREE_WORST_QUERY_S = 5e-5
_TREE_LEAF_S = 1.5e-7
_TREE_BUILD_S = 1.2e-7
_TREE_THREADED_QUERIES = 2000
_TRANSFORM_S = 7e-8
_EDT_S = 5e-8
_EXACT_IN_FLOAT32 = 1 << 24
_LEAF_LIMIT = 500
_LOOKUP_S = 4e-9
_SAMPLE = 16


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
    found = []
    total = 0
    starts = np.flatnonzero(np.diff(distances[order], prepend=-1.0))
    for begin, end in zip(starts, [*starts[1:], len(order)], strict=True):
        total += end - begin
        if total > _SHELL_OFFSETS:
            break
        found.append((float(distances[order[begin]]), offsets[order[begin:end]]))
    return tuple(found)


def lengths(offsets: npt.NDArray[np.integer], spacing: Spacing) -> Floats:
    """Euclidean lengths of integer offsets of shape ``(n, ndim)``, summed in the order of the axes."""
    squared = np.zeros(len(offsets))
    for axis, step in enumerate(spacing):
        along = offsets[:, axis] * step
        squared += along * along
    return np.sqrt(squared)


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
    remaining = points[waiting]
    strides = np.array(target.strides)
    n_target: int | None = None
    for distance, offsets in shells(spacing):
        if not len(remaining):
            return distances
        steps = offsets @ strides
        hit = flat[remaining + steps[0]]
        for step in steps[1:]:
            hit |= flat[remaining + step]
        distances[waiting[hit]] = distance
        missed = ~hit
        found = len(remaining)
        waiting, remaining = waiting[missed], remaining[missed]
        found -= len(remaining)
        n_target = int(np.count_nonzero(flat)) if n_target is None else n_target
        saved = found * _TREE_QUERY_S + (n_target * _TREE_BUILD_S if len(remaining) < found else 0)
        if saved < len(steps) * len(remaining) * _LOOKUP_S:
            break
    if len(remaining):
        distances[waiting] = _beyond_shells(remaining, target, spacing)
    return distances


def _coordinates(flat: Indices, shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    return np.stack(np.unravel_index(flat, shape), axis=1).astype(np.int32)


def _beyond_shells(points: Indices, target: Mask, spacing: Spacing) -> Floats:
    from scipy.spatial import cKDTree

    query = _coordinates(points, target.shape)
    candidates = _coordinates(np.flatnonzero(target), target.shape)
    transform_s = target.size * (_EDT_S if _whole_squares(target, spacing) else _TRANSFORM_S)
    if len(candidates) * _TREE_BUILD_S + len(query) * _TREE_QUERY_S > transform_s:
        return _by_transform(query, target, spacing)
    steps = np.array(spacing)
    tree = cKDTree(candidates * steps, leafsize=48, balanced_tree=False, compact_nodes=False)
    if len(query) * _TREE_WORST_QUERY_S > transform_s:
        sample = query[:: max(1, len(query) // _SAMPLE)] * steps
        leaves = np.mean([_leaves_visited(tree, point, tree.query(point)[0]) for point in sample])
        if len(query) * (_TREE_QUERY_S + leaves * _TREE_LEAF_S) > transform_s:
            return _by_transform(query, target, spacing)
    threads = min(4, os.cpu_count() or 1) if len(query) >= _TREE_THREADED_QUERIES else 1
    neighbours = tree.query(query * steps, workers=threads)[1]
    return lengths(candidates[neighbours] - query, spacing)


def _leaves_visited(tree: Any, point: Floats, reach: float) -> int:
    """How many leaves of the tree lie nearer to ``point`` than ``reach``: what a query has to look through.

    A tree prunes badly where many candidates are about equally far (a ball inside a shell). Counting tells
    so without a clock, and the way taken never depends on how busy the machine is.
    """
    count = 0
    limit = reach * reach
    outside = np.maximum(np.maximum(tree.mins - point, point - tree.maxes), 0) ** 2
    waiting = [(tree.tree, float(outside.sum()), tuple(outside.tolist()))]
    while waiting and count < _LEAF_LIMIT:
        node, squared, sides = waiting.pop()
        if node.split_dim < 0:
            count += 1
            continue
        axis = node.split_dim
        beyond = float(point[axis]) - node.split
        near, far = (node.lesser, node.greater) if beyond < 0 else (node.greater, node.lesser)
        waiting.append((near, squared, sides))
        across = squared - sides[axis] + beyond * beyond
        if across < limit:
            waiting.append((far, across, (*sides[:axis], beyond * beyond, *sides[axis + 1 :])))
    return count


@lru_cache(maxsize=1)
def _edt() -> Any:
    try:
        import edt
    except ImportError:
        return None
    return edt


def _whole_squares(target: Mask, spacing: Spacing) -> bool:
    """Whether ``edt`` is there and its float32 squared distances are exact on this grid."""
    unit = all(step == 1 for step in spacing)
    small = sum(side * side for side in target.shape) < _EXACT_IN_FLOAT32
    return unit and small and target.ndim in (2, 3) and _edt() is not None


def _by_transform(query: npt.NDArray[np.int32], target: Mask, spacing: Spacing) -> Floats:
    if _whole_squares(target, spacing):
        squared = _edt().edtsq(~target, parallel=min(4, os.cpu_count() or 1))
        distances: Floats = np.sqrt(squared[tuple(query.T)].astype(np.float64))
        return distances
    from scipy.ndimage import distance_transform_edt

    features = distance_transform_edt(~target, sampling=spacing, return_distances=False, return_indices=True)
    where = tuple(query.T)
    neighbours = np.stack([axis[where] for axis in features], axis=1)
    return lengths(neighbours - query, spacing)
