"""The engine: sharing, empty masks, labels, layouts, errors, and properties that every definition keeps."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import medbench
from medbench.core.errors import MedbenchError
from medbench.metrics import evaluate_arrays, metric
from medbench.metrics.convention import EMPTY_POLICIES, EmptyPolicy
from medbench.metrics.masks.joint_histogram import joint_histogram

MASKS = [id for id in medbench.list_metrics() if metric(id).family in ("overlap", "surface")]
DISTANCES = [id for id in MASKS if metric(id).family == "surface" and id != "asd.edge8"]
SYMMETRIC = [id for id in MASKS if metric(id).symmetric and id != "asd.edge8"]


def value(id, reference, prediction, **extra):
    options = {"tolerance": 1.0} if id.startswith("nsd") else {}
    if metric(id).needs_spacing:
        options["spacing"] = extra.pop("spacing", (1.0,) * np.ndim(reference))
    extra.pop("spacing", None)
    return medbench.score(id, reference, prediction, **options, **extra).value


def pairs(side=9):
    shape = st.integers(2, 3).flatmap(
        lambda n: hnp.array_shapes(min_dims=n, max_dims=n, min_side=2, max_side=side)
    )
    filled = shape.flatmap(lambda s: st.tuples(hnp.arrays(bool, s), hnp.arrays(bool, s)))
    return filled.filter(lambda pair: pair[0].any() and pair[1].any())


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_symmetry(pair):
    for id in SYMMETRIC:
        there, back = value(id, *pair), value(id, *pair[::-1])
        assert there == pytest.approx(back, abs=1e-12), id


@settings(max_examples=60, deadline=None)
@given(pairs(), st.data())
def test_flips_transposes_and_padding_change_nothing(pair, data):
    ndim = pair[0].ndim
    spacing = tuple(data.draw(st.sampled_from([0.5, 1.0, 2.5])) for _ in range(ndim))
    axis = data.draw(st.integers(0, ndim - 1))
    order = data.draw(st.permutations(range(ndim)))
    moved = [np.flip(mask, axis).transpose(order) for mask in pair]
    turned = tuple(spacing[i] for i in order)
    padded = [np.pad(mask, 2) for mask in pair]
    for id in (*DISTANCES, "dice", "iou", "sensitivity", "precision"):
        expected = value(id, *pair, spacing=spacing)
        assert value(id, *moved, spacing=turned) == pytest.approx(expected, abs=1e-9), id
        assert value(id, *padded, spacing=spacing) == pytest.approx(expected, abs=1e-9), id


@settings(max_examples=80, deadline=None)
@given(pairs())
def test_order_of_the_definitions(pair):
    got = {id: value(id, *pair) for id in MASKS if id != "asd.edge8"}
    assert got["iou"] == pytest.approx(got["dice"] / (2 - got["dice"]), abs=1e-12)
    for id in ("hd95.pooled", "hd95.max", "hd95.nearest_rank", "assd.pooled", "assd.mean_of_directed"):
        assert got[id] <= got["hd"] + 1e-12, id
    assert got["hd95.area"] <= got["hd.area"] + 1e-12
    assert got["ahd.set"] <= got["hd.set"] + 1e-12
    assert got["dice"] <= got["dice.plus_one"] <= 1
    for id, number in got.items():
        low, high = metric(id).range
        assert low <= (low if number is None else number) <= high, id


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_the_same_mask_is_perfect(pair):
    for id in MASKS:
        if id == "asd.edge8" or (id == "specificity" and pair[0].all()):
            continue
        number = value(id, pair[0], pair[0])
        best = 0 if metric(id).better == "lower" else 1
        assert number == (pytest.approx(best, abs=1e-6) if id.endswith(".epsilon") else best), id


@settings(max_examples=60, deadline=None)
@given(pairs(), st.data())
def test_more_error_never_improves_overlap(pair, data):
    reference, prediction = pair
    wrong = np.flatnonzero(reference == prediction)
    if not wrong.size:
        return
    worse = prediction.copy()
    worse.flat[data.draw(st.sampled_from(wrong.tolist()))] ^= True
    for id in ("dice", "iou", "dice.plus_one", "pixel_accuracy"):
        assert value(id, reference, worse) <= value(id, reference, prediction) + 1e-12, id


def test_a_farther_speck_never_improves_distances():
    reference = np.zeros((40, 40), bool)
    reference[5:12, 5:12] = True
    last = dict.fromkeys(("hd", "hd.set", "hd95.max", "hd95.pooled", "assd.pooled", "hd95.area"), -1.0)
    for row in range(13, 39, 3):
        prediction = reference.copy()
        prediction[row, 20] = True
        for id, before in last.items():
            last[id] = value(id, reference, prediction)
            assert last[id] >= before - 1e-12, id


@pytest.fixture
def label_maps():
    rng = np.random.default_rng(3)
    reference = rng.integers(0, 4, (18, 22, 20)).astype(np.uint8)
    prediction = np.where(rng.random(reference.shape) < 0.8, reference, 0).astype(np.uint8)
    reference[:, :, :5] = 0
    prediction[12:] = np.where(prediction[12:] == 3, 0, prediction[12:])
    return reference, prediction


def test_evaluate_equals_one_by_one(label_maps):
    labels = {"one": 1, "two": 2, "three": 3, "core": (1, 3), "all": (1, 2, 3), "absent": 9}
    spacing = (2.5, 0.8, 0.8)
    ids = [id for id in MASKS if id not in ("asd.edge8",) and not id.startswith("nsd")]
    for workers in (1, 3):
        found = evaluate_arrays(*label_maps, ids, labels, spacing, workers=workers)
        assert list(found) == list(labels)
        for name, label in labels.items():
            for id in ids:
                alone = medbench.score(id, *label_maps, label=label, spacing=spacing)
                assert found[name][id].status == alone.status
                assert (found[name][id].value or 0) == pytest.approx(alone.value or 0, abs=1e-12), (name, id)


def test_evaluate_defaults_to_the_labels_that_occur(label_maps):
    found = evaluate_arrays(*label_maps, ["dice"])
    assert list(found) == ["1", "2", "3"]
    options = {"nsd.count": {"tolerance": 2.0}}
    within = evaluate_arrays(*label_maps, ["nsd.count"], [2], "pixel", options=options)["2"]["nsd.count"]
    assert within == medbench.score("nsd.count", *label_maps, label=2, spacing="pixel", tolerance=2.0)


def test_surfaces_are_taken_once(label_maps, monkeypatch):
    from medbench.metrics.masks import surface

    calls = []
    original = surface.nearest_distances
    monkeypatch.setattr(surface, "nearest_distances", lambda *args: calls.append(1) or original(*args))
    evaluate_arrays(*label_maps, ["hd", "hd95.pooled", "hd95.max", "assd.pooled"], [1], (1, 1, 1))
    assert len(calls) == 2


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", ">i2", "<i4", "int64", ">f4", "float64"])
@pytest.mark.parametrize("layout", ["C", "F", "strided", "reversed"])
def test_types_and_layouts(label_maps, dtype, layout):
    ids = ["dice", "hd95.pooled", "hd95.area", "assd.pooled"]
    if dtype == "bool":
        label_maps = tuple((labels > 1).astype(np.uint8) for labels in label_maps)
    expected = evaluate_arrays(*label_maps, ids, [1], (2.0, 1.0, 0.5))
    arrays = []
    for labels in label_maps:
        array = labels.astype(dtype)
        if layout == "F":
            array = np.asfortranarray(array)
        elif layout == "strided":
            array = np.repeat(array, 2, axis=2)[:, :, ::2]
        elif layout == "reversed":
            array = array[::-1].copy()[::-1]
        arrays.append(array)
    found = evaluate_arrays(*arrays, ids, [1], (2.0, 1.0, 0.5))
    for id in ids:
        assert found["1"][id].value == pytest.approx(expected["1"][id].value, abs=1e-12), id


def test_large_label_values():
    rng = np.random.default_rng(0)
    codes = np.array([0, 200, 500, 600, 1220, 2221], np.int16)
    reference, prediction = (codes[rng.integers(0, 6, (30, 31))] for _ in range(2))
    histogram = joint_histogram(reference, prediction)
    assert histogram.labels.tolist() == sorted(codes.tolist())
    assert histogram.table.sum() == reference.size
    for label in (2221, (200, 1220, 2221), -5):
        counts = histogram.overlap(label)
        inside = [np.isin(array, label) for array in (reference, prediction)]
        assert (counts.tp, counts.n_reference, counts.n_prediction) == (
            (inside[0] & inside[1]).sum(), inside[0].sum(), inside[1].sum())  # fmt: skip
        assert counts.size == reference.size
    negative = joint_histogram(np.array([-3, 0, 5]), np.array([-3, 7, 0]))
    assert negative.overlap(-3).tp == 1


EMPTY = np.zeros((6, 8), bool)
SOME = EMPTY.copy()
SOME[2:4, 2:5] = True
STATES = {"both": (EMPTY, EMPTY), "prediction": (SOME, EMPTY), "reference": (EMPTY, SOME)}


@pytest.mark.parametrize("state", STATES)
def test_empty_masks_by_definition(state):
    reference, prediction = STATES[state]
    for id in DISTANCES:
        options = {"tolerance": 1.0} if id.startswith("nsd") else {}
        score = medbench.score(id, reference, prediction, spacing="pixel", empty="definition", **options)
        assert (score.value, score.status) == (None, "undefined"), id
    dice = medbench.score("dice", reference, prediction)
    assert (dice.value, dice.status) == ((None, "undefined") if state == "both" else (0.0, "ok"))
    assert medbench.score("specificity", reference, prediction).value == (
        1.0 if state != "reference" else 1 - 6 / 48
    )


@pytest.mark.parametrize("name", EMPTY_POLICIES)
@pytest.mark.parametrize("state", STATES)
def test_named_rules_for_empty_masks(name, state):
    policy = EMPTY_POLICIES[name]
    assigned = getattr(policy, state)
    score = medbench.score("hd95.pooled", *STATES[state], spacing=(2.0, 1.0), empty=name)
    assert score.status == "undefined"
    expected = {"diagonal": np.hypot(12, 8), "undefined": None}.get(assigned, assigned)
    assert score.value == (None if expected is None else pytest.approx(expected))
    if expected is not None:
        assert name in score.reason
    within = evaluate_arrays(*STATES[state], ["hd95.pooled"], [1], (2.0, 1.0), empty={"hd95.pooled": name})
    assert within["1"]["hd95.pooled"] == score


def test_a_rule_may_overrule_a_number_and_says_so():
    score = medbench.score("dice", *STATES["reference"], empty="transunet_dice")
    assert (score.value, score.status) == (1.0, "undefined")
    assert "transunet_dice" in score.reason
    skipped = medbench.score("dice", *STATES["reference"], empty="skip_empty_reference")
    assert (skipped.value, skipped.status) == (None, "undefined")
    agreed = medbench.score("dice", *STATES["prediction"], empty=EmptyPolicy("mine", prediction=0.0))
    assert (agreed.value, agreed.status) == (0.0, "ok")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: medbench.score("hd95", SOME, SOME), "metric.unknown"),
        (lambda: medbench.score("hd95.pooled", SOME, SOME), "metric.spacing"),
        (lambda: medbench.score("hd95.pooled", SOME, SOME, spacing=(1, 1, 1)), "metric.spacing"),
        (lambda: medbench.score("hd95.pooled", SOME, SOME, spacing=(1, 0)), "metric.spacing"),
        (lambda: medbench.score("hd95.pooled", SOME, SOME, spacing="mm"), "metric.spacing"),
        (lambda: medbench.score("dice", SOME, SOME[:5]), "metric.shape"),
        (lambda: medbench.score("dice", np.arange(6), np.arange(6)), "metric.labels"),
        (lambda: medbench.score("dice", SOME * 0.3 + 0.1, SOME), "metric.labels"),
        (lambda: medbench.score("nsd.count", SOME, SOME, spacing="pixel"), "metric.option"),
        (lambda: medbench.score("dice", SOME, SOME, tolerance=1), "metric.option"),
        (lambda: medbench.score("dice", SOME, SOME, empty="nobody"), "metric.empty_policy"),
        (lambda: medbench.score("asd.edge8", SOME[None], SOME[None]), "metric.shape"),
        (lambda: evaluate_arrays(SOME, SOME, ["kendall"]), "metric.family"),
        (lambda: evaluate_arrays(SOME * 0.5, SOME, ["dice"]), "metric.labels"),
        (lambda: evaluate_arrays(np.arange(9000), np.arange(9000), ["dice"]), "metric.labels"),
        (lambda: evaluate_arrays(SOME, SOME, ["hd"]), "metric.spacing"),
    ],
)
def test_errors(call, code):
    with pytest.raises(MedbenchError) as raised:
        call()
    assert raised.value.code == code
    assert raised.value.message


def test_zero_and_255_are_a_mask():
    assert medbench.score("dice", SOME * np.uint8(255), SOME).value == 1.0
    assert medbench.score("dice", SOME * -1.0, SOME).value == 1.0


def test_importing_is_light_and_leaves_no_trace():
    code = (
        "import sys, os; before = dict(os.environ); import medbench.metrics, medbench.metrics.catalogue;"
        "import medbench.cli.metrics;"
        "heavy = [m for m in ('torch','monai','medpy','cv2','SimpleITK','scipy.ndimage','scipy.spatial',"
        "'sklearn','pandas','cc3d') if m in sys.modules]; assert not heavy, heavy;"
        "assert dict(os.environ) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_memory_stays_near_one_mask():
    grid = np.ogrid[:120, :200, :200]
    places = zip(grid, (60, 100, 100), (40, 60, 60), strict=True)
    reference = sum(((axis - center) / radius) ** 2 for axis, center, radius in places) < 1
    prediction = np.roll(reference, 2, axis=1)
    tracemalloc.start()
    evaluate_arrays(reference, prediction, ["dice", "hd", "hd95.pooled", "assd.pooled"], [1], (1, 1, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < reference.nbytes + 32 * 2**20


def test_listing_is_strict_json():
    for id in medbench.list_metrics():
        convention = metric(id)
        json.dumps(convention.as_json(), allow_nan=False)
        assert convention.title
        assert convention.definition
        assert convention.source
        assert convention.better in ("higher", "lower")
