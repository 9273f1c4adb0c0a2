"""IUGC 2024: layouts, mask codings, scoring of files, and the declared rule for failures."""

import csv
import json

import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.challenges.families.intrapartum_masks import decode_mask
from medbench.challenges.iugc2024.files import parse_frame_list
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow
from medbench.core.sample import Prediction
from medbench.io import raster, video

SIZE = 96


def mask(shift=0):
    """A pubic symphysis and a fetal head with a tangent."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[((rows - 62) / 22) ** 2 + ((columns - 52 - shift) / 26) ** 2 <= 1] = 2
    labels[((rows - 22) / 6) ** 2 + ((columns - 28) / 14) ** 2 <= 1] = 1
    return labels


def coded_frames(n):
    """Every pixel tells its frame number."""
    return np.repeat(np.arange(n, dtype=np.uint8)[:, None, None] * 8 + 20, SIZE, axis=1).repeat(SIZE, axis=2)


def write_csv(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


@pytest.fixture
def release(tmp_path):
    """Two test videos and three training videos in the released layout."""
    root = tmp_path / "release"
    for split, names in {
        "train": ["20190909T1I1", "20190726T095643_0", "X"],
        "test": ["test_1_7", "test_2_5"],
    }.items():
        for name in names:
            file = f"{name}__{name}" if name == "X" else name
            video.write_video(
                root / split / "videos" / f"{file}.avi",
                coded_frames(int(name[-1]) + 1 if split == "test" else 10),
            )
    for frame in (0, 9, 4):
        raster.write_label_map(
            root / "train/seg/20190909T1I1/mask" / f"20190909T1I1_{frame}_6.png",
            np.array([0, 7, 8], np.uint8)[mask()],
        )
    for name in ("test_1_7", "test_2_5"):
        raster.write_label_map(root / "test/seg" / f"{name}.png", np.array([0, 127, 255], np.uint8)[mask()])
    write_csv(
        root / "train/seg/seg_info.csv",
        ["filename", "frame_count", "labeled_frame_count", "labeled_index"],
        [["20190909T1I1.avi", 10, 3, "0,4,9"]],
    )
    write_csv(
        root / "train/cls/class_label.csv",
        ["filename", "frame_count", "pos_index", "neg_index"],
        [
            ["20190909T1I1.avi", 10, "ALL", "NONE"],
            ["20190726T095643_0.avi", 10, "NONE", "ALL"],
            ["X.avi", 10, "ALL", "NONE"],
        ],
    )
    write_csv(
        root / "test/seg/seg_info.csv",
        ["filename", "frame_count", "labeled_frame_count", "labeled_frame_index"],
        [["test_1_7.avi", 8, 1, 7], ["test_2_5.avi", 6, 1, 5]],
    )
    write_csv(
        root / "test/cls/cls_label.csv",
        ["filename", "frame_count", "pos_index", "neg_index"],
        [["test_1_7.avi", 8, "[3, 4, 5, 6, 7]", "[0, 1, 2]"], ["test_2_5.avi", 6, "[4, 5]", "[0, 1, 2, 3]"]],
    )
    return root


@pytest.fixture
def challenge():
    return load_challenge("iugc2024")


def row(challenge, case, folder):
    scores = challenge.score(case, folder)
    return CaseRow(case.id, case.group, "ok", scores.scores, scores.evidence)


@pytest.mark.parametrize("coding", [(0, 1, 2), (0, 7, 8), (0, 127, 255)])
def test_every_coding_in_circulation_is_understood(coding):
    labels = mask()
    assert np.array_equal(decode_mask(np.array(coding)[labels], "m.png"), labels)
    only_head = np.where(labels == 2, coding[2], 0)
    assert np.array_equal(decode_mask(only_head, "m.png"), np.where(labels == 2, 2, 0))
    assert not decode_mask(np.zeros((4, 4), np.uint8), "m.png").any()


@pytest.mark.parametrize("values", [(0, 7, 255), (0, 3), (0, 1, 8), (0, 100, 200, 250)])
def test_other_labels_are_refused_by_file_and_value(values):
    with pytest.raises(MedbenchError) as caught:
        decode_mask(np.array([values]), "seg/bad.png")
    assert "seg/bad.png" in caught.value.message
    assert all(str(value) in caught.value.message for value in values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ALL", [0, 1, 2, 3]), ("NONE", []), ("[1, 3]", [1, 3]), ('"0,2"', [0, 2]), ("2", [2]), ("null", [])],
)
def test_frame_lists(text, expected):
    assert parse_frame_list(text, 4, "table") == expected


@pytest.mark.parametrize("text", ["SOME", "1,4", "-1", "1;2"])
def test_a_wrong_frame_list_names_its_table(text):
    with pytest.raises(MedbenchError, match=r"cls_label\.csv"):
        parse_frame_list(text, 4, "cls_label.csv")


def test_the_labelled_frame_is_read_by_its_true_index(challenge, release):
    for split, expected in (("train", [0, 4, 9]), ("test", [7, 5])):
        cases = [case for case in challenge.cases(release, split) if case.facts["task"] == "segmentation"]
        assert [case.facts["frame"] for case in cases] == expected
        for case in cases:
            sample = challenge.read(case)
            image = sample.images
            assert sample.demands == {"label_map"}
            assert image.shape == (1, SIZE, SIZE, 3)
            assert abs(float(image.mean()) - (case.facts["frame"] * 8 + 20)) < 3


def test_videos_carry_their_frame_classes_and_doubled_names(challenge, release):
    cases = {case.id: case for case in challenge.cases(release, "train")}
    assert cases["classification/20190909T1I1"].facts["classes"] == (1,) * 10
    assert cases["classification/20190726T095643_0"].facts["classes"] == (0,) * 10
    assert cases["classification/X"].inputs["video"].name == "X__X.avi"
    sample = challenge.read(cases["classification/X"])
    assert sample.images.shape == (10, SIZE, SIZE, 3)
    assert sample.demands == {"image_classes"}


def test_the_starting_kit_layout(challenge, tmp_path):
    video.write_video(tmp_path / "pos/v1/v1.avi", coded_frames(10))
    video.write_video(tmp_path / "neg/n1.avi", coded_frames(5))
    for frame in (0, 9):
        raster.write_label_map(
            tmp_path / "pos/v1/mask" / f"v1_{frame}_6.png", np.array([0, 7, 8], np.uint8)[mask()]
        )
    cases = {case.id: case for case in challenge.cases(tmp_path, "test")}
    assert set(cases) == {
        "segmentation/v1_0_6",
        "segmentation/v1_9_6",
        "classification/v1",
        "classification/n1",
    }
    assert cases["classification/n1"].facts["classes"] == (0,) * 5
    assert {case.group for case in cases.values()} == {"v1", "n1"}


def test_predictions_round_trip_and_score(challenge, release, tmp_path):
    rows = []
    for case in challenge.cases(release, "test"):
        if case.facts["task"] == "segmentation":
            challenge.write(Prediction({"label_map": mask()[None]}), case, tmp_path)
        else:
            known = np.array(case.facts["classes"])
            probabilities = np.stack([1 - known * 0.9, known * 0.9], axis=1).astype(np.float32)
            challenge.write(Prediction({"image_classes": probabilities}), case, tmp_path)
        rows.append(row(challenge, case, tmp_path))
    assert rows[0].scores["dice_all"].value == 1
    assert rows[0].scores["aop_contour"].value == 0
    for name in ("accuracy", "f1", "auc", "mcc"):
        statistic = challenge.scorer.statistic(challenge.metric(name), rows)
        assert statistic(np.ones((1, len(rows))))[0] == pytest.approx(1)
    assert json.loads(json.dumps(rows[-1].as_json())) == rows[-1].as_json()


def test_pooled_metrics_weigh_whole_videos(challenge, release, tmp_path):
    rows = []
    for case in challenge.cases(release, "test"):
        if case.facts["task"] == "classification":
            right = case.group == "test_1_7"
            known = np.array(case.facts["classes"]) if right else 1 - np.array(case.facts["classes"])
            challenge.write(
                Prediction({"image_classes": np.stack([1 - known, known], axis=1)}), case, tmp_path
            )
            rows.append(row(challenge, case, tmp_path))
    statistic = challenge.scorer.statistic(challenge.metric("accuracy"), rows)
    values = statistic(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]))
    assert values == pytest.approx([8 / 14, 1, 0, 16 / 22])


def test_an_empty_prediction_scores_as_the_official_program_does(challenge):
    scores = challenge.score_arrays(mask(), np.zeros_like(mask()))
    assert [scores[f"{metric}_fh"].value for metric in ("dice", "hd", "asd")] == [0, 100, 100]
    assert scores["aop_contour"].status == "failed"
    truth = challenge.score_arrays(mask(), mask())
    assert truth["aop_contour"].value == 0
    assert 60 < scores["aop_contour"].value < 180
    assert scores["hsd"].value == 100


def test_a_missing_prediction_takes_the_declared_rule(challenge, release, tmp_path):
    cases = challenge.cases(release, "test")
    segmentation = challenge.score(cases[0], tmp_path).scores
    assert {score.status for score in segmentation.values()} == {"missing"}
    assert segmentation["dice_ps"].value == 0
    assert segmentation["hd_all"].value == 100
    frames = challenge.score(cases[-1], tmp_path).evidence
    assert all(
        truth != chosen for truth, chosen in zip(frames["reference"], frames["prediction"], strict=True)
    )


def test_frames_without_a_class_are_not_classified(challenge):
    case = Case("v", {}, facts={"task": "classification", "classes": (1, -1, 0)})
    evidence = challenge.scorer.score_failed(case, "missing", "none").evidence
    assert evidence["reference"] == [1, 0]
    assert evidence["prediction"] == [0, 1]
    assert evidence["score"] == [0.0, 1.0]


def test_losing_a_prediction_never_improves_a_metric(challenge, release, tmp_path):
    cases = challenge.cases(release, "test")
    poor = tmp_path / "poor"
    for case in cases:
        if case.facts["task"] == "segmentation":
            challenge.write(Prediction({"label_map": mask(shift=9)[None]}), case, poor)
        else:
            n = len(case.facts["classes"])
            scores = np.random.default_rng(0).uniform(size=n)
            challenge.write(Prediction({"image_classes": np.stack([1 - scores, scores], 1)}), case, poor)
    full = [row(challenge, case, poor) for case in cases]
    for lost in range(len(cases)):
        rows = list(full)
        rows[lost] = row(challenge, cases[lost], tmp_path / "empty")
        for metric in challenge.metrics:
            with_all, without = (
                challenge.scorer.statistic(metric, chosen)(np.ones((1, len(rows))))[0]
                for chosen in (full, rows)
            )
            worse = without <= with_all + 1e-12 if metric.better == "higher" else without >= with_all - 1e-12
            assert worse, (metric.name, lost)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [("size", "48×48"), ("label", "9"), ("colour", "colour image"), ("bytes", "not a readable image")],
)
def test_a_bad_prediction_is_named(challenge, release, tmp_path, damage, expected):
    import cv2

    case = challenge.cases(release, "test")[0]
    path = tmp_path / challenge.exchange.prediction_name(case)
    path.parent.mkdir(parents=True)
    pictures = {
        "size": np.zeros((48, 48), np.uint8),
        "label": np.full((SIZE, SIZE), 9, np.uint8),
        "colour": np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), np.uint8),
    }
    if damage == "bytes":
        path.write_bytes(b"\x89PNG broken")
    else:
        cv2.imwrite(str(path), pictures[damage])
    with pytest.raises(MedbenchError) as caught:
        challenge.score(case, tmp_path)
    assert str(path) in caught.value.message
    assert expected in caught.value.message


def test_incomplete_or_malformed_class_tables_are_named(challenge, release, tmp_path):
    case = challenge.cases(release, "test")[-1]
    path = tmp_path / challenge.exchange.prediction_name(case)
    header = "frame,non_standard_plane,standard_plane\n"
    path.parent.mkdir(parents=True)
    for text, expected in (
        (header + "0,0.5,0.5\n", "5 of 6 frames"),
        (header + "".join(f"{i},nan,0.5\n" for i in range(6)), "6 of 6 frames"),
        (header + "zero,0.5,0.5\n", "class scores"),
        (header + "17,0.5,0.5\n", "frame 17"),
        ("frame,p\n0,1\n", "non_standard_plane"),
    ):
        path.write_text(text)
        with pytest.raises(MedbenchError, match=expected):
            challenge.score(case, tmp_path)


def test_check_reports_what_is_wrong(challenge, release):
    (release / "test/seg/test_2_5.png").unlink()
    (release / "train/videos/X__X.avi").write_bytes(b"")
    findings = challenge.release.check(release)
    errors = [finding.message for finding in findings if finding.severity == "error"]
    assert any("test_2_5.png" in message for message in errors)
    assert any("X__X.avi" in message for message in errors)
    assert len(errors) == 2


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_folder_without_the_data_says_what_is_expected(challenge, tmp_path, split):
    with pytest.raises(MedbenchError) as caught:
        challenge.cases(tmp_path, split)
    assert "Zenodo" in caught.value.hint


def test_a_mask_of_another_size_than_its_video_is_refused_before_a_training_and_by_the_check(
    release, tmp_path
):
    path = release / "train/seg/20190909T1I1/mask/20190909T1I1_4_6.png"
    raster.write_label_map(path, np.array([0, 7, 8], np.uint8)[mask()][:80])
    challenge = load_challenge("iugc2024")
    words = f"{path}: is 80×{SIZE} where its image is {SIZE}×{SIZE}."
    with pytest.raises(MedbenchError) as error:
        challenge.exchange.inputs["image"].examples(release, "train", tmp_path / "cache")
    assert error.value.code == "data.size_mismatch"
    assert error.value.message == words
    assert words in [
        finding.message for finding in challenge.release.check(release) if finding.severity == "error"
    ]
