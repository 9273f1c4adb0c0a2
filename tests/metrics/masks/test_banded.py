"""Packed masks and contours box by box equal what whole arrays give."""

import numpy as np
import pytest
from scipy import ndimage

from medbench.metrics.masks import banded, hole_contours, instances
from medbench.metrics.masks.banded import BandedObjects, PackedMask, bands


def packed(mask):
    bits = PackedMask(mask.shape)
    for row in range(0, len(mask), 7):
        bits.put(row, mask[row : row + 7])
    return bits


def blobs(seed, shape=(97, 131), level=0.25, frame=0):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.standard_normal(shape), 2.0 + seed % 3) > level * 0.25
    if frame:
        mask[:frame] = mask[-frame:] = mask[:, :frame] = mask[:, -frame:] = False
    return mask


@pytest.mark.parametrize("shape", [(5, 8), (9, 13), (1, 1), (40, 7)])
def test_packed_windows(shape):
    mask = np.random.default_rng(0).random(shape) < 0.4
    bits = packed(mask)
    for first in range(shape[1]):
        for last in range(first + 1, shape[1] + 1):
            np.testing.assert_array_equal(bits[0 : shape[0], first:last], mask[:, first:last])
    np.testing.assert_array_equal(bits[1:3], mask[1:3])


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("show", ["add", "see"])
def test_sizes_and_boxes_of_objects_met_in_bands(seed, connectivity, show, monkeypatch):
    mask = blobs(seed)
    structure = np.ones((3, 3)) if connectivity == 8 else None
    labels, n = ndimage.label(mask, structure)
    monkeypatch.setattr(banded, "BAND_ELEMENTS", 131 * (seed + 1))
    objects = BandedObjects(connectivity)
    for rows in bands(mask.shape):
        getattr(objects, show)(mask[rows])
    assert sorted(objects.whole_sizes().values()) == sorted(np.bincount(labels.ravel())[1:].tolist())
    expected = [(a.start, b.start, a.stop, b.stop) for a, b in ndimage.find_objects(labels)]
    assert sorted(objects.whole_boxes().values()) == sorted(expected)
    assert len(expected) == n


@pytest.mark.parametrize("most", [0, 3, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_a_band_is_the_same_in_parts_and_as_a_whole(seed, most, monkeypatch):
    mask = np.random.default_rng(seed).random((9, 300)) < 0.02
    monkeypatch.setattr(banded, "MOST_PARTS", most)
    labels, stats = banded.label_band(mask, 8)
    expected, count = ndimage.label(mask, np.ones((3, 3)))
    assert len(np.unique(np.stack([labels, expected], axis=-1).reshape(-1, 2), axis=0)) == count + 1
    for number, (left, top, width, height, size) in enumerate(stats[1:].tolist(), 1):
        rows, columns = np.nonzero(labels == number)
        assert (left, top, size) == (columns.min(), rows.min(), len(rows))
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


@pytest.mark.parametrize("seed", range(4))
def test_bands_without_labels_give_the_same_numbers(seed):
    mask = blobs(seed)
    shown, seen = BandedObjects(), BandedObjects()
    for start in range(0, len(mask), 7):
        assert shown.add(mask[start : start + 7])[1] == seen.see(mask[start : start + 7])
    assert (shown.sizes, shown.boxes, shown.roots().tolist()) == (
        seen.sizes,
        seen.boxes,
        seen.roots().tolist(),
    )


@pytest.mark.parametrize("frame", [0, 1, 4])
@pytest.mark.parametrize("seed", range(12))
def test_contours_box_by_box_are_the_same_in_the_same_order(seed, frame, monkeypatch):
    mask = blobs(seed, level=0.9, frame=frame)
    mask[30:60, 40:44] = mask[30:60, 70:74] = mask[30:34, 40:74] = mask[56:60, 40:74] = True
    mask[40:45, 50:60] = True
    whole = hole_contours.hole_contours(mask)
    monkeypatch.setattr(hole_contours, "WHOLE_ELEMENTS", 0)
    monkeypatch.setattr(banded, "BAND_ELEMENTS", 131 * 9)
    parts = hole_contours.hole_contours(packed(mask))
    assert len(whole) == len(parts) > 2
    for first, second in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(first, second)
    if frame:
        assert hole_contours._contours_by_box(mask) is not None


@pytest.mark.parametrize("rule", ["clean", "contour", "official"])
def test_all_rules_on_packed_masks(rule, monkeypatch):
    masks = [blobs(seed, level=1.0, frame=2) for seed in range(8)]
    pairs = [(mask, np.roll(mask, (seed % 2, 1), (0, 1))) for seed, mask in enumerate(masks)]
    expected = [instances.detect(*pair, rule=rule) for pair in pairs]
    monkeypatch.setattr(hole_contours, "WHOLE_ELEMENTS", 0)
    monkeypatch.setattr(banded, "BAND_ELEMENTS", 131 * 5)
    found = [instances.detect(packed(a), packed(b), rule=rule) for a, b in pairs]
    assert found == expected
    assert sum(detection.n_true_positive for detection in found) > 10
