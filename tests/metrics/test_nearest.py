"""The three ways to the nearest neighbour give the same numbers, whatever the surfaces look like."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medbench.metrics import nearest
from medbench.metrics.surface import SurfacePair

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
@pytest.mark.parametrize("way", ["default", "tree", "transform", "scipy transform", "no shells"])
def test_all_ways_agree(name, spacing, way, monkeypatch):
    reference, prediction = shapes()[name]
    if way != "default":
        rate = 1e3 if way == "tree" else 0.0
        monkeypatch.setattr(nearest, "_TRANSFORM_S", rate)
        monkeypatch.setattr(nearest, "_EDT_S", rate)
    if way == "scipy transform":
        monkeypatch.setattr(nearest, "_edt", lambda: None)
    if way == "no shells":
        monkeypatch.setattr(nearest, "shells", lambda spacing: ())
    found = SurfacePair(reference, prediction, spacing).distances
    for own, other, distances in (
        (prediction, reference, found.of_prediction),
        (reference, prediction, found.of_reference),
    ):
        surface = [mask & ~ndimage.binary_erosion(mask) for mask in (own, other)]
        expected = ndimage.distance_transform_edt(~surface[1], sampling=spacing)[surface[0]]
        assert np.abs(np.sort(distances) - np.sort(expected)).max() < 1e-12


def test_the_fast_transform_gives_the_same_bits(monkeypatch):
    pytest.importorskip("edt", reason="the extra 'fast' is not installed")
    monkeypatch.setattr(nearest, "_TRANSFORM_S", 0.0)
    monkeypatch.setattr(nearest, "_EDT_S", 0.0)
    for pair in shapes().values():
        fast = SurfacePair(*pair, (1.0, 1.0, 1.0)).distances.pooled
        with monkeypatch.context() as without:
            without.setattr(nearest, "_edt", lambda: None)
            assert np.array_equal(fast, SurfacePair(*pair, (1.0, 1.0, 1.0)).distances.pooled)


def test_ways_are_really_taken(monkeypatch):
    taken = []
    original = nearest._by_transform
    monkeypatch.setattr(nearest, "_by_transform", lambda *args: taken.append("transform") or original(*args))
    big = (90, 90, 90)
    rng = np.random.default_rng(1)
    ragged = rng.random(big) < 0.3
    grid = np.ogrid[tuple(slice(0, side) for side in big)]
    core = sum((axis - 45) ** 2 for axis in grid) < 20**2
    assert SurfacePair(ragged & ~core, core, (1.0, 1.0, 1.0)).distances.of_prediction.size
    assert SurfacePair(np.ones(big, bool), core, (1.0, 1.0, 1.0)).distances.of_prediction.size
    assert "transform" in taken
    taken.clear()
    assert SurfacePair(core, np.roll(core, 6, 0), (1.0, 1.0, 1.0)).distances.of_prediction.size
    assert not taken


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
    few = nearest._leaves_visited(cKDTree(plane, leafsize=48), np.array([30.0, 50, 50]), 30.1)
    many = nearest._leaves_visited(cKDTree(shell, leafsize=48), np.zeros(3), 40.0)
    assert few <= 4
    assert many > 30
