"""All ways to the nearest neighbour give the same numbers, whatever the surfaces look like."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medbench.metrics.masks import nearest, products, surface
from medbench.metrics.masks import separable_distances as nearest_dense
from medbench.metrics.masks.definitions import percentile
from medbench.metrics.masks.surface import SurfacePair

SHAPE = (34, 40, 38)
GRID = np.ogrid[tuple(slice(0, side) for side in SHAPE)]


def ball(center, radius):
    return sum((axis - c) ** 2 for axis, c in zip(GRID, center, strict=True)) < radius**2


def shapes():
    rng = np.random.default_rng(0)
    middle = tuple(side // 2 for side in SHAPE)
    return {
        "near": (ball(middle, 13), ball((18, 20, 19), 13)),
        "concentric": (ball(middle, 4), ball(middle, 16)),
        "disjoint": (ball((7, 7, 7), 6), ball((27, 32, 30), 6)),
        "full against ball": (np.ones(SHAPE, bool), ball(middle, 9)),
        "noise": (rng.random(SHAPE) < 0.3, ball(middle, 10)),
        "specks": (rng.random(SHAPE) < 0.002, ball(middle, 10)),
        "slab": (np.broadcast_to(GRID[0] < 5, SHAPE).copy(), ball(middle, 9)),
    }


@pytest.mark.parametrize("name", shapes())
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8), (0.7, 3.1, 1.9)])
@pytest.mark.parametrize("way", ["default", "tree", "transform", "scipy transform", "axes", "no shells"])
def test_all_ways_agree(name, spacing, way, monkeypatch):
    reference, prediction = shapes()[name]
    if way != "default":
        monkeypatch.setattr(surface, "few_pairs", lambda *sizes: False)
        rate = 1e3 if way in ("tree", "axes") else 0.0
        monkeypatch.setattr(nearest, "_TRANSFORM_S", rate)
        monkeypatch.setattr(nearest, "_EDT_S", rate)
        monkeypatch.setattr(nearest, "estimated_seconds", lambda *sizes: 0.0 if way == "axes" else 1e3)
    if way == "scipy transform":
        monkeypatch.setattr(nearest, "_edt", lambda: None)
    if way == "no shells":
        monkeypatch.setattr(nearest, "shells", lambda spacing: ())
    found = SurfacePair(reference, prediction, spacing).distances
    for own, other, distances in (
        (prediction, reference, found.of_prediction),
        (reference, prediction, found.of_reference),
    ):
        surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (own, other)]
        expected = ndimage.distance_transform_edt(~surfaces[1], sampling=spacing)[surfaces[0]]
        assert np.abs(np.sort(distances) - np.sort(expected)).max() < 1e-12


def test_the_fast_transform_gives_the_same_bits(monkeypatch):
    pytest.importorskip("edt", reason="the extra 'fast' is not installed")
    monkeypatch.setattr(nearest, "_TRANSFORM_S", 0.0)
    monkeypatch.setattr(nearest, "_EDT_S", 0.0)
    monkeypatch.setattr(nearest, "estimated_seconds", lambda *sizes: 1.0)
    for pair in shapes().values():
        fast = SurfacePair(*pair, (1.0, 1.0, 1.0)).distances.of_both
        with monkeypatch.context() as without:
            without.setattr(nearest, "_edt", lambda: None)
            assert np.array_equal(fast, SurfacePair(*pair, (1.0, 1.0, 1.0)).distances.of_both)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8)])
def test_the_fast_tree_gives_the_same_distances(spacing, monkeypatch):
    pytest.importorskip("pykdtree", reason="the extra 'fast' is not installed")
    monkeypatch.setattr(nearest, "_TRANSFORM_S", 1e3)
    monkeypatch.setattr(nearest, "_EDT_S", 1e3)
    monkeypatch.setattr(nearest, "_TREE_MANY_QUERIES", 1)
    monkeypatch.setattr(surface, "few_pairs", lambda *sizes: False)
    for pair in shapes().values():
        fast = SurfacePair(*pair, spacing).distances.of_both
        with monkeypatch.context() as without:
            without.setattr(nearest, "_pykdtree", lambda: None)
            plain = SurfacePair(*pair, spacing).distances.of_both
        assert np.abs(fast - plain).max() <= (0 if spacing == (1.0, 1.0, 1.0) else 1e-14)


@pytest.mark.parametrize("shape", [(50,), (40, 50), (14, 13, 12), (7, 6, 5, 4)])
def test_products_give_the_same_bits_as_any_other_way(shape, monkeypatch):
    rng = np.random.default_rng(len(shape))
    for density in (0.05, 0.6):
        pair = rng.random(shape) < density, rng.random(shape) < density
        spacing = (1.0,) * len(shape)
        product = SurfacePair(*pair, spacing).distances
        with monkeypatch.context() as without:
            without.setattr(surface, "few_pairs", lambda *sizes: False)
            other = SurfacePair(*pair, spacing).distances
        assert product.n_prediction == other.n_prediction
        assert np.array_equal(product.of_both, other.of_both)


def test_products_are_taken_for_small_sets_on_exact_grids_only():
    few, many = np.arange(300), np.arange(3000)
    assert products.few_pairs((few, few), (256, 256), (1.0, 1.0))
    assert not products.few_pairs((many, many), (256, 256), (1.0, 1.0))
    assert not products.few_pairs((few, few), (256, 256), (1.0, 0.5))
    assert not products.few_pairs((few, few), (2900, 20), (1.0, 1.0))


def test_products_are_exact_up_to_the_largest_grid():
    shape = (2040, 2040)
    assert products.few_pairs((np.arange(2), np.arange(2)), shape, (1.0, 1.0))
    corners = np.array([0, 2039 * 2040 + 2039]), np.array([2038 * 2040 + 1, 2039 * 2040])
    found = products.mutual_distances(*corners, shape)
    assert found[0].tolist() == [np.sqrt(2038**2 + 1), np.sqrt(2038**2 + 1)]
    assert found[1].tolist() == [np.sqrt(2038**2 + 1), 2039.0]


@pytest.mark.parametrize("length", [1, 2, 3, 20, 21, 41, 400, 1001])
def test_percentiles_are_those_of_numpy_to_the_last_digit(length):
    rng = np.random.default_rng(length)
    for _ in range(40):
        values = np.sqrt(rng.integers(0, 50, length))
        for percent in (95, 50, 0, 100, 12.5):
            assert percentile(values, percent / 100) == np.percentile(values, percent)


def test_ways_are_really_taken(monkeypatch):
    taken = []
    for way in ("_by_transform", "nearest_by_axes"):
        original = getattr(nearest, way)
        monkeypatch.setattr(
            nearest, way, lambda *args, way=way, original=original: taken.append(way) or original(*args)
        )
    big = (90, 90, 90)
    grid = np.ogrid[tuple(slice(0, side) for side in big)]
    core = sum((axis - 45) ** 2 for axis in grid) < 20**2
    ragged = np.random.default_rng(1).random((24, 400, 400)) < 0.3
    above, below = ragged.copy(), ragged.copy()
    above[8:], below[:16] = False, False
    assert SurfacePair(above, below, (1.0, 1.0, 1.0)).distances.of_prediction.size
    assert taken == ["_by_transform"] * 2
    taken.clear()
    assert SurfacePair(np.ones(big, bool), core, (1.0, 1.0, 1.0)).distances.of_prediction.size
    assert taken == ["nearest_by_axes"] * 2
    taken.clear()
    assert SurfacePair(core, np.roll(core, 2, 0), (1.0, 1.0, 1.0)).distances.of_prediction.size
    assert not taken


@pytest.mark.parametrize("shape", [(40,), (30, 20), (12, 9, 14), (6, 5, 7, 8), (2, 1, 60)])
@pytest.mark.parametrize("step", [1.0, 0.7])
def test_minima_axis_by_axis_are_the_smallest_of_all_distances(shape, step):
    rng = np.random.default_rng(len(shape))
    spacing = tuple(step * (1 + axis) for axis in range(len(shape))) if step != 1 else (1.0,) * len(shape)
    for density, first, last in ((0.02, 0.0, 1.0), (0.2, 0.0, 0.4), (0.2, 0.6, 1.0), (1.0, 0.5, 0.6)):
        target = rng.random(shape) < density
        target[tuple(np.array(shape) // 2)] = True
        low, high = (np.array(shape) * first).astype(int), np.ceil(np.array(shape) * last).astype(int)
        query = np.stack([rng.integers(a, max(a + 1, b), 50) for a, b in zip(low, high, strict=True)], 1)
        candidates = np.argwhere(target).astype(np.int32)
        offsets = candidates[:, None] - query
        squared = np.zeros(offsets.shape[:2])
        for axis, size in enumerate(spacing):
            squared += (offsets[..., axis] * size) ** 2
        found = nearest_dense.nearest_by_axes(query.astype(np.int32), candidates, target, spacing)
        assert np.array_equal(found, np.sqrt(squared.min(axis=0)))


def test_large_grids_do_not_overflow():
    target = np.zeros((20000, 2, 3), bool)
    target[[0, 19999], 1, 2] = True
    query = np.array([[9000, 0, 0], [11000, 1, 0]], np.int32)
    candidates = np.argwhere(target).astype(np.int32)
    found = nearest_dense.nearest_by_axes(query, candidates, target, (1.0, 1.0, 1.0))
    assert found.tolist() == [np.sqrt(9000**2 + 1 + 4), np.sqrt(8999**2 + 4)]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 1.0, 1.0), (5.0, 0.7, 0.7), (1.0, 2.0, 3.0, 4.0)])
def test_shells_leave_no_gap(spacing):
    found = nearest.shells(spacing)
    listed = {tuple(offset) for _, offsets in found for offset in offsets.tolist()}
    last = found[-1][0]
    axes = [range(-6, 7)] * len(spacing)
    for offset in np.stack(np.meshgrid(*axes), -1).reshape(-1, len(spacing)).tolist():
        length = np.sqrt(sum((o * s) ** 2 for o, s in zip(offset, spacing, strict=True)))
        if 0 < length < last - 1e-9:
            assert tuple(offset) in listed
    assert [distance for distance, _ in found] == sorted({distance for distance, _ in found})


def test_leaves_are_counted_like_a_search():
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(2)
    plane = np.c_[np.zeros(4000), rng.random((4000, 2)) * 100]
    shell = rng.standard_normal((4000, 3))
    shell = 40 * shell / np.linalg.norm(shell, axis=1, keepdims=True)
    few = nearest._leaves_visited(cKDTree(plane, leafsize=48), np.array([30.0, 50, 50]), 30.1, 500)
    many = nearest._leaves_visited(cKDTree(shell, leafsize=48), np.zeros(3), 40.0, 500)
    assert nearest._leaves_visited(cKDTree(shell, leafsize=48), np.zeros(3), 40.0, 7) == 8
    assert few <= 4
    assert many > 30
