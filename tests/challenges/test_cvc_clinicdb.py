"""CVC-ClinicDB: splits, scores, bad files, the sample, real frames."""

import hashlib
import json
import shutil

import cv2
import numpy as np
import pytest
import tifffile

import medbench
from medbench.challenges import load_challenge
from medbench.challenges.families.cvc_frames.files import FRAMES, sequence_of, split_frames
from medbench.challenges.families.cvc_frames.sample import drawn_frames, write_sample
from medbench.core.errors import MedbenchError
from medbench.core.folders import leaderboards_folder
from medbench.io import eight_bit
from medbench.running.evaluate import evaluate
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.train import train

CHALLENGE = load_challenge("cvc_clinicdb")
SCHEMES = (("train", "val", "test"), ("leaking_train", "leaking_val", "leaking_test"))


@pytest.fixture
def release(small_cvc, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(small_cvc, tmp_path / "cvc")


@pytest.fixture
def answers(small_cvc, tmp_path):
    """The references of the test split, as predictions."""
    folder = tmp_path / "answers"
    folder.mkdir()
    for case in CHALLENGE.cases(small_cvc, "test"):
        cv2.imwrite(str(folder / f"{case.id}.png"), CHALLENGE.release.read_reference(case) * 255)
    return folder


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_frame_is_in_exactly_one_split_of_a_scheme(scheme):
    frames = [frame for split in scheme for frame in split_frames(split)]
    assert sorted(frames) == list(FRAMES)


@pytest.mark.parametrize("split", CHALLENGE.release.splits)
def test_the_recorded_size_and_hash_are_those_of_the_split(split):
    facts = CHALLENGE.release.split_facts(split)
    frames = split_frames(split)
    assert facts.cases == len(frames)
    assert facts.names_sha256 == hashlib.sha256("\n".join(map(str, frames)).encode()).hexdigest()


def test_the_sequence_split_follows_its_rule():
    order = (np.random.default_rng(42).permutation(29) + 1).tolist()
    assert {sequence_of(frame) for frame in split_frames("test")} == set(order[:6])
    assert {sequence_of(frame) for frame in split_frames("val")} == set(order[6:10])


def test_only_the_leaking_splits_share_sequences():
    def sequences(split):
        return {sequence_of(frame) for frame in split_frames(split)}

    assert not sequences("train") & sequences("test")
    assert not sequences("train") & sequences("val")
    published_training = sequences("leaking_train") | sequences("leaking_val")
    assert len(published_training & sequences("leaking_test")) == 27
    assert len(sequences("leaking_train") & sequences("leaking_val")) == 29


def test_training_and_test_are_of_one_scheme():
    assert CHALLENGE.release.training_split_of("leaking_test") == "leaking_train"
    assert CHALLENGE.release.training_split_of("test") == "train"
    assert CHALLENGE.release.overlap("leaking_train", "test")
    assert not CHALLENGE.release.overlap("train", "val")


@pytest.mark.parametrize(
    "layout", [("PNG/Original", "PNG/Ground Truth"), ("images", "masks"), ("png/images", "png/masks")]
)
def test_the_layouts_in_circulation_hold_the_same_cases(small_cvc, tmp_path, layout):
    for source, target in zip(("Original", "Ground Truth"), layout, strict=True):
        (tmp_path / target).mkdir(parents=True)
        for path in (small_cvc / source).iterdir():
            picture = tifffile.imread(path)
            swapped = picture[:, :, ::-1] if picture.ndim == 3 else picture
            cv2.imwrite(str(tmp_path / target / f"{path.stem}.png"), swapped)
    for case, other in zip(
        CHALLENGE.cases(small_cvc, "test"), CHALLENGE.cases(tmp_path, "test"), strict=True
    ):
        assert (case.id, case.group) == (other.id, other.group)
        assert np.array_equal(CHALLENGE.read(case).images, CHALLENGE.read(other).images)
        assert np.array_equal(CHALLENGE.release.read_reference(case), CHALLENGE.release.read_reference(other))


def test_an_unknown_layout_names_what_was_looked_for(tmp_path):
    with pytest.raises(MedbenchError, match="Original"):
        CHALLENGE.cases(tmp_path, "test")


def test_grey_mask_borders_are_background(small_cvc):
    case = next(case for case in CHALLENGE.cases(small_cvc, "test") if int(case.id) % 4 == 1)
    stored = tifffile.imread(case.reference["labels"])
    assert len(np.unique(stored)) > 2
    assert np.array_equal(CHALLENGE.release.read_reference(case), stored == 255)


def test_scores_are_those_of_the_counted_pixels():
    reference, prediction = np.zeros((2, 256, 256), np.uint8)
    reference[:40, :40] = 1
    prediction[:40, 10:50] = 1
    scores = CHALLENGE.score_arrays(reference, prediction)
    tp, fp, fn = 40 * 30, 40 * 10, 40 * 10
    expected = {
        "iou": tp / (tp + fp + fn),
        "dice": 2 * tp / (2 * tp + fp + fn),
        "accuracy": 1 - (fp + fn) / 65536,
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "iou_256": (tp + 1) / (tp + fp + fn + 1),
        "dice_256": (2 * tp + 1) / (2 * tp + fp + fn + 1),
        "accuracy_256": 1 - (fp + fn) / 65536,
        "precision_256": tp / (tp + fp + 1e-6),
        "recall_256": tp / (tp + fn + 1e-6),
    }
    assert {name: score.value for name, score in scores.items()} == pytest.approx(expected, abs=1e-12)


def test_the_papers_protocol_scores_at_256_pixels():
    reference, prediction = np.zeros((2, 288, 384), np.uint8)
    reference[60:140, 100:220] = 1
    prediction[70:150, 120:220] = 1
    scores = CHALLENGE.score_arrays(reference, prediction)
    small = [
        cv2.resize(m, (256, 256), interpolation=cv2.INTER_NEAREST_EXACT) for m in (reference, prediction)
    ]
    expected = medbench.score("dice.plus_one", *small).value
    assert scores["dice_256"].value == expected
    assert scores["dice_256"].value != scores["dice"].value


def test_right_answers_score_1_and_a_missing_one_scores_0(small_cvc, answers):
    (answers / "109.png").unlink()
    finished = evaluate("cvc_clinicdb", answers, data=small_cvc)
    rows = {row.case: row for row in finished.rows}
    assert finished.exit_code == 1
    assert finished.record.counts.model_dump() == {"total": 10, "ok": 9, "failed": 0, "missing": 1}
    assert finished.record.metrics["dice"].value == pytest.approx(0.9)
    assert finished.record.metrics["dice_256"].value == pytest.approx(0.9)
    assert all(score.value == 0 for score in rows["109"].scores.values())
    assert finished.record.metrics["iou"].missing == 1


def spoil_truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_16_bit(path):
    cv2.imwrite(str(path), eight_bit.raster.read_image(path)[:, :, ::-1].astype(np.uint16) * 257)


def spoil_palette(path):
    from PIL import Image

    Image.fromarray(eight_bit.raster.read_image(path)).quantize(16).save(path)


def spoil_rgba(path):
    picture = cv2.imread(str(path))
    cv2.imwrite(str(path), np.dstack([picture, np.full(picture.shape[:2], 200, np.uint8)]))


def spoil_lose(path):
    path.unlink()


def as_png(root, folder):
    for path in list((root / folder).glob("*.tif")):
        picture = tifffile.imread(path)
        cv2.imwrite(str(path.with_suffix(".png")), picture[:, :, ::-1] if picture.ndim == 3 else picture)
        path.unlink()


FAST = Inference(image_size=64)
OPTIONS = {"encoder": "resnet18"}


def fresh(data, **options):
    return run(
        "smp/unet", "cvc_clinicdb", data=data, weights="none", inference=FAST, options=OPTIONS, **options
    )


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_truncate, "not a readable image"),
        (spoil_16_bit, "16-bit RGB"),
        (spoil_palette, "palette"),
        (spoil_rgba, "RGBA"),
    ],
)
def test_a_bad_picture_fails_alone_in_one_line_that_names_it(release, spoil, told):
    as_png(release, "Original")
    path = release / "Original" / "109.png"
    spoil(path)
    finished = fresh(release)
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert (bad.case, bad.status) == ("109", "failed")
    assert bad.reason.startswith("{data}/Original/109.png: ")
    assert told in bad.reason
    assert "\n" not in bad.reason
    assert finished.exit_code == 1
    assert finished.record.metrics["dice"].scored == 9
    assert bad.scores["dice"].value == 0


def mask_of_wrong_size(path):
    cv2.imwrite(str(path), np.zeros((50, 60), np.uint8))


def mask_as_jpeg(path):
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    path.unlink()
    cv2.imwrite(str(path.with_suffix(".jpg")), mask, [cv2.IMWRITE_JPEG_QUALITY, 60])


def mask_in_colours(path):
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path), np.dstack([mask, mask * 0, mask * 0]))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_truncate, "not a readable image"),
        (mask_of_wrong_size, "50×60"),
        (mask_as_jpeg, "JPEG"),
        (mask_in_colours, "colour image"),
        (spoil_lose, "cannot be read"),
    ],
)
def test_a_bad_reference_fails_alone_and_enters_no_mean(release, answers, spoil, told):
    as_png(release, "Ground Truth")
    spoil(release / "Ground Truth" / "109.png")
    finished = evaluate("cvc_clinicdb", answers, data=release)
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert bad.case == "109"
    assert "Ground Truth/109." in bad.reason
    assert told in bad.reason
    assert finished.exit_code == 1
    assert finished.record.metrics["dice"].scored == 9
    if spoil is not mask_of_wrong_size:
        assert finished.record.metrics["dice"].undefined == 1
        assert finished.record.metrics["dice"].value == 1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_truncate, "not a readable image"),
        (mask_of_wrong_size, "50×60"),
        (mask_in_colours, "colour image"),
        (lambda path: cv2.imwrite(str(path), np.full((72, 96), 128, np.uint8)), "128"),
    ],
)
def test_a_bad_prediction_scores_0_and_is_named(small_cvc, answers, spoil, told):
    spoil(answers / "109.png")
    finished = evaluate("cvc_clinicdb", answers, data=small_cvc)
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert bad.reason.startswith("{predictions}/109.png: ")
    assert told in bad.reason
    assert finished.record.metrics["dice"].value == pytest.approx(0.9)
    assert finished.exit_code == 1


def test_the_record_names_the_split_its_rule_and_its_hash(small_cvc):
    record = fresh(small_cvc, split="leaking_test").record
    facts = CHALLENGE.release.split_facts("leaking_test")
    assert record.challenge.split_sha256 == facts.names_sha256
    assert "near duplicates" in record.challenge.split_rule
    assert (record.challenge.present_cases, record.challenge.released_cases) == (record.challenge.cases, 61)
    assert record.challenge.subset


@pytest.mark.slow
def test_weights_are_those_of_the_same_scheme_and_never_of_the_other(small_cvc):
    tiny = {"epochs": 1, "image_size": 32}
    weights = train(
        "smp/unet", "cvc_clinicdb", data=small_cvc, split="leaking_train", recipe="quick",
        recipe_changes=tiny, options=OPTIONS,
    )  # fmt: skip
    finished = run("smp/unet", "cvc_clinicdb", data=small_cvc, split="leaking_test", options=OPTIONS)
    assert finished.record.model.training["split"] == "leaking_train"
    with pytest.raises(MedbenchError, match="leaking_train, which shares cases with test"):
        run("smp/unet", "cvc_clinicdb", data=small_cvc, weights=weights, options=OPTIONS)
    with pytest.raises(MedbenchError, match="no weights"):
        run("smp/unet", "cvc_clinicdb", data=small_cvc, options=OPTIONS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["cvc_clinicdb", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("isic2018", "synapse"))],
)
def test_a_run_on_a_fresh_machine_draws_the_sample_and_says_so(name, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path))
    finished = run("smp/unet", name, weights="none", inference=Inference(image_size=32), options=OPTIONS)
    record = finished.record
    assert record.data == "sample"
    assert record.challenge.sample_version
    assert not record.challenge.subset
    assert record.challenge.released_cases is None
    assert finished.exit_code == 0
    page = (leaderboards_folder() / name / "README.md").read_text()
    assert "Synthetic sample: no result on real data" in page
    assert "Measured on real data" not in page


def test_predictions_are_masks_of_0_and_255_at_the_pictures_size(small_cvc):
    finished = fresh(small_cvc)
    written = sorted((finished.folder / "predictions").iterdir())
    assert len(written) == 10
    for path in written:
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (72, 96)
        assert set(np.unique(mask)) <= {0, 255}


def test_the_check_counts_and_finds_nothing_wrong_but_the_leak(small_cvc):
    findings = CHALLENGE.release.check(small_cvc)
    assert not [finding for finding in findings if finding.severity == "error"]
    text = " ".join(finding.message for finding in findings)
    assert "test: 10 of the release's 145" in text
    (leak,) = [finding for finding in findings if "groups lie in more than one" in finding.message]
    assert leak.message.startswith("leaking_train, leaking_val, leaking_test")
    assert "288×384" in text


def test_the_check_finds_duplicates_and_broken_files(release):
    shutil.copy(release / "Original/1.tif", release / "Original/109.tif")
    (release / "Ground Truth/26.tif").unlink()
    tifffile.imwrite(release / "Ground Truth/51.tif", np.zeros((72, 96), np.uint8))
    ones = (tifffile.imread(release / "Ground Truth/52.tif") > 127).astype(np.uint8)
    tifffile.imwrite(release / "Ground Truth/52.tif", ones)
    found = {(finding.severity, finding.message) for finding in CHALLENGE.release.check(release)}

    def told(severity, *words):
        return any(level == severity and all(w in message for w in words) for level, message in found)

    assert told("error", "109.tif", "the same image as", "1.tif", "test and train")
    assert told("error", "Ground Truth/26.tif")
    assert told("warning", "Ground Truth/51.tif", "nothing is marked")
    assert told("note", "Ground Truth/52.tif", "0/1")


def test_the_sample_is_the_same_bytes_whatever_else_is_drawn(tmp_path):
    write_sample(tmp_path / "a", {6: [104, 109], 7: [127]}, (48, 64))
    write_sample(tmp_path / "b", {6: [109]}, (48, 64))
    for folder in ("Original", "Ground Truth"):
        first, second = (tmp_path / side / folder / "109.tif" for side in "ab")
        assert first.read_bytes() == second.read_bytes()


def test_the_sample_covers_every_sequence_and_split():
    drawn = drawn_frames()
    frames = {frame for chosen in drawn.values() for frame in chosen}
    assert sorted(drawn) == list(range(1, 30))
    for split in CHALLENGE.release.splits:
        assert len(frames & set(split_frames(split))) >= 8, split


def test_a_drawn_polyp_is_no_larger_than_real_ones_and_never_cut_away(small_cvc):
    for split in ("train", "val", "test"):
        for case in CHALLENGE.cases(small_cvc, split):
            assert 0.005 < CHALLENGE.release.read_reference(case).mean() < 0.5, case.id


@pytest.mark.slow
def test_real_frames_run_as_a_subset_and_say_so(shared_data, capsys):
    from medbench.cli.results import show_finished

    finished = fresh(shared_data / "cvc_clinicdb")
    share = finished.record.challenge
    assert finished.record.data == "real"
    assert share.subset
    assert (share.present_cases, share.released_cases) == (share.cases, 145)
    assert 0 < share.cases < 145
    assert finished.exit_code == 0
    stored = json.loads((finished.folder / "record.json").read_text())
    assert stored["challenge"]["subset"] is True
    show_finished(finished, as_json=False)
    assert f"subset: {share.cases} of 145 cases" in capsys.readouterr().out


@pytest.mark.slow
def test_real_frames_pass_the_check(shared_data):
    findings = CHALLENGE.release.check(shared_data / "cvc_clinicdb")
    assert not [finding for finding in findings if finding.severity == "error"]
    (grey,) = [finding.message for finding in findings if "grey values" in finding.message]
    assert grey.startswith("53 of 220 masks")
