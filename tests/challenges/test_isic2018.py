"""ISIC 2018 task 1: splits, scores, file formats, the sample, real images."""

import hashlib
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from medbench.challenges import load_challenge
from medbench.challenges.isic2018.files import hashed_split, papers_test
from medbench.challenges.isic2018.sample import drawn_names, write_sample
from medbench.core.errors import MedbenchError
from medbench.running.evaluate import evaluate
from medbench.running.request import Inference
from medbench.running.run import run

CHALLENGE = load_challenge("isic2018")
NAMES = [f"ISIC_{number:07}" for number in range(2594)]


def answers(data, split, folder):
    folder.mkdir()
    for case in CHALLENGE.cases(data, split):
        mask = CHALLENGE.release.read_reference(case) * 255
        cv2.imwrite(str(folder / CHALLENGE.exchange.prediction_name(case)), mask)
    return folder


def fresh(data, **more):
    return run(
        "smp/unet", "isic2018", data=data, weights="none", inference=Inference(image_size=64),
        options={"encoder": "resnet18"}, **more,
    )  # fmt: skip


def test_the_hashed_split_is_by_name_alone_and_of_the_wanted_shares():
    found = [hashed_split(name) for name in NAMES]
    assert found == [hashed_split(name) for name in NAMES]
    for split, share in (("test", 0.10), ("val", 0.18), ("train", 0.72)):
        assert found.count(split) / len(NAMES) == pytest.approx(share, abs=0.02)
    digest = hashlib.sha256("\n".join(found).encode()).hexdigest()
    assert digest.startswith("41c9e253aed011cf")


def test_the_papers_split_follows_numpys_seed_42():
    np.random.seed(42)
    training = np.random.choice(NAMES, 2335, replace=False)
    held_out = papers_test(NAMES[::-1])
    assert len(held_out) == 259
    assert held_out == set(NAMES) - set(training.tolist())


def test_the_papers_split_needs_the_whole_training_set(small_isic):
    with pytest.raises(MedbenchError, match="2594 names"):
        CHALLENGE.cases(small_isic, "papers_test")


def test_the_papers_split_of_a_whole_training_set(tmp_path):
    folder = tmp_path / "ISIC2018_Task1-2_Training_Input"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.jpg").touch()
    test, train = (CHALLENGE.cases(tmp_path, split) for split in ("papers_test", "papers_train"))
    assert (len(test), len(train)) == (259, 2335)
    assert {case.id for case in test} == papers_test(NAMES)
    for split, cases in (("papers_test", test), ("papers_train", train)):
        assert CHALLENGE.release.split_facts(split).cases == len(cases)
        assert CHALLENGE.release.completeness(tmp_path, split) == (len(cases), len(cases))


def test_the_organisers_sets_come_from_their_folders(small_isic):
    counts = {
        split: len(CHALLENGE.cases(small_isic, f"official_{split}")) for split in ("train", "val", "test")
    }
    assert counts == {"train": 16, "val": 2, "test": 4}
    own = [case.id for split in ("train", "val", "test") for case in CHALLENGE.cases(small_isic, split)]
    assert sorted(own) == [case.id for case in CHALLENGE.cases(small_isic, "official_train")]


def test_a_copy_packed_anew_has_the_same_splits(small_isic, tmp_path):
    for index, case in enumerate(CHALLENGE.cases(small_isic, "official_train")):
        folder = tmp_path / ("train", "val")[index % 2]
        for name, path in (("images", case.inputs["image"]), ("masks", case.reference["labels"])):
            (folder / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / name)
    for split in ("train", "val", "test"):
        first, second = (CHALLENGE.cases(root, split) for root in (small_isic, tmp_path))
        assert [case.id for case in first] == [case.id for case in second]


@pytest.mark.parametrize(
    ("training", "split", "overlap"),
    [
        ("train", "test", False),
        ("train", "papers_test", True),
        ("papers_train", "test", True),
        ("papers_train", "papers_test", False),
        ("official_train", "test", True),
        ("official_train", "official_test", False),
        ("train", "official_test", False),
    ],
)
def test_which_splits_may_test_what_was_learnt_from_which(training, split, overlap):
    assert CHALLENGE.release.overlap(training, split) is overlap


def test_the_official_score_counts_a_jaccard_index_below_065_as_0():
    reference, prediction = np.zeros((2, 40, 50), np.uint8)
    reference[:20] = 1
    prediction[:12] = 1
    scores = CHALLENGE.score_arrays(reference, prediction)
    assert scores["iou"].value == pytest.approx(0.6)
    assert scores["iou_thresholded"].value == 0
    prediction[:14] = 1
    scores = CHALLENGE.score_arrays(reference, prediction)
    assert scores["iou_thresholded"].value == scores["iou"].value == pytest.approx(0.7)
    assert scores["specificity"].value == 1


def test_predictions_are_thresholded_above_128_as_the_organisers_do(small_isic, tmp_path):
    folder = answers(small_isic, "official_test", tmp_path / "p")
    for path in folder.iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mask[(mask == 0) & (np.indices(mask.shape)[0] % 3 == 0)] = 128
        cv2.imwrite(str(path), mask)
    finished = evaluate("isic2018", folder, data=small_isic, split="official_test")
    assert finished.record.metrics["iou_thresholded"].value == 1
    assert finished.record.challenge.released_cases == 1000
    assert finished.record.challenge.subset


def test_one_bad_file_of_each_kind_fails_alone(small_isic, tmp_path):
    data = shutil.copytree(small_isic, tmp_path / "data")
    folder = answers(data, "official_train", tmp_path / "p")
    pictures, masks = data / "ISIC2018_Task1-2_Training_Input", data / "ISIC2018_Task1_Training_GroundTruth"
    ids = [case.id for case in CHALLENGE.cases(data, "official_train")]
    told = {}

    def mask(index):
        return masks / f"{ids[index]}_segmentation.png"

    def inside(path):
        return f"{{data}}/{path.relative_to(data).as_posix()}"

    (masks / f"{ids[0]}_segmentation.png").unlink()
    told[ids[0]] = inside(mask(0))
    cv2.imwrite(str(mask(1)), np.zeros((5, 6), np.uint8))
    told[ids[1]] = f"{inside(mask(1))}: is 5×6"
    smeared = cv2.imread(str(mask(2)), cv2.IMREAD_UNCHANGED)
    mask(2).unlink()
    cv2.imwrite(str(mask(2).with_suffix(".jpg")), smeared, [cv2.IMWRITE_JPEG_QUALITY, 50])
    told[ids[2]] = "JPEG"
    mask(3).write_bytes(mask(3).read_bytes()[:60])
    told[ids[3]] = f"{inside(mask(3))}: not a readable image"
    (folder / f"{ids[4]}_segmentation.png").write_bytes(b"")
    told[ids[4]] = f"{ids[4]}_segmentation.png: not a readable image"
    finished = evaluate("isic2018", folder, data=data, split="official_train")
    bad = {row.case: row.reason for row in finished.rows if row.status != "ok"}
    assert set(bad) == set(told)
    assert all(told[case] in reason and "\n" not in reason for case, reason in bad.items())
    assert finished.exit_code == 1
    assert finished.record.metrics["dice"].scored == len(ids) - len(told)
    assert finished.record.metrics["dice"].value == pytest.approx((len(ids) - 5) / (len(ids) - 3))
    messages = [finding.message for finding in CHALLENGE.release.check(data) if finding.severity == "error"]
    assert len(messages) == 4
    assert (pictures / f"{ids[0]}.jpg").exists()


def truncated(path):
    path.write_bytes(path.read_bytes()[:600])


def sixteen_bits(path):
    encoded = cv2.imencode(".png", cv2.imread(str(path)).astype(np.uint16) * 257)[1]
    path.write_bytes(encoded.tobytes())


def palette(path):
    Image.open(path).quantize(16).save(path, format="PNG")


def opacity(path):
    Image.open(path).convert("RGBA").save(path, format="PNG")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (truncated, "not a readable image"),
        (sixteen_bits, "16-bit RGB"),
        (palette, "palette"),
        (opacity, "RGBA"),
    ],
)
def test_a_bad_picture_fails_alone_in_one_line_that_names_it(small_isic, tmp_path, spoil, told):
    data = shutil.copytree(small_isic, tmp_path / "data")
    case, *others = CHALLENGE.cases(data, "official_test")
    spoil(case.inputs["image"])
    finished = fresh(data, split="official_test", runs=tmp_path / "runs")
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert (bad.case, bad.status) == (case.id, "failed")
    assert f"{{data}}/{case.inputs['image'].relative_to(data).as_posix()}: " in bad.reason
    assert told in bad.reason
    assert "\n" not in bad.reason
    assert bad.scores["dice"].value == 0
    assert finished.record.metrics["dice"].scored == len(others)
    assert finished.exit_code == 1


def test_a_run_writes_the_organisers_names(small_isic):
    finished = fresh(small_isic, split="official_test")
    names = {path.name for path in (finished.folder / "predictions").iterdir()}
    assert names == {f"{case.id}_segmentation.png" for case in CHALLENGE.cases(small_isic, "official_test")}


def test_the_check_finds_a_picture_of_the_test_set_in_the_training_set(small_isic, tmp_path):
    data = shutil.copytree(small_isic, tmp_path / "data")
    test = next(iter(sorted((data / "ISIC2018_Task1-2_Test_Input").iterdir())))
    train = sorted((data / "ISIC2018_Task1-2_Training_Input").iterdir())[0]
    shutil.copy(test, train)
    shutil.copy(
        data / f"ISIC2018_Task1_Test_GroundTruth/{test.stem}_segmentation.png",
        data / f"ISIC2018_Task1_Training_GroundTruth/{train.stem}_segmentation.png",
    )
    errors = [finding.message for finding in CHALLENGE.release.check(data) if finding.severity == "error"]
    assert len(errors) == 1
    assert "official_test and official_train" in errors[0]


def test_a_clean_copy_passes_the_check(small_isic):
    findings = CHALLENGE.release.check(small_isic)
    assert not [finding for finding in findings if finding.severity == "error"]
    assert any("official_test: 4 of the release's 1,000 images" in finding.message for finding in findings)


def test_the_sample_has_useful_splits_and_the_same_bytes_each_time(tmp_path):
    names = drawn_names()
    splits = [hashed_split(name) for name in names["train"]]
    assert {split: splits.count(split) for split in set(splits)} == {"train": 40, "val": 6, "test": 12}
    assert len({name for chosen in names.values() for name in chosen}) == 72
    chosen = {"train": names["train"][:2]}
    write_sample(tmp_path / "a", chosen, ((40, 50),))
    write_sample(tmp_path / "b", {"train": chosen["train"][1:]}, ((40, 50),))
    for path in (path for path in (tmp_path / "b").rglob("*") if path.is_file()):
        assert (tmp_path / "a" / path.relative_to(tmp_path / "b")).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_real_pictures_run_as_a_subset_and_say_so(shared_data):
    finished = fresh(shared_data / "isic2018")
    share = finished.record.challenge
    assert finished.record.data == "real"
    assert share.subset
    assert share.released_cases == 2594
    assert share.cases < share.present_cases < 2594
    assert finished.exit_code == 0


@pytest.mark.slow
def test_real_pictures_pass_the_check(shared_data):
    assert not [f for f in CHALLENGE.release.check(shared_data / "isic2018") if f.severity == "error"]
