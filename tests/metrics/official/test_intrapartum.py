"""IUGC 2024 and PSFHS 2023: the organisers' numbers on 49 pairs, and the traps around them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from golden_files import golden
from medbench.core.errors import MedbenchError
from medbench.metrics.masks import pixel_sets
from medbench.metrics.official.intrapartum import biometry_scores, segmentation_scores
from medbench.metrics.tasks import biometry
from medbench.metrics.tasks.biometry import LandmarkError, aop_contour, aop_ellipse

GOLDEN, MASKS = golden("iugc_metrics.json"), golden("iugc_masks.npz")
PAIRS = [(prefix, case) for key, prefix in (("iugc", ""), ("psfhs", "psfhs__")) for case in GOLDEN[key]]
IDS = [f"{prefix}{case['id']}" for prefix, case in PAIRS]


def masks(prefix, case):
    return MASKS[f"{prefix}{case['id']}__gt"], MASKS[f"{prefix}{case['id']}__pred"]


@pytest.mark.parametrize(("prefix", "case"), PAIRS, ids=IDS)
def test_official_segmentation(prefix, case):
    reference, prediction = masks(prefix, case)
    scores = segmentation_scores(reference, prediction)
    assert len(scores) == 9
    if "error" in case["seg"]:
        undefined = {name for name, score in scores.items() if score.status == "undefined"}
        empty = {name for name, labels in (("ps", [1]), ("fh", [2]), ("all", [1, 2]))
                 if not np.isin(reference, labels).any() and np.isin(prediction, labels).any()}  # fmt: skip
        assert empty
        assert undefined == {f"{metric}_{name}" for metric in ("dice", "hd", "asd") for name in empty}
        return
    for name, expected in case["seg"].items():
        tolerance = 1e-4 if name.startswith("asd") else 1e-9
        assert scores[name].value == pytest.approx(expected, abs=tolerance), name


@pytest.mark.parametrize(("prefix", "case"), PAIRS, ids=IDS)
def test_official_biometry(prefix, case):
    reference, prediction = masks(prefix, case)
    for labels, key in ((reference, "gt"), (prediction, "pred")):
        assert_landmarks(labels, case.get("biometry", {}).get(key))
        assert_ellipse(labels, case["ellipse_aop"][key])
    scores = biometry_scores(reference, prediction)
    assert scores["aop_ellipse"].value == pytest.approx(case["ellipse_aop"]["delta"], abs=0.02)
    if "biometry" not in case:
        return
    for ours, official in (("aop_contour", "aop"), ("hsd", "hsd")):
        delta = case["biometry"]["delta"]
        if "error" in delta:
            assert scores[ours].value is None
            reference_failed = "error" in case["biometry"]["gt"]
            assert scores[ours].status == ("undefined" if reference_failed else "failed")
        else:
            assert scores[ours].value == pytest.approx(delta[official], abs=1e-9)


def assert_landmarks(labels, expected):
    if expected is None:
        return
    if "error" in expected:
        with pytest.raises(LandmarkError):
            aop_contour(labels)
        return
    found = aop_contour(labels)
    assert [list(point) for point in found.ps_points] == expected["ps_points"]
    assert list(found.hsd_point) == expected["hsd_point"]
    assert list(found.aop_tangency) == expected["aop_tangency"]
    assert found.hsd == pytest.approx(expected["hsd"], abs=1e-9)
    assert found.aop == pytest.approx(expected["aop"], abs=1e-9)


def assert_ellipse(labels, expected):
    for name, label in (("ps_ellipse", 1), ("fh_ellipse", 2)):
        ellipse = biometry.fitted_ellipse(labels == label)
        if expected[name] is None:
            assert ellipse is None
        else:
            center, axes, angle = expected[name]
            assert ellipse.center == pytest.approx(center, abs=0.05)
            assert ellipse.axes == pytest.approx(axes, abs=0.05)
            assert ellipse.angle == pytest.approx(angle, abs=0.5)
    if expected["ps_ellipse"] is None or expected["fh_ellipse"] is None:
        with pytest.raises(LandmarkError):
            aop_ellipse(labels)
    else:
        assert aop_ellipse(labels) == pytest.approx(expected["aop"], abs=0.01)


def slow_tangent(end, contour):
    """The rule of the challenge, point by point."""
    ordered = sorted(contour, key=lambda point: -point[0])
    for p in ordered:
        if all(p == q or not right_of(end, p, q) for q in ordered):
            chosen = p
            for q in ordered:
                aligned = q[0] == p[0] if p[0] == end[0] else height(end, p, q) == 0
                if aligned and math.dist(q, end) < math.dist(chosen, end):
                    chosen = q
            return chosen
    return None


def height(end, p, q):
    slope = (p[1] - end[1]) / (p[0] - end[0])
    return slope * (q[0] - end[0]) + end[1] - q[1]


def right_of(end, p, q):
    if p[0] == end[0]:
        return q[0] > end[0]
    falls = (p[1] - end[1]) / (p[0] - end[0]) < 0
    return height(end, p, q) < 0 if falls else height(end, p, q) > 0


def lie_on_one_line(p, q, r):
    return (q[0] - p[0]) * (r[1] - p[1]) == (q[1] - p[1]) * (r[0] - p[0])


def random_blob(rng, shape):
    from scipy import ndimage

    noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.8, 5))
    return noise > np.quantile(noise, rng.uniform(0.5, 0.95))


@pytest.mark.parametrize("seed", range(40))
def test_landmarks_by_exhaustive_search(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(12, 70, 2))
    labels = np.where(random_blob(rng, shape), 2, 0)
    labels[random_blob(rng, shape)] = 1
    contours = []
    for label in (1, 2):
        if not (labels == label).any():
            pytest.skip("a structure is missing")
        contours.append([tuple(map(int, p)) for p in biometry._contour_points(labels, label, "")])
    distances = [
        (-((p[0] - q[0]) ** 2) - (p[1] - q[1]) ** 2, i, j)
        for (i, p), (j, q) in itertools.combinations(enumerate(contours[0]), 2)
    ]
    best, i, j = min(distances, default=(0, 0, 0))
    if best == 0:
        with pytest.raises(LandmarkError):
            aop_contour(labels)
        return
    ends = contours[0][i], contours[0][j]
    inferior = ends[0] if ends[0][0] > ends[1][0] else ends[1]
    tangency = slow_tangent(inferior, contours[1])
    if tangency is None or lie_on_one_line(*ends, tangency):
        with pytest.raises(LandmarkError):
            aop_contour(labels)
        return
    found = aop_contour(labels)
    assert found.ps_points == tuple((y, x) for x, y in ends)
    assert found.aop_tangency == tangency[::-1]
    assert found.hsd == min(
        math.sqrt((x - inferior[0]) ** 2 + (y - inferior[1]) ** 2) for x, y in contours[1]
    )


def test_long_contours_need_little_memory():
    import tracemalloc

    rows = np.arange(3000)
    labels = np.zeros((3000, 3000), np.uint8)
    labels[::2, 100:400] = 1
    labels[:, 100] = 1
    labels[1500:, 1000:2900] = 2
    tracemalloc.start()
    found = aop_contour(labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.ps_points[0][1] != found.ps_points[1][1]
    assert len(rows) == 3000
    assert peak < 150e6


def naive_distances(reference, prediction):
    """Set Hausdorff and edge distance from their definitions, all pairs of pixels."""
    from scipy import ndimage

    def edge(mask):
        return mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1)

    def nearest(points, others):
        return np.sqrt(((points[:, None] - others[None]) ** 2).sum(-1)).min(1)

    sets = np.argwhere(reference), np.argwhere(prediction)
    edges = np.argwhere(edge(reference)), np.argwhere(edge(prediction))
    hausdorff = max(nearest(*sets).max(), nearest(*sets[::-1]).max())
    if not (len(edges[0]) and len(edges[1])):
        return hausdorff, None
    both = np.concatenate([nearest(*edges), nearest(*edges[::-1])])
    return hausdorff, both.mean()


MASK = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=13).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)


@settings(max_examples=150, deadline=None)
@given(MASK)
def test_distances_by_definition(pair):
    reference, prediction = pair
    found = pixel_sets.pixel_set_distances(*(mask.view(np.uint8) for mask in pair))
    assert found.n_both == int((reference & prediction).sum())
    if not (reference.any() and prediction.any()):
        assert found.hausdorff is None
        return
    hausdorff, average = naive_distances(reference, prediction)
    assert found.hausdorff == pytest.approx(hausdorff, abs=1e-12)
    assert (found.average_surface is None) == (average is None)
    if average is not None:
        assert found.average_surface == pytest.approx(average, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_pairs_and_maps_agree(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(30, 200, 2))
    pair = [random_blob(rng, shape).astype(np.uint8) for _ in range(2)]
    values = []
    for cost, side in ((0.0, 1800), (1e9, 1800), (1e9, 1)):
        monkeypatch.setattr(pixel_sets, "_PAIR_COST", cost)
        monkeypatch.setattr(pixel_sets, "_EXACT_SIDE", side)
        values.append(pixel_sets.pixel_set_distances(*pair))
    for other in values[1:]:
        assert other.hausdorff == values[0].hausdorff
        assert other.average_surface == pytest.approx(values[0].average_surface, abs=1e-12)
        assert other.farthest == pytest.approx(values[0].farthest, abs=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_union_follows_from_structures_only_when_it_may(seed):
    rng = np.random.default_rng(seed)
    gap = int(rng.integers(0, 12))
    frames = []
    for _ in range(2):
        frame = np.zeros((60, 60), np.uint8)
        frame[2:20, 2:40][random_blob(rng, (18, 38))] = 1
        frame[20 + gap : 20 + gap + 26, 10:50][random_blob(rng, (26, 40))] = 2
        frames.append(frame)
    parts = [pixel_sets.pixel_set_distances(*((f == k).view(np.uint8) for f in frames)) for k in (1, 2)]
    joined = pixel_sets.join_if_apart(*parts)
    whole = pixel_sets.pixel_set_distances(*((f > 0).view(np.uint8) for f in frames))
    if joined is not None:
        assert joined.hausdorff == whole.hausdorff
        assert joined.average_surface == pytest.approx(whole.average_surface, abs=1e-12)
        assert (joined.n_reference, joined.n_prediction, joined.n_both, joined.box, joined.n_edges) == (
            whole.n_reference, whole.n_prediction, whole.n_both, whole.box, whole.n_edges)  # fmt: skip


def test_both_ways_to_the_union_are_taken():
    taken = set()
    for prefix, case in PAIRS:
        frames = masks(prefix, case)
        parts = [pixel_sets.pixel_set_distances(*((f == k).view(np.uint8) for f in frames)) for k in (1, 2)]
        taken.add(pixel_sets.join_if_apart(*parts) is not None)
    assert taken == {True, False}


def test_a_structure_that_fills_the_frame_has_no_edge():
    full = np.ones((8, 9), np.uint8)
    half = full.copy()
    half[:, 5:] = 0
    scores = segmentation_scores(full, half)
    assert scores["hd_ps"].value == 4
    assert scores["asd_ps"].status == "undefined"
    assert segmentation_scores(half, full)["hd_ps"].value == 4
    assert segmentation_scores(full, full)["hd_all"].value == 0


def test_empty_prediction_wins_over_empty_reference():
    empty = np.zeros((5, 5), np.uint8)
    for name, score in segmentation_scores(empty, empty).items():
        assert score.value == (0 if name.startswith("dice") else 100)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, ">i4", np.int64, np.float32, "F-order", "view"])
def test_any_integer_layout(dtype):
    reference, prediction = masks(*PAIRS[1])
    expected = segmentation_scores(reference, prediction)
    if dtype == "F-order":
        pair = [np.asfortranarray(mask) for mask in (reference, prediction)]
    elif dtype == "view":
        pair = [np.repeat(mask, 2, axis=1)[:, ::2] for mask in (reference, prediction)]
    elif dtype is bool:
        reference, prediction = reference == 1, prediction == 1
        pair = [reference, prediction]
        expected = {name: score for name, score in expected.items() if name.endswith("ps")}
    else:
        pair = [mask.astype(dtype) for mask in (reference, prediction)]
    scores = segmentation_scores(*pair)
    assert {name: scores[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("reference", "prediction", "code"),
    [
        (np.zeros((4, 4)), np.zeros((4, 5)), "metric.shape"),
        (np.zeros((4, 4, 1)), np.zeros((4, 4, 1)), "metric.shape"),
        (np.full((4, 4), 255), np.zeros((4, 4)), "metric.labels"),
        (np.zeros((4, 4)), np.full((4, 4), 7, np.uint8), "metric.labels"),
        (np.zeros((4, 4)), np.full((4, 4), -1), "metric.labels"),
        (np.zeros((4, 4)), np.full((4, 4), 0.5), "metric.labels"),
    ],
)
def test_errors(reference, prediction, code):
    with pytest.raises(MedbenchError) as raised:
        segmentation_scores(reference, prediction)
    assert raised.value.code == code
