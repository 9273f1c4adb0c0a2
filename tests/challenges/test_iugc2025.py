"""IUGC 2025: landmarks from tables and from masks, the angle from them, and rows that are refused."""

import math
import shutil

import numpy as np
import pytest

import medbench
from medbench.challenges.iugc2025.challenge import iugc2025
from medbench.challenges.iugc2025.exchange import mask_points
from medbench.challenges.iugc2025.sample import SEED, write_sample
from medbench.challenges.iugc2025.table import point_text
from medbench.challenges.simulators.ultrasound import draw_frame
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction
from medbench.io import raster
from medbench.metrics.tasks.biometry import aop_contour
from medbench.metrics.tasks.landmarks import angle_of_progression
from medbench.running.evaluate import evaluate

SIDE = 96
CHALLENGE = iugc2025()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Three training, one validation and eight test images of 96 × 96 in the release's layout."""
    root = tmp_path_factory.mktemp("iugc2025")
    write_sample(root, {"train": 3, "val": 1, "test": 8}, side=SIDE)
    return root


@pytest.fixture
def root(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "data")


def frame(number):
    return draw_frame(np.random.default_rng([SEED, 2, number]), height=SIDE, width=SIDE)


def scored(root, folder, tmp_path):
    return evaluate(
        "iugc2025", folder, data=root, runs=tmp_path / "runs", leaderboards=tmp_path / "boards"
    ).record


@pytest.mark.slow
def test_the_references_own_masks_score_nothing_in_every_coding(root, tmp_path):
    for coding in ((0, 1, 2), (0, 7, 8), (0, 127, 255)):
        folder = tmp_path / f"masks of {coding[2]}"
        folder.mkdir()
        for case in CHALLENGE.cases(root, "test"):
            labels = np.array(coding, np.uint8)[frame(int(case.id)).labels]
            raster.write_label_map(folder / f"{case.id}.png", labels)
        record = scored(root, folder, tmp_path)
        assert record.status == "complete"
        assert record.metrics["mre_all"].value == record.metrics["aop_error"].value == 0


def test_the_angle_of_the_points_is_that_of_the_contour_rule():
    for number in range(6):
        labels = frame(number).labels
        assert angle_of_progression(mask_points(labels)) == pytest.approx(aop_contour(labels).aop, abs=1e-9)


def test_a_table_from_elsewhere_gets_the_distances_and_angles_of_its_points(root, tmp_path):
    noise = np.random.default_rng(0)
    cases = CHALLENGE.cases(root, "test")
    due = [CHALLENGE.release.read_reference(case) for case in cases]
    moved = [points + noise.normal(0, 3, (3, 2)) for points in due]
    folder = tmp_path / "hand-in"
    folder.mkdir()
    rows = {f"{case.id}.png": points for case, points in zip(cases[::-1], moved[::-1], strict=True)}
    (folder / "landmarks.csv").write_text(point_text(rows))
    record = scored(root, folder, tmp_path)
    distances = np.array([np.linalg.norm(a - b, axis=1) for a, b in zip(due, moved, strict=True)])
    assert record.metrics["mre_all"].value == pytest.approx(distances.mean(), abs=1e-6)
    for index, name in enumerate(("mre_ps1", "mre_ps2", "mre_fh1")):
        assert record.metrics[name].value == pytest.approx(distances[:, index].mean(), abs=1e-6)

    def angle(points):
        a, b = points[1] - points[0], points[2] - points[0]
        return math.degrees(math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))

    errors = [abs(angle(a) - angle(b)) for a, b in zip(due, moved, strict=True)]
    assert record.metrics["aop_error"].value == pytest.approx(np.mean(errors), abs=1e-6)


def test_written_rows_are_read_back_and_gathered(root, tmp_path):
    cases = CHALLENGE.cases(root, "test")
    points = np.arange(6, dtype=np.float32).reshape(1, 3, 2) / 7
    for case in cases:
        path = CHALLENGE.write(Prediction({"landmarks": points}), case, tmp_path / "p")
        np.testing.assert_allclose(CHALLENGE.exchange.read_prediction(case, path), points[0], rtol=1e-7)
    table = CHALLENGE.exchange.gather(cases, tmp_path / "p")
    assert table.read_text().splitlines()[0] == "Filename,PS1,PS2,FH1"
    assert len(table.read_text().splitlines()) == 1 + len(cases)


def table_of(root, change):
    rows = {f"{c.id}.png": CHALLENGE.release.read_reference(c) for c in CHALLENGE.cases(root, "test")}
    lines = point_text(rows).splitlines()
    return "\n".join(change(lines)) + "\n"


@pytest.mark.parametrize(
    ("change", "failed", "words"),
    [
        (lambda lines: [*lines[:3], *lines[4:]], 1, "no prediction"),
        (lambda lines: [*lines, lines[2]], 1, "lines 3, 10: 00001 is there twice"),
        (lambda lines: [lines[0], lines[1].replace('"(', '"[', 1), *lines[2:]], 1, "line 2, column 'PS1'"),
        (lambda lines: [lines[0], lines[1].replace("(", "(nan, ", 1), *lines[2:]], 1, "is no point"),
    ],
)
def test_rows_that_are_no_points_fail_their_image_alone(root, tmp_path, change, failed, words):
    folder = tmp_path / "hand-in"
    folder.mkdir()
    (folder / "landmarks.csv").write_text(table_of(root, change))
    record = scored(root, folder, tmp_path)
    assert record.counts.failed + record.counts.missing == failed
    page = next((tmp_path / "runs").rglob("cases.jsonl")).read_text()
    assert words in page
    worst = (failed / 8) * math.hypot(SIDE, SIDE)
    assert record.metrics["mre_all"].value == pytest.approx(worst)
    assert record.metrics["aop_error"].value == pytest.approx(180 * failed / 8)


def test_a_table_without_a_column_ends_the_evaluation_in_one_line(root, tmp_path):
    folder = tmp_path / "hand-in"
    folder.mkdir()
    (folder / "landmarks.csv").write_text(table_of(root, lambda lines: [lines[0][:-1], *lines[1:]]))
    with pytest.raises(MedbenchError, match="column 'FH1' is not there"):
        scored(root, folder, tmp_path)


def test_masks_without_landmarks_or_of_another_size_fail(root, tmp_path):
    case = CHALLENGE.cases(root, "test")[0]
    for labels, words in (
        (np.zeros((SIDE, SIDE), np.uint8), "has no pubic symphysis"),
        (np.ones((8, 8), np.uint8), "is 8×8 where its image is 96×96"),
        (np.full((SIDE, SIDE), 3, np.uint8), "label values 3 .* fit no mask coding"),
    ):
        raster.write_label_map(tmp_path / f"{case.id}.png", labels)
        with pytest.raises(MedbenchError, match=words):
            CHALLENGE.scorer.score_file(case, tmp_path / f"{case.id}.png")


def test_equal_points_are_off_by_half_a_turn():
    due = [(0, 0), (-5, 0), (0, 7)]
    scores = CHALLENGE.score_arrays(due, [(1, 1), (1, 1), (0, 7)])
    assert scores["aop_error"].value == 180
    assert medbench.score("aop.points", [(0, 0), (0, 0), (1, 1)], due).status == "undefined"


def test_what_the_release_lacks_or_says_twice_is_told(root):
    table = root / "Dataset" / "Testing" / "landmarks_data.csv"
    table.write_text(table.read_text().replace("PS2", "Second", 1))
    with pytest.raises(MedbenchError, match="column 'PS2' is not there"):
        CHALLENGE.cases(root, "test")
    table.unlink()
    with pytest.raises(MedbenchError, match=r"Testing/landmarks_data\.csv"):
        CHALLENGE.cases(root, "test")
    with pytest.raises(MedbenchError, match=r"holds no data of IUGC 2025"):
        CHALLENGE.cases(root / "Dataset" / "Training", "train")


def test_the_check_compares_angles_with_landmarks(root):
    angles = root / "Dataset" / "Testing" / "aop_results.csv"
    lines = angles.read_text().splitlines()
    angles.write_text("\n".join([lines[0], lines[1].split(",")[0] + ",11.5", *lines[2:]]) + "\n")
    told = [finding.message for finding in CHALLENGE.release.check(root) if "aop_results" in finding.message]
    assert len(told) == 1
    assert "says 11.50°" in told[0]
    (root / "Dataset" / "Testing" / "00003.png").unlink()
    assert any("00003.png" in f.message and f.severity == "error" for f in CHALLENGE.release.check(root))


def test_images_may_lie_in_a_folder_beside_the_table(root):
    place = root / "Dataset" / "Validation"
    (place / "images").mkdir()
    (place / "00000.png").rename(place / "images" / "00000.png")
    (case,) = CHALLENGE.cases(root, "val")
    assert CHALLENGE.read(case).images.shape == (1, SIDE, SIDE, 3)


def test_published_rows():
    rows = {
        (row["split"], row["metrics"]["mre_all"], row["metrics"]["aop_error"])
        for row in CHALLENGE.published()
    }
    assert {("test", 21.83, 8.37), ("test", 13.28, 3.87), ("test", 13.16, 4.42)} <= rows
