"""Exact distances to the nearest of many points by taking minima one axis at a time.

A squared distance is a sum over the axes, so its minimum over a box of targets is the minimum over the last
axis of (the minimum over the axis before of …). The first axis is one scan each way; the axes between are
taken densely, but only at the rows that some query has, and from near to far until nothing can improve; the
last axis only at the queries themselves. A distance transform does the same for every voxel of the box. Here
a ball inside another, or a slab and a ball, cost what the smaller of the two costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medbench.metrics.arrays import Mask, Spacing

_SCAN_S = 5e-9
_STEP_S = 9e-10
_CALLS_S = 6e-6
_QUERY_STEP_S = 3e-9
_WIDE = 1.6
_START_S = 3e-4
_FAR = 1 << 20
_BLOCK = 1 << 16
_LOOK_EVERY = 4
_EXACT_IN_FLOAT32 = 1 << 24

Coordinates = npt.NDArray[np.int32]
Squares = npt.NDArray[np.floating]


def whole_squares(shape: Sequence[int], spacing: Spacing) -> bool:
    """Whether squared distances on this grid are whole numbers that float32 holds exactly."""
    return all(step == 1 for step in spacing) and sum(side * side for side in shape) < _EXACT_IN_FLOAT32


def estimated_seconds(query: Coordinates, candidates: Coordinates, whole: bool) -> float:
    """About how long :func:`nearest_by_axes` takes at most; from sizes alone, so that it is always the same.

    Args:
        query: ``(n, ndim)`` grid coordinates.
        candidates: ``(m, ndim)`` coordinates of the targets.
        whole: see :func:`whole_squares`.
    """
    query_sides = np.ptp(query, axis=0).astype(np.int64) + 1
    sides = np.ptp(candidates, axis=0).astype(np.int64) + 1
    seconds = len(query) * float(sides[-1]) * _QUERY_STEP_S
    calls = 0.0
    for axis in range(1, len(sides) - 1):
        n_places = float(query_sides[: axis + 1].prod() * sides[axis + 1 :].prod())
        seconds += n_places * float(sides[axis]) * _STEP_S
        calls += float(query_sides[axis] + sides[axis]) * (1 + n_places / _BLOCK)
    overhead = _START_S + calls * _CALLS_S + float(sides.prod()) * _SCAN_S
    return overhead + seconds * (1 if whole else _WIDE)


def nearest_by_axes(
    query: Coordinates, candidates: Coordinates, target: Mask, spacing: Spacing
) -> npt.NDArray[np.float64]:
    """Distance of each query to the nearest true element of ``target``.

    The terms are added in the order of the axes. Rounding keeps order, so the result is the smallest of the
    rounded distances to all candidates, as if each had been computed.

    Args:
        query: ``(n, ndim)`` grid coordinates.
        candidates: the coordinates of the true elements, at least one.
        target: boolean grid.
        spacing: step along each axis.
    """
    kind = np.float32 if whole_squares(target.shape, spacing) else np.float64
    low, high = candidates.min(axis=0), candidates.max(axis=0) + 1
    first, last = query.min(axis=0), query.max(axis=0) + 1
    box = target[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    queries_on = [range(a, b) for a, b in zip((first - low).tolist(), (last - low).tolist(), strict=True)]
    squares: Squares = _along_first_axis(box, queries_on[0], kind(spacing[0]))
    for axis in range(1, box.ndim - 1):
        squares = _along(squares, axis, queries_on[axis], kind(spacing[axis]))
    where = query - first
    if box.ndim == 1:
        nearest = squares[where[:, 0]]
    else:
        rows = np.ravel_multi_index(tuple(where[:, :-1].T), squares.shape[:-1])
        nearest = _at_queries(squares, rows, query[:, -1] - low[-1], kind(spacing[-1]))
    distances: npt.NDArray[np.float64] = np.sqrt(nearest.astype(np.float64))
    return distances


def _along_first_axis(box: Mask, queries: range, step: np.floating) -> Squares:
    """Squared distance to the nearest true element of the same line, at the asked places."""
    column = (-1, *[1] * (box.ndim - 1))
    narrow = np.int16 if max(len(box), queries.stop, -queries.start) < 1 << 13 else np.int32
    far = narrow(1 << 14 if narrow is np.int16 else _FAR)
    places = np.arange(len(box), dtype=narrow).reshape(column)
    before, after = np.where(box, places, -far), np.where(box, places, far)
    for place in range(1, len(box)):
        line = before[place : place + 1]
        np.maximum(line, before[place - 1], out=line)
    for place in range(len(box) - 2, -1, -1):
        line = after[place : place + 1]
        np.minimum(line, after[place + 1], out=line)
    at = np.array(queries, dtype=narrow)
    inside = at.clip(0, len(box) - 1)
    at = at.reshape(column)
    steps = np.minimum(np.abs(at - before[inside]), np.abs(after[inside] - at))
    squares: Squares = np.square(steps.astype(step.dtype) * step)
    squares[steps > far // 2] = np.inf
    return squares


def _along(squares: Squares, axis: int, queries: range, step: np.floating) -> Squares:
    """Minimum over the targets' places on ``axis`` for each asked place on it."""
    sides = squares.shape
    n_targets, kind = sides[axis], squares.dtype
    lines = squares.reshape(math.prod(sides[:axis]), n_targets, -1)
    minima = np.full((len(lines), len(queries), lines.shape[-1]), np.inf, kind)
    block = max(1, _BLOCK // (len(queries) * lines.shape[-1]))
    scratch = np.empty((block, *minima.shape[1:]), kind)
    shifts = sorted(range(queries.start - n_targets + 1, queries.stop), key=abs)
    for begin in range(0, len(lines), block):
        part, least = lines[begin : begin + block], minima[begin : begin + block]
        for turn, shift in enumerate(shifts):
            away = np.square(kind.type(shift) * step)
            if turn % _LOOK_EVERY == 0 and away >= least.max():
                break
            start, stop = max(queries.start, shift), min(queries.stop, n_targets + shift)
            own = scratch[: len(part), : stop - start]
            np.add(part[:, start - shift : stop - shift], away, out=own)
            part_minima = least[:, start - queries.start : stop - queries.start]
            np.minimum(part_minima, own, out=part_minima)
    return minima.reshape(*sides[:axis], len(queries), *sides[axis + 1 :])


def _at_queries(
    squares: Squares, rows: npt.NDArray[np.intp], queries: npt.NDArray[np.integer], step: np.floating
) -> Squares:
    """Minimum over the last axis, in each query's row, for its place on that axis."""
    side = squares.shape[-1]
    table = squares.reshape(-1, side)
    places = np.arange(side)
    minima = np.empty(len(rows), squares.dtype)
    block = max(1, _BLOCK // side)
    for begin in range(0, len(rows), block):
        part = slice(begin, begin + block)
        away = (queries[part, None] - places).astype(squares.dtype)
        away *= step
        away *= away
        away += table[rows[part]]
        away.min(axis=1, out=minima[part])
    return minima
