"""Constant answers: the threshold, the shares and the mean boxes are the best or the mean ones."""

import numpy as np
import pytest

from medbench.core.sample import Boxes
from medbench.training.constant_fit import NEVER, STEPS, fit_boxes, fit_classes, fit_masks, spaced


def test_the_threshold_has_the_best_mean_dice_of_all():
    generator = np.random.default_rng(0)
    centre = np.abs(np.indices((12, 10)) - np.array([[[6]], [[5]]])).sum(axis=0)
    masks = [
        (centre + generator.integers(-2, 3, (12, 10)) < radius).astype(np.uint8) for radius in range(1, 8)
    ]
    masks.append(np.zeros((12, 10), np.uint8))
    frequencies, thresholds, dice = fit_masks(masks, 2)
    np.testing.assert_allclose(frequencies[0], np.mean(masks, axis=0))

    def mean_dice(threshold):
        constant = frequencies[0] >= threshold
        shown = [mask > 0 for mask in masks if mask.any()]
        return np.mean([2 * (constant & mask).sum() / (constant.sum() + mask.sum()) for mask in shown])

    every = [mean_dice(step) for step in np.arange(1, STEPS + 1) / STEPS * frequencies.max()]
    assert dice[0] == pytest.approx(max(every), abs=1e-12)
    assert mean_dice(thresholds[0]) == pytest.approx(max(every), abs=1e-12)
    assert min(every) < 0.8 * max(every)


def test_a_structure_that_no_mask_shows_is_never_answered():
    mask = np.zeros((4, 4), np.uint8)
    mask[1:3, 1:3] = 2
    frequencies, thresholds, dice = fit_masks([mask, mask], 4)
    assert thresholds.tolist() == [NEVER, 1.0, NEVER]
    assert dice.tolist() == [0.0, 1.0, 0.0]
    assert frequencies.max(axis=(1, 2)).tolist() == [0.0, 1.0, 0.0]


def test_shares_of_classes():
    assert fit_classes([0, 2, 2, 2], 3).tolist() == [0.25, 0.0, 0.75]
    assert fit_classes([], 4).tolist() == [0.25] * 4


def test_the_mean_box_of_each_class_is_as_sure_as_its_share_of_images():
    def boxes(*entries):
        corners = np.array([entry[:4] for entry in entries], np.float32).reshape(-1, 4)
        classes = np.array([entry[4] for entry in entries], np.int64)
        return Boxes(corners, np.ones(len(entries), np.float32), classes)

    images = [boxes((0, 0, 0.2, 0.2, 0), (0.4, 0.4, 0.6, 1, 0)), boxes(), boxes((0.5, 0, 1, 1, 3)), boxes()]
    corners, scores, classes = fit_boxes(images)
    np.testing.assert_allclose(corners, [[0.2, 0.2, 0.4, 0.6], [0.5, 0, 1, 1]], atol=1e-7)
    assert scores.tolist() == [0.25, 0.25]
    assert classes.tolist() == [0, 3]


def test_examples_are_evenly_spaced():
    assert spaced(1000, 4) == [0, 250, 500, 750]
