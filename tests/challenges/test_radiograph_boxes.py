"""RSNA pneumonia and object-CXR: one split for every task, boxes and masks that go together, bad boxes."""

import shutil

import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.challenges.object_cxr.files import boxes_of_annotation
from medbench.core.errors import MedbenchError

NAMES = ("rsna_pneumonia", "rsna_pneumonia_boxes", "rsna_pneumonia_masks")
COUNTS = {"train": 48, "val": 8, "test": 20, "train_10": 8, "train_1": 2}


@pytest.fixture
def rsna(unmarked, tmp_path):
    return shutil.copytree(unmarked("rsna_pneumonia"), tmp_path / "rsna")


@pytest.fixture
def objects(unmarked, tmp_path):
    return shutil.copytree(unmarked("object_cxr"), tmp_path / "objects")


@pytest.mark.parametrize("name", NAMES)
def test_the_three_tasks_share_their_splits(rsna, name):
    challenge, other = load_challenge(name), load_challenge(NAMES[0])
    for split, count in COUNTS.items():
        ids = [case.id for case in challenge.cases(rsna, split)]
        assert len(ids) == count
        assert ids == [case.id for case in other.cases(rsna, split)]
    assert challenge.release.data_set == "rsna_pneumonia"
    assert not [finding for finding in challenge.release.check(rsna) if finding.severity == "error"]


def test_class_boxes_and_mask_say_the_same(rsna):
    classes, boxes, masks = (load_challenge(name) for name in NAMES)
    for one, two, three in zip(
        *(challenge.cases(rsna, "test") for challenge in (classes, boxes, masks)), strict=True
    ):
        corners = boxes.release.read_reference(two).corners
        mask = masks.release.read_reference(three)
        assert classes.release.read_reference(one) == len(corners)
        area = sum((right - left) * (bottom - top) for left, top, right, bottom in corners)
        assert mask.sum() == area


def test_boxes_outside_and_bad_rows_fail_their_image_alone(rsna):
    table = rsna / "stage_2_train_labels.csv"
    boxes, masks = load_challenge(NAMES[1]), load_challenge(NAMES[2])
    cases = [case for case in boxes.cases(rsna, "test") if case.facts["boxes"]]
    lines = [line for line in table.read_text().splitlines() if not line.startswith(cases[0].id)]
    for row, code in (("120,10,20,10,1", "data.box_outside"), ("1,2,x,4,1", "data.boxes_missing")):
        table.write_text("\n".join([*lines, f"{cases[0].id},{row}"]) + "\n")
        for challenge in (boxes, masks):
            own = {case.id: case for case in challenge.cases(rsna, "test")}
            with pytest.raises(MedbenchError, match=cases[0].id) as caught:
                challenge.release.read_reference(own[cases[0].id])
            assert caught.value.code == code
            challenge.release.read_reference(own[cases[1].id])


def test_a_fraction_without_a_class_is_refused(rsna):
    table = rsna / "stage_2_train_labels.csv"
    one = load_challenge(NAMES[0]).cases(rsna, "train_1")[0].id
    table.write_text("\n".join(x for x in table.read_text().splitlines() if not x.startswith(one)) + "\n")
    for name in NAMES:
        with pytest.raises(MedbenchError) as caught:
            load_challenge(name).cases(rsna, "train_1")
        assert caught.value.code == "split.class_empty"


def test_objects_are_boxes_and_dev_is_the_test_set(objects):
    challenge = load_challenge("object_cxr")
    cases = {split: challenge.cases(objects, split) for split in challenge.release.splits}
    assert {split: len(rows) for split, rows in cases.items()} == COUNTS
    ids = {split: {case.id for case in rows} for split, rows in cases.items()}
    assert ids["train_1"] < ids["train_10"] < ids["train"]
    assert all(case.inputs["image"].parent.name == "dev" for case in cases["test"])
    for case in cases["test"]:
        grey = challenge.release.read_image(case.inputs["image"])[..., 0]
        for left, top, right, bottom in challenge.release.read_reference(case).corners.astype(int):
            assert grey[top:bottom, left:right].max() > 200
    assert not [finding for finding in challenge.release.check(objects) if finding.severity == "error"]
    assert boxes_of_annotation("1 5 6 1 2") == ((1.0, 2.0, 5.0, 6.0, 0),)
    assert [boxes_of_annotation(text) for text in ("3 1 2 3 4", "0 1 2 a 4", "2 1 2 3 4")] == [None] * 3


def test_a_fraction_without_objects_is_refused(objects):
    challenge = load_challenge("object_cxr")
    one = next(case.id for case in challenge.cases(objects, "train_1") if case.facts["boxes"])
    table = objects / "train.csv"
    lines = [line for line in table.read_text().splitlines() if not line.startswith(one)]
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(MedbenchError, match="images with objects") as caught:
        challenge.cases(objects, "train_1")
    assert caught.value.code == "split.class_empty"


def test_an_object_outside_and_a_row_of_nonsense_fail_their_image_alone(objects):
    challenge = load_challenge("object_cxr")
    first, second, third = (case.id for case in challenge.cases(objects, "test")[:3])
    table = objects / "dev.csv"
    lines = [line for line in table.read_text().splitlines() if line[:5] not in (first, second)]
    table.write_text("\n".join([*lines, f"{first}.jpg,0 1 2 500 6", f"{second}.jpg,0 1 2"]) + "\n")
    own = {case.id: case for case in challenge.cases(objects, "test")}
    for name, code in ((first, "data.box_outside"), (second, "data.boxes_missing")):
        with pytest.raises(MedbenchError, match=r"dev\.csv") as caught:
            challenge.release.read_reference(own[name])
        assert caught.value.code == code
    assert np.isfinite(challenge.release.read_reference(own[third]).corners).all()
