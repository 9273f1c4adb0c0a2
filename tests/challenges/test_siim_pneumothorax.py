"""SIIM-ACR pneumothorax: run lengths, DICOM images, splits by image, two empty masks."""

import shutil

import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.challenges.families.radiographs import SPLITS
from medbench.challenges.siim_pneumothorax.leaking import leaking_places
from medbench.challenges.siim_pneumothorax.run_lengths import decode_runs, encode_runs
from medbench.core.errors import MedbenchError

CHALLENGE = load_challenge("siim_pneumothorax")


@pytest.fixture
def root(unmarked, tmp_path):
    return shutil.copytree(unmarked("siim_pneumothorax"), tmp_path / "siim")


def test_run_lengths_are_gaps_and_lengths_by_column():
    mask = np.zeros((4, 5), np.uint8)
    mask[1:3, 1], mask[0, 3] = 1, 1
    assert encode_runs(mask) == "5 2 5 1"
    np.testing.assert_array_equal(decode_runs("5 2 5 1", (4, 5), "row"), mask)
    assert not decode_runs("-1", (4, 5), "row").any()
    for text, code in (
        ("5 2 5 9", "data.rle_overflow"),
        ("5 2 5", "data.rle"),
        ("5 -2", "data.rle"),
        ("", "data.rle"),
    ):
        with pytest.raises(MedbenchError, match="row") as caught:
            decode_runs(text, (4, 5), "row")
        assert caught.value.code == code


def test_splits_keep_an_image_whole_and_fractions_lie_within_each_other(root):
    ids = {split: {case.id for case in CHALLENGE.cases(root, split)} for split in SPLITS}
    assert {split: len(names) for split, names in ids.items()} == {
        "train": 48, "val": 8, "test": 20, "train_10": 8, "train_1": 2,
    }  # fmt: skip
    assert ids["train_1"] < ids["train_10"] < ids["train"]
    assert not ids["train"] & (ids["val"] | ids["test"])
    assert not [finding for finding in CHALLENGE.release.check(root) if finding.severity == "error"]


def test_pieces_are_joined_inverted_files_are_read_and_empty_masks_agree(root, tmp_path):
    table = (root / "train-rle.csv").read_text().splitlines()[1:]
    rows = [line.partition(",")[0] for line in table]
    pieces = next(name for name in rows if rows.count(name) == 2)
    cases = {case.id: case for split in ("train", "val", "test") for case in CHALLENGE.cases(root, split)}
    mask = CHALLENGE.release.read_reference(cases[pieces])
    sizes = [decode_runs(line.partition(",")[2], mask.shape, "").sum() for line in table if pieces in line]
    assert mask.sum() == sum(sizes) > 0
    image = CHALLENGE.release.read_image(cases[pieces].inputs["image"])
    assert image[mask > 0].mean() < 128 < image.max()
    assert all(
        CHALLENGE.release.read_image(case.inputs["image"])[:3, :3].mean() > 60 for case in cases.values()
    )
    empty = np.zeros_like(mask)
    for reference, prediction, due in ((empty, empty, 1.0), (empty, mask, 0.0), (mask, empty, 0.0)):
        assert CHALLENGE.scorer.score_arrays(reference, prediction)["dice"].value == due


@pytest.mark.parametrize("count", [7, 40, 12954])
def test_the_leaking_split_is_scikit_learns(count):
    from sklearn.model_selection import train_test_split

    train, held_out = train_test_split(list(range(count)), test_size=0.3, random_state=0)
    test, val = train_test_split(held_out, test_size=0.5, random_state=0)
    assert leaking_places(count) == {"leaking_train": train, "leaking_test": test, "leaking_val": val}


def test_the_public_programs_split_tears_masks_and_is_never_ranked(root, tmp_path_factory):
    parts = ("leaking_train", "leaking_val", "leaking_test")
    cases = {part: {case.id: case for case in CHALLENGE.cases(root, part)} for part in parts}
    whole = {case.id: case for split in SPLITS[:3] for case in CHALLENGE.cases(root, split)}
    assert set().union(*cases.values()) == whole.keys()
    torn = [name for name in whole if sum(name in own for own in cases.values()) > 1]
    assert torn
    for name in torn:
        masks = [CHALLENGE.release.read_reference(own[name]) for own in cases.values() if name in own]
        joint = CHALLENGE.release.read_reference(whole[name])
        assert all(0 < mask.sum() < joint.sum() for mask in masks)
        np.testing.assert_array_equal(np.maximum.reduce(masks), joint)
    folder = tmp_path_factory.mktemp("answers")
    from medbench.io import raster

    for case in cases["leaking_test"].values():
        raster.write_label_map(folder / f"{case.id}.png", CHALLENGE.release.read_reference(case) * 255)
    from medbench.leaderboards.boards import make_board
    from medbench.leaderboards.rank import rank_runs
    from medbench.leaderboards.rows import row_of
    from medbench.records.reading import read_run
    from medbench.running.evaluate import evaluate

    asked = {
        "data": root,
        "split": "leaking_test",
        "runs": folder / "runs",
        "leaderboards": folder / "boards",
    }
    finished = evaluate("siim_pneumothorax", folder, **asked)
    assert finished.record.metrics["dice"].value == 1.0
    mark = CHALLENGE.release.split_facts("leaking_test").mark
    assert finished.record.settings["mark"] == mark
    (table,) = make_board(CHALLENGE, [row_of(finished.record, finished.folder)]).measured
    assert f"not ranked: {mark}" in table.title
    assert [entry.rank for entry in table.entries] == [None]
    one = read_run(finished.folder)
    import dataclasses

    twin = dataclasses.replace(one, record=one.record.model_copy(update={"key": "0" * 64}))
    with pytest.raises(MedbenchError, match="never ranked") as caught:
        rank_runs([one, twin])
    assert caught.value.code == "rank.marked"


def test_a_row_that_overflows_fails_its_image_alone(root):
    case = CHALLENGE.cases(root, "test")[0]
    path = root / "train-rle.csv"
    lines = [line for line in path.read_text().splitlines() if not line.startswith(case.id)]
    path.write_text("\n".join([*lines, f"{case.id},16380 9"]) + "\n")
    with pytest.raises(MedbenchError, match=f"line {len(lines) + 1}") as caught:
        CHALLENGE.release.read_reference(case)
    assert caught.value.code == "data.rle_overflow"
    assert CHALLENGE.release.read_reference(CHALLENGE.cases(root, "test")[1]).shape == (128, 128)


def test_a_fraction_without_a_class_is_refused(root):
    path = root / "train-rle.csv"
    one = next(case.id for case in CHALLENGE.cases(root, "train_1") if ".1" in case.id[-7:-4])
    lines = [line for line in path.read_text().splitlines() if not line.startswith(one)]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(MedbenchError) as caught:
        CHALLENGE.cases(root, "train_1")
    assert caught.value.code == "split.class_empty"
