"""Definitions of the authors' programs on the values those programs gave."""

import numpy as np
import pytest

import medbench
from golden_files import golden

FACTS, ARRAYS = golden("brau_mslau_metrics")


@pytest.mark.parametrize("entry", FACTS["percase"], ids=lambda entry: entry["id"])
def test_dice_and_hd95_with_the_empty_rules_of_transunet(entry):
    reference, prediction = ARRAYS[f"{entry['id']}/gt"], ARRAYS[f"{entry['id']}/pred"]
    found = []
    for label, (dice, hd95) in enumerate(entry["dice_hd95_per_class"], start=1):
        first = medbench.score("dice.transunet", reference, prediction, label=label)
        second = medbench.score("hd95.transunet", reference, prediction, label=label, spacing="pixel")
        assert first.value == pytest.approx(dice, abs=1e-12)
        assert second.value == pytest.approx(hd95, abs=1e-12)
        found.append((first.value, second.value))
    assert np.mean(found, axis=0) == pytest.approx([entry["mean_dice"], entry["mean_hd95"]])


def test_the_golden_cases_hold_every_kind_of_emptiness():
    kinds = set()
    for entry in FACTS["percase"]:
        reference, prediction = ARRAYS[f"{entry['id']}/gt"], ARRAYS[f"{entry['id']}/pred"]
        kinds |= {
            (bool((reference == label).any()), bool((prediction == label).any()))
            for label in range(1, entry["n_classes"])
        }
    assert {(True, True), (True, False), (False, True)} <= kinds


def test_two_empty_masks_score_zero_by_transunets_rule():
    empty = np.zeros((4, 4), np.uint8)
    found = medbench.score("dice.transunet", empty, empty)
    assert (found.value, found.status) == (0.0, "undefined")
    assert medbench.score("hd95.transunet", empty, empty, spacing="pixel").value == 0.0


@pytest.mark.parametrize("entry", FACTS["isic_cvc_eval"], ids=lambda entry: entry["id"])
def test_the_papers_scores_of_one_picture(entry):
    reference, prediction = ARRAYS[f"{entry['id']}/gt"], ARRAYS[f"{entry['id']}/pred"]
    for id, key in (
        ("iou.plus_one", "iou"),
        ("dice.plus_one", "dice"),
        ("pixel_accuracy", "accuracy"),
        ("precision.epsilon", "precision"),
        ("sensitivity.epsilon", "recall"),
    ):
        assert medbench.score(id, reference, prediction).value == pytest.approx(entry[key], abs=3e-7), id


@pytest.mark.parametrize(("columns", "expected"), [(65, 0.65), (64, 0.0), (100, 1.0)])
def test_the_jaccard_index_of_isic_2018_is_zero_below_its_threshold(columns, expected):
    reference, prediction = np.zeros((2, 10, 100), np.uint8)
    reference[:] = 1
    prediction[:, :columns] = 1
    assert medbench.score("iou.thresholded", reference, prediction).value == expected
