"""Fixed missing modalities against the published assignments, and how often each is shown."""

import numpy as np
import pytest

from golden_files import golden
from medbench.core.errors import MedbenchError
from medbench.core.sample import TrainingVolume
from medbench.training.missing_modalities import (
    expected_counts,
    imbalanced_masks,
    patient_masks,
    random_subset,
    rates_by_channel,
    with_missing,
)

PUBLISHED = golden("missing_masks.json")
MODALITIES = {"t1c": ("t1ce",), "t1n": ("t1",), "t2f": ("flair",), "t2w": ("t2",)}
MR2468 = "t1=0.2 t1ce=0.4 flair=0.6 t2=0.8"
PRESENT = {
    "mr2468": (90, 135, 184, 43), "mr1379": (68, 156, 200, 23), "mr2258": (111, 180, 179, 44),
    "mr2285": (43, 180, 179, 113), "mr5528": (185, 111, 113, 42), "mr5582": (42, 111, 113, 186),
    "mr8825": (189, 44, 46, 118), "mr8852": (116, 44, 46, 190),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED["brats2020"])
def test_published_assignments(name):
    published = PUBLISHED["brats2020"][name]
    count = len(PUBLISHED["train_names_sorted"])
    t1, t1ce, flair, t2 = imbalanced_masks(count, published["missing_rate_t1_t1ce_flair_t2"]).T
    expected = np.array([PUBLISHED["mask_by_id_brats"][number] for number in published["mask_ids"]], bool)
    found = np.stack([flair, t1ce, t1, t2], axis=1)
    assert (found == expected).all()
    assert tuple(found.sum(axis=0)) == PRESENT[name]


def test_digits_of_a_published_name_belong_to_the_modalities_in_its_own_order():
    rates, places = rates_by_channel(MR2468, MODALITIES)
    assert rates == (0.2, 0.4, 0.6, 0.8)
    assert [list(MODALITIES)[place] for place in places] == ["t1n", "t1c", "t2f", "t2w"]
    names = PUBLISHED["train_names_sorted"]
    masks = patient_masks(names, MR2468, MODALITIES)
    expected = [PUBLISHED["mask_by_id_brats"][n] for n in PUBLISHED["brats2020"]["mr2468"]["mask_ids"]]
    assert (masks[:, [2, 0, 1, 3]] == np.array(expected, bool)).all()


@pytest.mark.parametrize("rates", [(0.5, 0.5, 0.5), (0.9, 0.9, 0.9, 0.9), (0.3,)], ids=str)
@pytest.mark.parametrize("count", [1, 3, 50])
def test_every_patient_has_something(count, rates):
    masks = imbalanced_masks(count, rates)
    assert masks.shape == (count, len(rates))
    assert masks.any(axis=1).all()
    assert (masks == imbalanced_masks(count, rates)).all()


def test_numpy_s_own_generator_is_left_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    imbalanced_masks(20, (0.5, 0.5))
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("rates", [(), (1.0, 0.5), (-0.1, 0.5)], ids=str)
def test_rates_that_cannot_be(rates):
    with pytest.raises(MedbenchError) as error:
        imbalanced_masks(5, rates)
    assert error.value.code == "training.missing_rates"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("t1=0.2 t1ce=0.4 flair=0.6", "training.missing_rates"),
        ("t1=0.2 t1n=0.4 flair=0.6 t2=0.8", "training.missing_rates"),
        ("t1=0.2 t1ce=0.4 flair=0.6 t2=much", "training.missing_rates"),
        ("t1=0.2 t1ce=0.4 flair=0.6 pet=0.8", "modality.unknown"),
    ],
)
def test_rates_that_do_not_fit_the_modalities(text, code):
    with pytest.raises(MedbenchError) as error:
        rates_by_channel(text, MODALITIES)
    assert error.value.code == code
    assert "t1c=0.5 t1n=0.5 t2f=0.5 t2w=0.5" in error.value.hint


def volume(number, group, seen=()):
    return TrainingVolume(f"case{number}", group, lambda: None, (), seen)


def test_all_cases_of_a_patient_lack_the_same():
    groups = [f"patient{number // 2}" for number in range(40)]
    shown = with_missing([volume(n, group) for n, group in enumerate(groups)], MR2468, MODALITIES)
    seen = np.array([item.visible for item in shown])
    assert (seen[::2] == seen[1::2]).all()
    assert len(np.unique(seen, axis=0)) > 3


def test_nothing_is_shown_that_the_files_lack():
    has = (True, False, False, False)
    for item in with_missing([volume(n, f"p{n}", has) for n in range(30)], MR2468, MODALITIES):
        assert item.visible == has


def test_subsets_are_drawn_evenly_and_never_empty():
    rng = np.random.default_rng(0)
    drawn = np.array([random_subset(np.array([True, False, True, True]), rng) for _ in range(2100)])
    assert drawn.any(axis=1).all()
    assert not drawn[:, 1].any()
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 7
    assert counts.min() > 240
    assert counts.max() < 360
    assert drawn.sum(axis=0) == pytest.approx(
        expected_counts(np.tile([True, False, True, True], (2100, 1)), subsets=True), rel=0.05
    )


def test_expected_counts_without_subsets_are_those_of_the_masks():
    masks = np.array([[True, False], [True, True], [False, True], [True, False]])
    assert list(expected_counts(masks, subsets=False)) == [3, 2]
    assert expected_counts(masks, subsets=True) == pytest.approx([2 + 2 / 3, 1 + 2 / 3])
