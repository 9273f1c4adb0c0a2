"""Arrays as callers give them: numbers in any dress score alike, all else is refused by its name."""

import doctest
import functools

import numpy as np
import pandas as pd
import pytest
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.core.sample import Boxes
from medbench.metrics import MaskPair, evaluate_arrays, metric
from medbench.metrics.tasks.long_segmentation import segment_features
from medbench.metrics.tasks.shots import make_summary, select_shots, shot_scores, spread_scores
from medbench.metrics.tasks.temporal_segmentation import kernel_temporal_segmentation

ARRAYS = [id for id in medbench.list_metrics() if metric(id).family != "detection"]
ONE_PER_FUNCTION = list({(metric(id).origin, str(metric(id).options)): id for id in ARRAYS}.values())
MASKS = [id for id in ARRAYS if metric(id).compares_masks]
OTHER_LENGTHS = ("fmeasure.max", "fmeasure.mean")
"""Summaries may differ by two frames from their videos in length."""
GROUPS = "spread_of_means"


class Labelled:
    """As arrays of xarray: no subclass, but an array for who asks."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


DRESSED = {
    "list": lambda array, folder: array.tolist(),
    "fortran": lambda array, folder: np.asfortranarray(array),
    "strided": lambda array, folder: np.repeat(array, 2, axis=-1)[..., ::2],
    "reversed": lambda array, folder: array[::-1].copy()[::-1],
    "big_endian": lambda array, folder: array.astype(array.dtype.newbyteorder(">")),
    "int64": lambda array, folder: array if array.dtype.kind == "f" else array.astype(np.int64),
    "float64": lambda array, folder: array.astype(np.float64),
    "read_only": lambda array, folder: read_only(array),
    "nothing_masked": lambda array, folder: np.ma.masked_array(array),
    "tensor": lambda array, folder: torch.from_numpy(array.copy()),
    "pandas": lambda array, folder: pd.DataFrame(array) if array.ndim == 2 else pd.Series(array),
    "labelled": lambda array, folder: Labelled(array),
    "memmap": lambda array, folder: memory_mapped(array, folder),
}


def memory_mapped(array, folder):
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def first_is(array, value):
    spoiled = np.array(array, np.float64)
    spoiled.flat[0] = value
    return spoiled


SPOILED = {
    "text": lambda array: np.full(array.shape, "x"),
    "numbers_as_text": lambda array: array.astype(str),
    "a_path": lambda array: "masks/1.png",
    "objects": lambda array: np.full(array.shape, None, object),
    "nothing": lambda array: None,
    "complex": lambda array: array * 1j,
    "dates": lambda array: np.zeros(array.shape, "M8[s]"),
    "ragged": lambda array: [[0, 1], [0]],
    "one_number": lambda array: 1,
    "empty": lambda array: np.zeros((0, *array.shape[1:])),
    "masked": lambda array: np.ma.masked_array(array, np.arange(array.size).reshape(array.shape) == 0),
    "nan": lambda array: first_is(array, np.nan),
    "infinity": lambda array: first_is(array, np.inf),
    "gradient": lambda array: torch.tensor(np.array(array, np.float64), requires_grad=True),
    "other_length": lambda array: np.concatenate([array, array[:1]]),
    "more_axes": lambda array: np.stack([array] * 2),
}


@functools.cache
def example(id):
    """Reference, prediction and options of a definition's example."""
    test = doctest.DocTestParser().get_doctest(metric(id).example, {}, id, None, 0)
    for line in test.examples:
        if not line.want:
            exec(line.source, test.globs)
    pair = np.asarray(test.globs["reference"]), np.asarray(test.globs["prediction"])
    options = {"tolerance": 1.0} if metric(id).options.get("tolerance", 0) is None else {}
    return *pair, options | ({"spacing": (1.0,) * pair[0].ndim} if metric(id).needs_spacing else {})


@pytest.mark.parametrize("dress", DRESSED)
def test_numbers_in_any_dress_score_alike(dress, tmp_path):
    for id in ONE_PER_FUNCTION:
        reference, prediction, options = example(id)
        if dress == "pandas" and max(reference.ndim, prediction.ndim) > 2:
            continue
        pair = DRESSED[dress](reference, tmp_path), DRESSED[dress](prediction, tmp_path)
        assert medbench.score(id, *pair, **options) == medbench.score(id, reference, prediction, **options), (
            id
        )


@pytest.mark.parametrize("spoil", SPOILED)
def test_what_is_no_array_of_numbers_is_refused_by_its_name(spoil):
    names = ("annotat", "summary", "predicted", "frame", "value", "label", "spacing")
    for id in ARRAYS:
        for side, pair, options in spoiled(id, spoil):
            with pytest.raises(MedbenchError) as caught:
                medbench.score(id, *pair, **options)
            error = caught.value
            assert error.code.startswith(("metric.", "summary.")), (id, side, error)
            assert "\n" not in str(error), (id, side)
            assert any(name in error.message.lower() for name in (side, *names)), (id, side, error)


def spoiled(id, spoil):
    """Calls that have to be refused: the side that is spoiled, both arrays, options."""
    reference, prediction, options = example(id)
    other_shape = spoil in ("more_axes", "other_length")
    if not (id in OTHER_LENGTHS and spoil == "other_length"):
        yield "prediction", (reference, SPOILED[spoil](prediction)), options
    named = id == GROUPS and not other_shape and spoil not in ("ragged", "empty", "one_number", "gradient")
    if not named and not (metric(id).family == "summary" and id != GROUPS and other_shape):
        yield "reference", (SPOILED[spoil](reference), prediction), options


@pytest.mark.parametrize("side", ["reference", "prediction"])
def test_probabilities_are_no_masks(side):
    for id in MASKS:
        reference, prediction, options = example(id)
        for value in (0.7, 1e-9):
            pair = {"reference": reference, "prediction": prediction}
            pair[side] = pair[side] * value
            for label in (None, 1):
                with pytest.raises(MedbenchError, match=side) as caught:
                    medbench.score(id, **pair, label=label, **options)
                assert caught.value.code == "metric.labels", id
            with pytest.raises(MedbenchError, match=side):
                evaluate_arrays(**pair, metric_ids=[id], spacing_mm="pixel", options={id: options_of(id)})


def options_of(id):
    return {"tolerance": 1.0} if metric(id).options.get("tolerance", 0) is None else {}


@pytest.mark.parametrize("ndim", [1, 4])
def test_other_numbers_of_axes_have_a_score_or_are_refused(ndim):
    reference, prediction = np.zeros((2, *(6,) * ndim), np.uint8)
    reference[(slice(1, 4),) * ndim], prediction[(slice(2, 5),) * ndim] = 1, 1
    for id in MASKS:
        outcome = outcome_of(id, reference, prediction, (1.0,) * ndim)
        assert outcome in ("ok", "undefined", "metric.shape"), id


def outcome_of(id, reference, prediction, spacing):
    """Status of a score, or the code of what refuses the arrays."""
    try:
        return medbench.score(id, reference, prediction, spacing=spacing, **options_of(id)).status
    except MedbenchError as error:
        return error.code


MASK = np.zeros((9, 11), np.uint8)
MASK[2:6, 3:8] = 1
MOVED = np.roll(MASK, 1, axis=1)


@pytest.mark.parametrize("inside", [1, -1, 7, 255, True, 3.0])
def test_a_binary_mask_may_have_any_one_value_inside(inside):
    expected = medbench.score("hd95.pooled", MASK, MOVED, spacing="pixel")
    given = np.where(MASK > 0, inside, type(inside)(0))
    assert medbench.score("hd95.pooled", given, MOVED.astype(bool), spacing="pixel") == expected


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", ">i2", "float64"])
def test_an_empty_mask_of_any_type_is_a_mask(dtype):
    empty = np.zeros(MASK.shape, dtype)
    assert medbench.score("dice", empty, MASK).value == medbench.score("dice", MASK, empty).value == 0
    assert medbench.score("dice", empty, empty).status == "undefined"


@pytest.mark.parametrize(
    "spacing",
    [1.0, 1, "1,1", ["a", "b"], (), (1,), (1, 1, 1), (0, 1), (1, -1), (np.nan, 1), (np.inf, 1), [[1], [2, 3]],
     (None, 1), (1j, 1), {"x": 1, "y": 1}, object()],
)  # fmt: skip
def test_spacing_that_is_none_is_refused(spacing):
    calls = (
        lambda: medbench.score("hd", MASK, MOVED, spacing=spacing),
        lambda: medbench.score("hc.adf", MASK, MOVED, spacing=spacing),
        lambda: evaluate_arrays(MASK, MOVED, ["hd"], [1], spacing),
        lambda: MaskPair(MASK > 0, MOVED > 0, spacing),
        lambda: medbench.load_challenge("acdc").score_arrays(MASK, MOVED, spacing),
    )
    for call in calls:
        with pytest.raises(MedbenchError) as caught:
            call()
        assert caught.value.code == "metric.spacing"
        assert "pacing" in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize(
    "label", ["1", "one", 0.5, np.nan, (), [], [1, "2"], {1, "2"}, {"one": 1}, [[1, 2], [3, 4]], None]
)
def test_what_is_no_label_is_refused(label):
    calls = [lambda: evaluate_arrays(MASK, MOVED, ["dice"], {"organ": label})]
    calls += [lambda: medbench.score("dice", MASK, MOVED, label=label)] if label is not None else []
    for call in calls:
        with pytest.raises(MedbenchError, match="label"):
            call()


@pytest.mark.parametrize(
    "label", [1, 1.0, np.int8(1), np.array(1), [1], (1, 5), {1}, range(1, 3), np.array([1, 9])]
)
def test_labels_of_any_type_are_taken(label):
    expected = medbench.score("dice", MASK, MOVED)
    assert medbench.score("dice", MASK, MOVED, label=label) == expected
    assert evaluate_arrays(MASK, MOVED, "dice", {"organ": label})["organ"]["dice"] == expected


@pytest.mark.parametrize("labels", [1, "1", ["1"], [0.5], [None]])
def test_lists_of_labels_that_are_none_are_refused(labels):
    with pytest.raises(MedbenchError, match="label"):
        evaluate_arrays(MASK, MOVED, ["dice"], labels)


BOX = Boxes.of_reference([[0, 0, 4, 4]], [1])
GUESS = Boxes(np.array([[0, 0, 4, 3.0]]), np.array([0.5]), np.array([1]))


@pytest.mark.parametrize("id", [id for id in medbench.list_metrics() if metric(id).family == "detection"])
def test_what_is_no_list_of_boxes_is_refused(id):
    assert medbench.score(id, [BOX], [GUESS]) == medbench.score(id, (BOX,), (GUESS,))
    for wrong in (
        None, "boxes", BOX, [None], [[0, 0, 4, 4]], np.zeros((1, 4)), [], [BOX, BOX],
        [Boxes(np.array([["a"] * 4]), np.ones(1), np.ones(1, int))],
        [Boxes(np.array([[0, 0, 4]]), np.ones(1), np.ones(1, int))],
        [Boxes(np.array([[4, 0, 0, 4]]), np.ones(1), np.ones(1, int))],
        [Boxes(np.array([[np.nan, 0, 1, 4]]), np.ones(1), np.ones(1, int))],
        [Boxes(np.array([[0, 0, 4, 4]]), np.array([None]), np.ones(1, int))],
        [Boxes(np.array([[0, 0, 4, 4]]), np.ones(1), np.array(["polyp"]))],
    ):  # fmt: skip
        for side, pair in {"reference": (wrong, [GUESS]), "prediction": ([BOX], wrong)}.items():
            with pytest.raises(MedbenchError, match=side):
                medbench.score(id, *pair)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: MaskPair([[0, 1]], [[0, 1]]), "reference"),
        (lambda: MaskPair(MASK > 0, MASK), "prediction"),
        (lambda: MaskPair(MASK > 0, MASK[1:] > 0), "shape"),
        (lambda: medbench.score("nsd.count", MASK, MOVED, spacing="pixel", tolerance="1"), "tolerance"),
        (lambda: medbench.score("nsd.area", MASK, MOVED, spacing="pixel", tolerance=-1), "tolerance"),
        (lambda: medbench.score("nsd.count", MASK, MOVED, spacing="pixel", tolerance=np.nan), "tolerance"),
        (lambda: medbench.score("dice.epsilon", MASK, MOVED, epsilon="x"), "epsilon"),
        (lambda: medbench.score("f1.instances", MASK, MOVED, rule="other"), "rule"),
        (lambda: medbench.score("sensitivity.one_vs_rest", [0, 1], [[1, 0], [0, 1]], of=2), "class"),
        (lambda: medbench.score("sensitivity.one_vs_rest", [0, 1], [[1, 0], [0, 1]], of=-1), "class"),
        (lambda: medbench.score("radial_error.point", [[0, 0]], [[1, 1]], of=3), "landmark"),
        (lambda: medbench.score("map.voc", [BOX], [GUESS], interpolation="line"), "interpolation"),
        (lambda: medbench.score("margin", [0, 0], [[0.5], [0.6]]), "classes"),
        (lambda: medbench.score("dice", MASK, MOVED, empty=[]), "empty"),
        (lambda: medbench.score(5, MASK, MOVED), "metric"),
        (lambda: medbench.score(None, MASK, MOVED), "metric"),
        (lambda: medbench.score("aop.contour", MASK, MASK[1:]), "shape"),
        (lambda: medbench.score("aop.contour", MASK * 255, MASK), "reference"),
        (lambda: medbench.score("hc.adf", MASK, MASK[1:], spacing=(1, 1)), "shape"),
        (lambda: medbench.score("hc.adf", MASK[0], MASK[0], spacing=(1,)), "2-D"),
        (lambda: medbench.score("dice.kpis_slide.official", MASK * -1.0, MASK), "reference"),
        (lambda: medbench.score("dice.kpis_slide.official", MASK.astype(int) * 300, MASK), "300"),
        (lambda: medbench.score("dice.kpis_patch.official", MASK * 255, MASK * 0.5), "prediction"),
        (lambda: spread_scores(["a"], [0], 9), "scores"),
        (lambda: spread_scores([np.nan], [0], 9), "scores"),
        (lambda: spread_scores([1], [0.5], 9), "picks"),
        (lambda: shot_scores([np.nan, 1], [[0, 1]]), "scores"),
        (lambda: shot_scores([[1, 1]], [[0, 1]]), "Scores"),
        (lambda: shot_scores([1, 1], [[0, 1.5]]), "change points"),
        (lambda: select_shots(["a"], [1], 2), "values"),
        (lambda: make_summary([1, None], [0, 1], 4, [[0, 3]]), "scores"),
        (lambda: kernel_temporal_segmentation(1.0), "kernel"),
        (lambda: kernel_temporal_segmentation([[np.nan]]), "kernel"),
        (lambda: segment_features([["a"]]), "features"),
    ],
)  # fmt: skip
def test_other_arguments_are_refused_by_their_name(call, words):
    with pytest.raises(MedbenchError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


LABEL_MAPS = {
    "isic2018": (0, 1), "cvc_clinicdb": (0, 1), "psfhs": (0, 1, 2), "iugc2024": (0, 1, 2),
    "acdc": (0, 1, 2, 3), "synapse": (0, 1, 8), "brats2020": (0, 1, 2, 4), "brats2023_gli": (0, 1, 2, 3),
    "brats2024_gli": (0, 3, 4), "brats2025_met": (0, 1, 2, 3), "myops2020": (0, 200, 500, 1220),
}  # fmt: skip
SPOILED_MAPS = {
    **SPOILED,
    "stray_label": lambda array: np.where(array > 0, array, 99),
    "half": lambda array: array / 3,
}


def label_map(name):
    ndim = 2 if name in ("isic2018", "cvc_clinicdb", "psfhs", "iugc2024") else 3
    labels = np.zeros((24, 24) if ndim == 2 else (6, 24, 24), np.int16)
    for place, value in enumerate(LABEL_MAPS[name][1:]):
        labels[..., 3 + 6 * place : 8 + 6 * place, 4:18] = value
    return labels


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_a_challenge_takes_its_own_labels_and_no_others(name):
    challenge, reference = medbench.load_challenge(name), label_map(name)
    prediction = np.roll(reference, 1, axis=-1)
    spacing = (1.0,) * reference.ndim
    expected = challenge.score_arrays(reference, prediction, spacing)
    for dress in ("list", "big_endian", "float64", "fortran", "tensor", "labelled"):
        pair = [DRESSED[dress](array, None) for array in (reference, prediction)]
        assert challenge.score_arrays(*pair, np.array(spacing)) == expected, dress
    for spoil, change in SPOILED_MAPS.items():
        for side, pair in {
            "reference": (change(reference), prediction),
            "prediction": (reference, change(prediction)),
        }.items():
            with pytest.raises(MedbenchError) as caught:
                challenge.score_arrays(*pair, spacing)
            assert caught.value.code.startswith("metric."), (spoil, side)


@pytest.mark.parametrize("name", ["isic2018", "cvc_clinicdb", "hc18", "siim_pneumothorax"])
def test_binary_challenges_take_masks_as_their_files_hold_them(name):
    challenge = medbench.load_challenge(name)
    expected = challenge.score_arrays(MASK, MOVED, (1.0, 1.0))
    for inside in (255, True):
        pair = [np.where(mask, inside, type(inside)(0)) for mask in (MASK, MOVED)]
        assert challenge.score_arrays(*pair, (1.0, 1.0)) == expected


@pytest.mark.parametrize("name", ["kpis_patch", "kpis_slide"])
def test_references_of_kpis_are_grey(name):
    challenge, grey = medbench.load_challenge(name), MASK * 255
    expected = challenge.score_arrays(grey, MOVED)
    assert expected["dice"].value == medbench.score("dice", MASK, MOVED).value
    assert challenge.score_arrays(grey.astype(float).tolist(), (MOVED * 255).tolist()) == expected
    wrong = (MASK, grey * 2.0, grey[0], grey[:0], "x", None, -1.0 * grey, first_is(grey, np.nan), grey * 1j)
    for reference in wrong:
        with pytest.raises(MedbenchError, match="reference"):
            challenge.score_arrays(reference, MOVED)
    for prediction in (MOVED * 0.5, MOVED[0], "x", None, MOVED + MASK, MOVED[1:]):
        with pytest.raises(MedbenchError, match="prediction"):
            challenge.score_arrays(grey, prediction)


@pytest.mark.parametrize(
    ("name", "reference", "prediction"),
    [
        ("isic2018_task3", [0, 1], [[0.5, 0.5], [0.5, 0.5]]),
        ("isic2018_task3", ["MEL"], [[1.0] * 7]),
        ("chexpert", [[1, 0]], [[0.5, 0.5]]),
        ("chexpert", [["a"] * 5], [[0.5] * 5]),
        ("chexpert", [[1, 0, 1, 0, 1]], [[0.5, np.nan, 0.5, 0.5, 0.5]]),
        ("cvc_clinicdb_boxes", [BOX], [None]),
        ("iugc2025", [[0, 0], [1, 1]], [[0, 0], [1, 1]]),
        ("iugc2025", [[0, 0], [1, 1], [2, 0]], [[0, 0], [1, "a"], [2, 0]]),
        ("summe", [[0, 1, 0.5]], [0, 1, 1]),
        ("tvsum", [[0, 1, 1]], ["a", "b", "c"]),
    ],
)
def test_other_challenges_refuse_what_they_cannot_score(name, reference, prediction):
    with pytest.raises(MedbenchError) as caught:
        medbench.load_challenge(name).score_arrays(reference, prediction)
    assert caught.value.code.startswith(("metric.", "summary."))
