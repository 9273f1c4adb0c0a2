"""HC18: measures, outlines, splits, bad input, the submission table, the sample, real images."""

import csv
import hashlib
import math
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from golden_files import golden
from medbench.challenges import load_challenge
from medbench.challenges.hc18.files import TABLES, subject_split
from medbench.challenges.hc18.outlines import read_head
from medbench.challenges.hc18.sample import drawn_names, write_sample
from medbench.challenges.hc18.table import SUBMISSION_COLUMNS, ellipse_row, write_submission
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction
from medbench.metrics.tasks.biometry import ellipse_perimeter, head_circumference_mm
from medbench.running.evaluate import evaluate
from medbench.running.request import Inference
from medbench.running.run import run

CHALLENGE = load_challenge("hc18")
GOLDEN = golden("hc18_metrics.json")["cases"]
SMALL = (216, 320)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Images of nine training subjects, five of them of the split test, and of two test images."""
    root = tmp_path_factory.mktemp("hc18")
    subjects = [f"{number:03}" for number in range(60)]
    test = [subject for subject in subjects if subject_split(subject) == "test"][:4]
    train = [subject for subject in subjects if subject_split(subject) == "train"][:3]
    names = sorted([f"{subject}_HC" for subject in test + train] + [f"{test[0]}_2HC"])
    write_sample(root, {"training_set": names, "test_set": ["000_HC", "001_HC"]}, size=SMALL)
    return root


@pytest.fixture
def release(drawn, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(drawn, tmp_path / "hc18")


@pytest.fixture
def answers(drawn, tmp_path):
    """The references of the test split, as predictions."""
    for case in CHALLENGE.cases(drawn, "test"):
        mask = CHALLENGE.release.read_reference(case)
        CHALLENGE.write(Prediction({"label_map": mask[np.newaxis]}), case, tmp_path / "answers")
    return tmp_path / "answers"


def ellipse_mask(center, axes, angle, shape=(540, 800)):
    return cv2.ellipse(np.zeros(shape, np.uint8), (center, axes, angle), 1, cv2.FILLED)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["filename"])
def test_circumference_of_the_reference_ellipses(case):
    (center, axes, angle), shape = case["ellipse_mask"], tuple(case["shape"])
    perimeter = ellipse_perimeter(axes[0] / 2, axes[1] / 2) * case["pixel_size_mm"]
    assert perimeter == pytest.approx(case["hc_mask_mm"], abs=1e-6)
    redrawn = ellipse_mask(center, axes, angle, shape)
    measured = head_circumference_mm(redrawn, pixel_size_mm=case["pixel_size_mm"])
    assert measured == pytest.approx(case["hc_mask_mm"], rel=0.006)


def perturbed(mask, dy, dx, disk):
    moved = np.roll(mask, (dy, dx), axis=(0, 1))
    rows, columns = np.ogrid[-abs(disk) : abs(disk) + 1, -abs(disk) : abs(disk) + 1]
    kernel = (rows**2 + columns**2 <= disk**2).astype(np.uint8)
    return moved if not disk else cv2.dilate(moved, kernel) if disk > 0 else cv2.erode(moved, kernel)


def test_all_four_numbers_of_the_real_mask(shared_data):
    path = shared_data / "hc18" / "500_HC_Mask.png"
    if not path.is_file():
        pytest.skip("no real mask 500_HC beside the checkout")
    (golden,) = [case for case in GOLDEN if case["filename"] == "500_HC.png"]
    reference = read_head(path)
    step = golden["pixel_size_mm"]
    assert reference.shape == tuple(golden["shape"])
    measured = head_circumference_mm(reference, pixel_size_mm=step)
    assert measured == pytest.approx(golden["hc_mask_mm"], abs=0.02)
    prediction = perturbed(reference, **golden["perturbation"])
    scores = CHALLENGE.score_arrays(reference, prediction, (step, step))
    for ours, theirs, tolerance in (
        ("df", "df_mm", 0.03), ("adf", "adf_mm", 0.03), ("dice", "dsc", 2e-3), ("hd", "hd_mm", step),
    ):  # fmt: skip
        assert scores[ours].value == pytest.approx(golden[theirs], abs=tolerance), ours


def test_all_four_numbers_of_two_disks():
    reference = ellipse_mask((400.0, 270.0), (240.0, 240.0), 0)
    prediction = ellipse_mask((400.0, 270.0), (200.0, 200.0), 0)
    scores = CHALLENGE.score_arrays(reference, prediction, (0.1, 0.1))
    assert scores["df"].value == pytest.approx(-2 * math.pi * 20 * 0.1, abs=0.1)
    assert scores["adf"].value == -scores["df"].value
    counted = 2 * prediction.sum() / (reference.sum() + prediction.sum())
    assert scores["dice"].value == pytest.approx(counted, abs=1e-12)
    assert scores["hd"].value == pytest.approx(2.0, abs=0.1)


def test_millimetres_need_square_pixels():
    mask = ellipse_mask((400.0, 270.0), (240.0, 200.0), 0)
    with pytest.raises(MedbenchError, match="millimetres"):
        CHALLENGE.score_arrays(mask, mask)
    with pytest.raises(MedbenchError, match="square pixels"):
        CHALLENGE.score_arrays(mask, mask, (0.1, 0.2))


def test_one_subject_is_in_one_split():
    by_split = {split: CHALLENGE.release.split_facts(split).cases for split in ("train", "val", "test")}
    assert sum(by_split.values()) == 999
    names = drawn_names()["training_set"]
    assert [name for name in names if name.startswith("000_")] == ["000_2HC", "000_HC"]


def test_the_recorded_sizes_and_hashes_are_those_of_the_release(shared_data):
    table = shared_data / "hc18" / TABLES["training_set"]
    if not table.is_file():
        pytest.skip("no table of HC18 beside the checkout")
    with open(table, newline="") as stream:
        names = sorted(row["filename"].removesuffix(".png") for row in csv.DictReader(stream))
    assert len(names) == 999
    for split in ("train", "val", "test"):
        members = [name for name in names if subject_split(name[:3]) == split]
        facts = CHALLENGE.release.split_facts(split)
        assert facts.cases == len(members)
        assert facts.names_sha256 == hashlib.sha256("\n".join(members).encode()).hexdigest()


def test_a_subject_s_pictures_are_one_group(drawn):
    groups = [case.group for case in CHALLENGE.cases(drawn, "test")]
    assert len(groups) == 5
    assert len(set(groups)) == 4


def test_an_outline_is_filled_and_measures_what_the_table_says(drawn):
    with open(drawn / TABLES["training_set"], newline="") as stream:
        rows = {row["filename"]: row for row in csv.DictReader(stream)}
    for case in CHALLENGE.cases(drawn, "test"):
        row = rows[f"{case.id}.png"]
        step = case.facts["pixel_size_mm"]
        assert step == float(row["pixel size(mm)"])
        measured = head_circumference_mm(CHALLENGE.release.read_reference(case), pixel_size_mm=step)
        assert measured == pytest.approx(float(row["head circumference (mm)"]), abs=1.5 * step)


def test_an_outline_that_leaves_the_picture_is_filled_up_to_the_frame(tmp_path):
    outline = cv2.ellipse(np.zeros((100, 140), np.uint8), ((70.0, 20.0), (80.0, 60.0), 0.0), 255, 1)
    cv2.imwrite(str(tmp_path / "1_Annotation.png"), outline)
    whole = ellipse_mask((70.0, 20.0), (80.0, 60.0), 0.0, outline.shape)
    filled = read_head(tmp_path / "1_Annotation.png")
    assert (filled != whole).sum() < 0.03 * whole.sum()


def test_filled_masks_are_read_as_they_are(tmp_path):
    mask = ellipse_mask((70.0, 50.0), (80.0, 60.0), 20.0, (100, 140))
    cv2.imwrite(str(tmp_path / "1_Mask.png"), np.repeat(mask[:, :, None] * 255, 3, axis=2))
    assert np.array_equal(read_head(tmp_path / "1_Mask.png"), mask)


def test_the_sample_has_the_release_s_files(drawn):
    picture = cv2.imread(str(drawn / "test_set" / "000_HC.png"), cv2.IMREAD_UNCHANGED)
    assert picture.shape == SMALL
    for path in (drawn / "training_set").glob("*_Annotation.png"):
        outline = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(outline)) == {0, 255}
        assert (outline > 0).sum() < 0.1 * read_head(path).sum()
    assert [finding for finding in CHALLENGE.release.check(drawn) if finding.severity == "error"] == []


def test_perfect_answers(drawn, answers, tmp_path):
    finished = evaluate("hc18", answers, data=drawn, runs=tmp_path / "runs")
    values = {name: metric.value for name, metric in finished.record.metrics.items()}
    assert values == {"dice": 1, "adf": 0, "df": 0, "hd": 0}
    assert finished.record.counts.ok == 5


def test_an_empty_or_missing_prediction_has_no_head(drawn, answers, tmp_path):
    cases = CHALLENGE.cases(drawn, "test")
    (answers / f"{cases[0].id}.png").unlink()
    cv2.imwrite(str(answers / f"{cases[1].id}.png"), np.zeros(SMALL, np.uint8))
    finished = evaluate("hc18", answers, data=drawn, runs=tmp_path / "runs")
    for row, case in zip(finished.rows[:2], cases, strict=False):
        step = case.facts["pixel_size_mm"]
        length = head_circumference_mm(CHALLENGE.release.read_reference(case), pixel_size_mm=step)
        assert row.scores["adf"].value == pytest.approx(length)
        assert row.scores["df"].value == pytest.approx(-length)
        assert row.scores["dice"].value == 0
        assert row.scores["hd"].value == pytest.approx(math.hypot(*SMALL) * step)
    assert [row.scores["dice"].status for row in finished.rows[:3]] == ["missing", "failed", "ok"]


def truncated(picture, outline, table):
    picture.write_bytes(picture.read_bytes()[:5000])
    return "not a readable image"


def colours(picture, outline, table):
    cv2.imwrite(str(picture), np.zeros((*SMALL, 3), np.uint8))
    return "8-bit RGB image; the release holds 8-bit grey"


def sixteen_bits(picture, outline, table):
    cv2.imwrite(str(picture), np.zeros(SMALL, np.uint16))
    return "16-bit grey"


def palette(picture, outline, table):
    Image.fromarray(cv2.imread(str(picture), 0)).quantize(16).save(picture)
    return "palette"


def opacity(picture, outline, table):
    cv2.imwrite(str(picture), np.zeros((*SMALL, 4), np.uint8))
    return "8-bit RGBA image; the release holds 8-bit grey"


def outline_of_another_size(picture, outline, table):
    cv2.imwrite(str(outline), cv2.imread(str(outline), 0)[:-8])
    return "is 208×320 where its image is 216×320"


def empty_outline(picture, outline, table):
    cv2.imwrite(str(outline), np.zeros(SMALL, np.uint8))
    return "holds no outline"


def open_outline(picture, outline, table):
    drawn = cv2.imread(str(outline), 0)
    columns = np.flatnonzero(drawn.any(axis=0))
    drawn[:, columns[len(columns) // 2 :][:12]] = 0
    cv2.imwrite(str(outline), drawn)
    return "is not closed"


def grey_outline(picture, outline, table):
    cv2.imwrite(str(outline), cv2.blur(cv2.imread(str(outline), 0), (3, 3)))
    return "is no outline or mask"


def no_pixel_size(picture, outline, table):
    kept = [line for line in table.read_text().splitlines(True) if not line.startswith(picture.name)]
    table.write_text("".join(kept))
    return "has no row with a positive pixel size"


BAD_PICTURES = (truncated, colours, sixteen_bits, palette, opacity)
DAMAGE = (
    *BAD_PICTURES, outline_of_another_size, empty_outline, open_outline, grey_outline,
    no_pixel_size,
)  # fmt: skip


@pytest.mark.parametrize("harm", DAMAGE, ids=lambda harm: harm.__name__)
def test_a_bad_file_is_named_in_one_line_and_the_rest_is_scored(release, answers, tmp_path, harm):
    case = CHALLENGE.cases(release, "test")[2]
    expected = harm(case.inputs["image"], case.reference["labels"], release / TABLES["training_set"])
    errors = [finding.message for finding in CHALLENGE.release.check(release) if finding.severity == "error"]
    assert len(errors) == 1, errors
    assert expected in errors[0]
    assert case.id in errors[0]
    assert "\n" not in errors[0]
    finished = evaluate("hc18", answers, data=release, runs=tmp_path / "runs")
    others = [row for row in finished.rows if row.case != case.id]
    assert [row.scores["dice"].value for row in others] == [1] * 4
    if harm not in BAD_PICTURES:
        (bad,) = [row for row in finished.rows if row.case == case.id]
        assert bad.status == "failed"
        assert expected in bad.reason


@pytest.mark.parametrize("harm", BAD_PICTURES, ids=lambda harm: harm.__name__)
def test_a_bad_picture_fails_alone_in_a_run(release, tmp_path, harm):
    case = CHALLENGE.cases(release, "test")[2]
    expected = harm(case.inputs["image"], case.reference["labels"], release / TABLES["training_set"])
    finished = run(
        "smp/unet", "hc18", data=release, weights="none", inference=Inference(image_size=64),
        options={"encoder": "resnet18"}, runs=tmp_path / "runs",
    )  # fmt: skip
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert (bad.case, bad.status) == (case.id, "failed")
    assert expected in bad.reason
    assert f"{{data}}/training_set/{case.id}.png: " in bad.reason
    assert "\n" not in bad.reason
    assert len(finished.rows) == 5
    assert finished.exit_code == 1


def test_the_submission_has_an_ellipse_for_each_test_picture(drawn, tmp_path):
    angles = {"000_HC": 30.0, "001_HC": 120.0}
    for case in CHALLENGE.cases(drawn, "official_test"):
        mask = ellipse_mask((150.0, 100.0), (120.0, 80.0), angles[case.id], SMALL)
        CHALLENGE.write(Prediction({"label_map": mask[np.newaxis]}), case, tmp_path / "masks")
    path = write_submission(
        CHALLENGE.release, CHALLENGE.exchange, drawn, tmp_path / "masks", tmp_path / "result.csv"
    )
    with open(path, newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == list(SUBMISSION_COLUMNS)
    assert [row["filename"] for row in rows] == ["000_HC.png", "001_HC.png"]
    for row, case in zip(rows, CHALLENGE.cases(drawn, "official_test"), strict=True):
        step = case.facts["pixel_size_mm"]
        assert float(row["center_x_mm"]) == pytest.approx(150 * step, abs=step)
        assert float(row["center_y_mm"]) == pytest.approx(100 * step, abs=step)
        assert float(row["semi_axes_a_mm"]) == pytest.approx(60 * step, abs=step)
        assert float(row["semi_axes_b_mm"]) == pytest.approx(40 * step, abs=step)
        assert math.degrees(float(row["angle_rad"])) == pytest.approx(angles[case.id], abs=1)


def test_an_incomplete_submission_is_not_written(drawn, tmp_path):
    case = CHALLENGE.cases(drawn, "official_test")[0]
    CHALLENGE.write(Prediction({"label_map": np.zeros((1, *SMALL), np.uint8)}), case, tmp_path / "masks")
    with pytest.raises(MedbenchError, match=r"2 of 2 .* 000_HC \(no ellipse fits its mask\)"):
        write_submission(
            CHALLENGE.release, CHALLENGE.exchange, drawn, tmp_path / "masks", tmp_path / "result.csv"
        )
    assert not (tmp_path / "result.csv").exists()
    assert ellipse_row("x", np.zeros(SMALL, np.uint8), 1.0) is None


def test_real_pictures(shared_data, tmp_path):
    root = shared_data / "hc18"
    if not (root / "training_set").is_dir():
        pytest.skip("no real images of HC18 beside the checkout")
    cases = CHALLENGE.cases(root, "val")
    assert len(cases) >= 5
    with open(root / TABLES["training_set"], newline="") as stream:
        table = {row["filename"]: float(row["head circumference (mm)"]) for row in csv.DictReader(stream)}
    for case in cases:
        mask = CHALLENGE.release.read_reference(case)
        CHALLENGE.write(Prediction({"label_map": mask[np.newaxis]}), case, tmp_path / "answers")
        assert CHALLENGE.read(case).images.shape[1:] == (*mask.shape, 3)
        measured = head_circumference_mm(mask, pixel_size_mm=case.facts["pixel_size_mm"])
        assert measured == pytest.approx(table[f"{case.id}.png"], abs=1.8)
    finished = evaluate("hc18", tmp_path / "answers", data=root, split="val", runs=tmp_path / "runs")
    assert finished.record.data == "real"
    assert finished.record.metrics["adf"].value == 0
    assert finished.record.counts.ok == len(cases)
