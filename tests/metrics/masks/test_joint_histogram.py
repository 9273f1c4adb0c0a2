"""Counts and boxes from runs are those from elements, whatever the maps look like."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medbench.core.errors import MedbenchError
from medbench.metrics.masks import joint_histogram as module
from medbench.metrics.masks.joint_histogram import joint_histogram


def smooth(rng, shape, values):
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 2)
    return np.asarray(values)[
        np.digitize(field, np.quantile(field, np.linspace(0, 1, len(values) + 1)[1:-1]))
    ]


def check(reference, prediction):
    histogram = joint_histogram(reference, prediction)
    values = sorted({0, *np.unique(reference).tolist(), *np.unique(prediction).tolist()})
    assert histogram.labels.tolist() == values
    expected = [[int(((reference == a) & (prediction == b)).sum()) for b in values] for a in values]
    assert histogram.table.tolist() == expected
    for label in (*values, tuple(values[:2]), tuple(values[-2:])):
        inside = [np.isin(array, label) for array in (reference, prediction)]
        counts = histogram.overlap(label)
        assert counts.tp == (inside[0] & inside[1]).sum()
        assert (counts.n_reference, counts.n_prediction) == (inside[0].sum(), inside[1].sum())
        assert counts.size == reference.size
        box = histogram.box(label)
        outside = inside[0] | inside[1]
        outside[box] = False
        assert not outside.any(), label
    assert histogram.box(999) is None
    assert histogram.overlap(999).n_reference == 0
    return histogram


@pytest.mark.parametrize("shape", [(400,), (40, 50), (20, 24, 22), (6, 7, 8, 9), (1, 30), (30, 1)])
@pytest.mark.parametrize("values", [(0, 1), (0, 1, 2, 3), (0, 255), (0, 3, 500, 70000), (-4, 0, 9), (1, 2)])
@pytest.mark.parametrize("chunk", [1 << 18, 64])
def test_counts_and_boxes(shape, values, chunk, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    rng = np.random.default_rng(len(shape) + len(values))
    kind = np.uint8 if min(values) >= 0 and max(values) < 256 else np.int32
    reference, prediction = (smooth(rng, shape, values).astype(kind) for _ in range(2))
    check(reference, prediction)
    noisy = np.where(rng.random(shape) < 0.5, reference, values[-1]).astype(kind)
    check(noisy, prediction)


def test_boxes_are_tight_around_smooth_objects(monkeypatch):
    reference = np.zeros((40, 60, 70), np.uint8)
    reference[5:15, 10:30, 20:50] = 1
    reference[20:30, 0:60, 65:70] = 2
    reference[39, 59, 60:70] = 3
    prediction = np.roll(reference, 1, 0)
    prediction[0] = 0
    for chunk in (1 << 18, 1 << 13):
        monkeypatch.setattr(module, "_CHUNK", chunk)
        histogram = check(reference, prediction)
        assert histogram.box(1) == (slice(5, 16), slice(10, 30), slice(20, 50))
        assert histogram.box(3) == (slice(39, 40), slice(59, 60), slice(60, 70))
        assert histogram.box((1, 2)) == (slice(5, 31), slice(0, 60), slice(20, 70))
    assert histogram.box(0) == (slice(0, 40), slice(0, 60), slice(0, 70))


def test_objects_that_go_on_over_the_end_of_a_line():
    reference = np.zeros((9, 30), np.uint8)
    reference[3, 20:] = 1
    reference[4, :5] = 1
    assert check(reference, reference * 0).box(1) == (slice(3, 5), slice(0, 30))


def test_many_labels_and_too_many():
    reference = np.repeat(np.arange(300, dtype=np.int16), 40).reshape(60, 200)
    check(reference, np.roll(reference, 3, 1))
    with pytest.raises(MedbenchError, match="9,000 different values"):
        joint_histogram(np.arange(9000), np.arange(9000))


def test_nothing_but_background():
    histogram = joint_histogram(np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8))
    assert histogram.labels.tolist() == [0]
    assert histogram.table.tolist() == [[12]]
    empty = joint_histogram(np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8))
    assert empty.table.tolist() == [[0]]
