"""Values that occur in a label map, without sorting it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_TABLE = 1 << 20
_CHUNK = 1 << 20


def label_values(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The different values of an array, sorted, as :func:`numpy.unique` gives them.

    Label maps are long runs of one value: only the first element of each run is looked at.

    Args:
        labels: of any shape; whole numbers, or fractions, which are sorted.

    >>> label_values(np.array([[3, 3], [-2, 3]])).tolist()
    [-2, 3]
    """
    if not labels.size:
        return np.zeros(0, labels.dtype)
    if labels.dtype.kind not in "iub" or labels.dtype == np.uint64:
        return np.unique(labels)
    narrow = labels.dtype.itemsize == 1
    low, high = (-128 if labels.dtype.kind == "i" else 0, 255) if narrow else (labels.min(), labels.max())
    if int(high) - int(low) >= _TABLE:
        return np.unique(labels)
    present = np.zeros(int(high) - int(low) + 1, np.bool_)
    flat = labels.reshape(-1) if labels.flags.c_contiguous else labels.ravel(order="K")
    for begin in range(0, flat.size, _CHUNK):
        part = flat[begin : begin + _CHUNK]
        starts = part[1:][part[1:] != part[:-1]]
        for values in (part[:1], starts):
            present[values.astype(np.int64) - int(low)] = True
    return (np.flatnonzero(present) + int(low)).astype(labels.dtype)
