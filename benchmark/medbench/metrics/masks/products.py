"""Exact distances between two small sets of grid points by one matrix product, for unit spacing.

All squared distances are whole numbers: as products of short rows and columns they are exact in float32 as
long as they stay below 2**24, and one small product is faster than any tree.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medbench.metrics.arrays import Spacing

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Squares = npt.NDArray[np.float32]

_EXACT = 1 << 23
_MOST_PAIRS = 1 << 19
_BLOCK_PAIRS = 1 << 16


def few_pairs(points: tuple[Indices, Indices], shape: tuple[int, ...], spacing: Spacing) -> bool:
    """Whether the product is exact on this grid, and small enough to be the fastest way."""
    if len(points[0]) * len(points[1]) > _MOST_PAIRS or any(step != 1 for step in spacing):
        return False
    return sum(side * side for side in shape) < _EXACT


def rows_of(points: Indices, shape: tuple[int, ...]) -> Squares:
    """Rows (coordinates, squared norm, 1) of points given by flat index, shape ``(n, ndim + 2)``."""
    rows = np.empty((len(points), len(shape) + 2), np.float32)
    lines, squares = points, np.zeros_like(points)
    for axis in range(len(shape) - 1, 0, -1):
        before = lines // shape[axis]
        places = lines - before * shape[axis]
        rows[:, axis] = places
        squares += places * places
        lines = before
    rows[:, 0] = lines
    rows[:, -2] = squares + lines * lines
    rows[:, -1] = 1
    return rows


def columns_of(rows: Squares) -> Squares:
    """Columns whose product with rows of :func:`rows_of` is the squared distance, shape ``(ndim + 2, n)``."""
    columns = np.empty(rows.shape[::-1], np.float32)
    np.multiply(rows.T[:-2], -2, out=columns[:-2])
    columns[-2] = 1
    columns[-1] = rows[:, -2]
    return columns


def mutual_nearest(rows: Squares, columns: Squares) -> tuple[Squares, Squares]:
    """Squared distance of each row to its nearest column and of each column to its nearest row."""
    of_rows = np.empty(len(rows), np.float32)
    of_columns = np.full(columns.shape[1], np.inf, np.float32)
    step = max(1, _BLOCK_PAIRS // columns.shape[1])
    for begin in range(0, len(rows), step):
        squares = rows[begin : begin + step] @ columns
        squares.min(axis=1, out=of_rows[begin : begin + step])
        np.minimum(of_columns, squares.min(axis=0), out=of_columns)
    return of_rows, of_columns


def mutual_distances(first: Indices, second: Indices, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Distance of each point of one set to the nearest of the other, both ways, in steps of the grid.

    Args:
        first: flat indices into a grid.
        second: flat indices into the same grid.
        shape: of the grid.

    >>> mutual_distances(np.array([0]), np.array([3, 9]), (4, 4))
    (array([2.23606798]), array([3.        , 2.23606798]))
    """
    squares = mutual_nearest(rows_of(first, shape), columns_of(rows_of(second, shape)))
    return np.sqrt(squares[0], dtype=np.float64), np.sqrt(squares[1], dtype=np.float64)
