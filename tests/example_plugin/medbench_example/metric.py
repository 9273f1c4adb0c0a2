"""Extent error: how much taller or lower the prediction is than the reference."""

from medbench.metrics import Convention


def extent_error(pair):
    """Difference of the heights of both masks in rows; no value where one mask is empty."""
    heights = []
    for mask in (pair.reference, pair.prediction):
        rows = mask.any(axis=tuple(range(1, mask.ndim))).nonzero()[0]
        if not len(rows):
            return None
        heights.append(int(rows[-1] - rows[0]) + 1)
    return float(abs(heights[1] - heights[0]))


EXTENT_ERROR = Convention(
    id="example.extent_error",
    title="Extent error",
    family="overlap",
    definition="absolute difference of the number of rows between the first and the last of each mask",
    differs="looks at the first axis alone",
    source="the example's protocol",
    target=extent_error,
    unit="px",
    better="lower",
    range=(0.0, float("inf")),
    symmetric=True,
    example=(
        ">>> import numpy as np, medbench\n"
        ">>> reference, prediction = np.zeros((2, 8, 8), np.uint8)\n"
        ">>> reference[2:5, 2:5] = 1; prediction[2:7, 2:5] = 1\n"
        ">>> medbench.score('example.extent_error', reference, prediction).value\n"
        "2.0"
    ),
)
