"""A label map saved in another orientation is told as that, whatever its axes and its type."""

from itertools import combinations

import numpy as np
import pytest

from medbench.metrics.checks.suspicion import suspicions


def ways(shape):
    axes = range(len(shape))
    for count in axes:
        for turned in combinations(axes, count + 1):
            what = f"mirrored along axis {' and '.join(map(str, turned))}"
            yield what, lambda labels, turned=turned: np.flip(labels, turned)
    for one, other in combinations(axes, 2):
        if shape[one] == shape[other]:
            what = f"with axes {one} and {other} transposed"
            yield what, lambda labels, pair=(one, other): np.swapaxes(labels, *pair)


@pytest.mark.parametrize("shape", [(9, 7), (8, 8), (5, 7, 6), (6, 5, 6), (6, 6, 6)], ids=str)
@pytest.mark.parametrize(
    ("dtype", "values"), [(np.uint8, (0, 1, 4)), (np.int16, (0, 2, 300)), (bool, (0, 1))]
)
def test_every_way_to_mirror_and_transpose_is_told(shape, dtype, values):
    labels = np.random.default_rng(sum(shape)).choice(values, shape).astype(dtype)
    for what, moved in ways(shape):
        told = suspicions(labels, moved(labels))
        assert told, what
        assert told[0].startswith(f"{what}: mean Dice ")
        assert told[0].endswith("would be 1.00")


def test_label_maps_that_agree_or_are_empty_are_not_suspicious():
    labels = np.random.default_rng(0).integers(0, 3, (8, 9))
    for kind in (np.uint8, np.int32):
        own = labels.astype(kind)
        assert suspicions(own, own) == suspicions(own, own * 0) == suspicions(own * 0, own) == []
        assert suspicions(np.ones((4, 4), kind), np.zeros((4, 4), kind)) == []
