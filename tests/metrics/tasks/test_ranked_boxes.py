"""COCO's figures against pycocotools, weights of images, and the conventions beside COCO's."""

import json

import numpy as np
import pytest

import medbench
from coco_oracle import coco_figures
from medbench.core.sample import Boxes
from medbench.metrics.tasks.ranked_boxes import (
    COCO_THRESHOLDS,
    LOW_THRESHOLDS,
    Matches,
    RankedBoxes,
    image_precision,
    match_boxes,
)

COLUMNS = {
    "map": "map.coco", "ap_50": "map.coco_50", "map_40_75": "map.coco_40_75", "ar_1": "ar.coco_1",
    "ar_10": "ar.coco_10", "ar_100": "ar.coco_100",
}  # fmt: skip


def random_set(seed, classes=3, images=7, most=9):
    """References and detections, some images without either; whole and broken pixels, equal scores."""
    rng = np.random.default_rng(seed)
    reference, prediction = [], []
    for _ in range(images):
        low = rng.integers(0, 60, (int(rng.integers(0, most)) * int(rng.random() < 0.8), 2)).astype(float)
        corners = np.concatenate([low, low + rng.integers(2, 30, low.shape)], axis=1)
        labels = rng.integers(1, classes + 1, len(low))
        moved = np.repeat(corners, rng.integers(0, 4, len(low)), axis=0)
        guesses = (
            np.repeat(labels, len(moved) and 1)
            if len(moved) == len(labels)
            else rng.choice(np.arange(1, classes + 1), len(moved))
        )
        moved = moved + (rng.integers(-3, 4, moved.shape) if seed % 2 else rng.normal(0, 2, moved.shape))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        scores = rng.random(len(moved)).round(1 if seed % 3 else 6)
        reference.append(Boxes.of_reference(corners, labels))
        prediction.append(Boxes(moved, scores, guesses))
    return reference, prediction


@pytest.mark.parametrize("seed", range(40))
def test_every_figure_equals_pycocotools(seed):
    reference, prediction = random_set(seed, most=9 if seed % 5 else 60)
    due = coco_figures(reference, prediction)
    for name, convention in COLUMNS.items():
        value = medbench.score(convention, reference, prediction).value
        assert (-1 if value is None else value) == pytest.approx(due[name], abs=1e-12), name


def test_a_detection_takes_the_last_of_equally_good_references_as_in_pycocotools():
    """The first detection lies between both references and leaves the first to the second detection."""
    reference = Boxes.of_reference([[0, 0, 10, 10], [10, 0, 20, 10]], [0, 0])
    between = np.array([[5.0, 0, 15, 10], [0, 0, 10, 10]])
    prediction = Boxes(between, np.array([0.9, 0.8]), np.array([0, 0]))
    assert match_boxes(reference, prediction, (0.3,))[0].hits.tolist() == [[True], [True]]


def test_more_than_a_hundred_detections_of_an_image_are_cut_as_in_pycocotools():
    rng = np.random.default_rng(0)
    low = rng.integers(0, 300, (150, 2)).astype(float)
    corners = np.concatenate([low, low + 20], axis=1)
    reference = [Boxes.of_reference(corners, np.ones(150))]
    prediction = [Boxes(corners, rng.random(150), np.ones(150, int))]
    due = coco_figures(reference, prediction)
    for name, convention in COLUMNS.items():
        assert medbench.score(convention, reference, prediction).value == pytest.approx(due[name], abs=1e-12)
    assert due["ar_100"] < 0.7


@pytest.mark.parametrize("seed", range(6))
def test_an_image_of_weight_two_counts_as_two_equal_images(seed):
    reference, prediction = random_set(seed)
    prediction = [
        Boxes(boxes.corners, np.random.default_rng([seed, k]).random(len(boxes.scores)), boxes.classes)
        for k, boxes in enumerate(prediction)
    ]
    weights = np.random.default_rng(seed).integers(0, 4, (5, len(reference)))
    ranked = RankedBoxes.of([match_boxes(*pair) for pair in zip(reference, prediction, strict=True)])
    ours = {
        "map": ranked.mean_precision(COCO_THRESHOLDS, weights.astype(float)),
        "map_40_75": ranked.mean_precision(LOW_THRESHOLDS, weights.astype(float)),
        "ar_10": ranked.mean_recall(COCO_THRESHOLDS, weights.astype(float), 10),
    }
    for number, row in enumerate(weights):
        order = np.repeat(np.arange(len(reference)), row)
        due = coco_figures([reference[k] for k in order], [prediction[k] for k in order])
        for name, values in ours.items():
            value = -1 if np.isnan(values[number]) else values[number]
            assert value == pytest.approx(due[name], abs=1e-12), name


def of_class(sides, label):
    """The boxes of one class alone."""
    return [
        Boxes(boxes.corners[own], boxes.scores[own], boxes.classes[own])
        for boxes in sides
        for own in [boxes.classes == label]
    ]


@pytest.mark.parametrize("seed", range(4))
def test_figures_of_one_class_are_those_of_its_boxes_alone(seed):
    reference, prediction = random_set(seed)
    ranked = RankedBoxes.of([match_boxes(*pair) for pair in zip(reference, prediction, strict=True)])
    ones = np.ones(len(reference))
    for label in (1, 2, 3):
        due = coco_figures(of_class(reference, label), of_class(prediction, label))
        assert ranked.mean_precision(COCO_THRESHOLDS, ones, label) == pytest.approx(due["map"], abs=1e-12)
        assert ranked.mean_recall(COCO_THRESHOLDS, ones, 1, label) == pytest.approx(due["ar_1"], abs=1e-12)
    assert np.isnan(ranked.mean_precision(COCO_THRESHOLDS, ones, 9))


def test_the_convention_that_skips_images_without_reference_or_prediction():
    one, nothing = Boxes.of_reference([[0, 0, 10, 10]], [0]), Boxes.of_reference([], [])
    right = Boxes(one.corners, np.array([0.5]), one.classes)
    false_alarm = Boxes(one.corners, np.array([0.9]), one.classes)
    reference, prediction = [one, nothing, one], [right, false_alarm, nothing]
    counted = medbench.score("map.coco", reference, prediction).value
    assert counted == pytest.approx(coco_figures(reference, prediction)["map"], abs=1e-12)
    assert counted == pytest.approx(0.5 * 51 / 101)
    assert medbench.score("map.coco.skip_empty", reference, prediction).value == 1.0
    assert medbench.score("map.coco.skip_empty", [one, nothing], [nothing, right]).status == "undefined"


def test_how_well_one_image_is_detected():
    one, nothing = Boxes.of_reference([[0, 0, 10, 10]], [0]), Boxes.of_reference([], [])
    assert image_precision(match_boxes(nothing, nothing)) == 1
    assert image_precision(match_boxes(one, nothing)) == 0
    assert image_precision(match_boxes(nothing, Boxes(one.corners, np.array([0.3]), one.classes))) == 0.7
    part = Boxes(np.array([[0, 0, 10, 7.2]]), np.array([0.1]), np.array([0]))
    assert image_precision(match_boxes(one, part)) == pytest.approx(0.5)


def test_matches_survive_json():
    (reference, *_), (prediction, *_) = random_set(1, images=1, most=30)
    for matches in match_boxes(reference, prediction).values():
        again = Matches.from_json(json.loads(json.dumps(matches.as_json())))
        assert again.n_reference == matches.n_reference
        np.testing.assert_array_equal(again.scores, matches.scores)
        np.testing.assert_array_equal(again.hits, matches.hits)
