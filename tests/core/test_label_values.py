"""Values of label maps are those that NumPy's sorting finds."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.core.label_values import label_values

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((0, 3), np.uint8),
        np.repeat(np.array([0, 255, 3], np.uint8), 500_000),
        RNG.integers(-128, 128, (40, 50)).astype(np.int8),
        np.asfortranarray(RNG.integers(0, 5, (6, 7, 8)).astype(np.uint16)),
        RNG.integers(-3, 3, (20, 30)).astype(np.int32)[:, ::-1],
        np.array([True, True, False]),
        np.array([0, 1 << 40], np.int64),
        np.array([0, (1 << 64) - 1], np.uint64),
        np.array([0.5, 0.0, 0.5]),
    ],
    ids=lambda labels: f"{labels.dtype} {labels.shape}",
)
def test_values_and_type_are_those_of_unique(labels):
    values = label_values(labels)
    assert values.dtype == labels.dtype
    assert np.array_equal(values, np.unique(labels))
