"""Challenges of boxes: files, COCO result JSON, scores against pycocotools, reports."""

import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from coco_oracle import coco_figures
from medbench.challenges import load_challenge
from medbench.challenges.cvc_clinicdb_boxes.files import LEAST_PIXELS
from medbench.challenges.families.cvc_frames.files import FRAMES, sequence_of, split_frames
from medbench.challenges.families.image_boxes.charts import box_charts
from medbench.challenges.families.image_boxes.components import component_boxes
from medbench.challenges.families.image_boxes.results import read_results
from medbench.challenges.families.image_boxes.scoring import class_box_columns
from medbench.challenges.kvasir_polyp.files import FOLDER, TABLE, hashed_split, read_boxes
from medbench.challenges.kvasir_polyp.sample import drawn_names, write_sample
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow
from medbench.core.sample import Boxes, Prediction
from medbench.metrics.tasks.ranked_boxes import RankedBoxes, match_boxes
from medbench.running.evaluate import evaluate
from medbench.testing.challenges import check_challenge

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "cvc_clinicdb"
SIDE = 96
NAMES = sorted(name for name in (f"image{k:03}" for k in range(80)) if hashed_split(name) == "test")[:9]


@pytest.fixture(scope="module")
def kvasir(tmp_path_factory):
    """Nine images of the test split, with random boxes that a test may write anew."""
    root = tmp_path_factory.mktemp("kvasir")
    (root / FOLDER / "images").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        image = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        cv2.imwrite(str(root / FOLDER / "images" / f"{name}.jpg"), image)
    write_table(root, random_boxes(0))
    return root


def random_boxes(seed):
    """Reference of each image, some without boxes."""
    rng = np.random.default_rng(seed)
    boxes = []
    for _ in NAMES:
        low = rng.integers(0, 60, (int(rng.integers(0, 5)), 2))
        corners = np.concatenate([low, low + rng.integers(3, 30, low.shape)], axis=1)
        boxes.append(Boxes.of_reference(corners, np.zeros(len(low))))
    boxes[seed % len(NAMES)] = Boxes.of_reference([[3, 4, 20, 40]], [0])
    return boxes


def write_table(root, references):
    table = {
        name: {
            "height": SIDE,
            "width": SIDE,
            "bbox": [
                {"label": "polyp", "xmin": int(a), "ymin": int(b), "xmax": int(c), "ymax": int(d)}
                for a, b, c, d in boxes.corners
            ],
        }
        for name, boxes in zip(NAMES, references, strict=True)
    }
    (root / FOLDER / TABLE).write_text(json.dumps(table))


def detections_of(references, seed):
    """Moved reference boxes and others, with equal scores in every other set; whole pixels in every third."""
    rng = np.random.default_rng([seed, 1])
    found = []
    for boxes in references:
        moved = np.repeat(boxes.corners, rng.integers(0, 3, len(boxes.classes)), axis=0)
        moved = moved + (rng.integers(-3, 4, moved.shape) if seed % 3 == 0 else rng.normal(0, 2, moved.shape))
        low = rng.integers(0, 70, (int(rng.integers(0, 3)), 2)).astype(float)
        corners = np.concatenate([moved, np.concatenate([low, low + 20], axis=1)])
        corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + 1)
        scores = rng.random(len(corners)).round(1 if seed % 2 else 6)
        found.append(Boxes(corners, scores, np.zeros(len(corners), int)))
    return found


def entries_of(found, names=NAMES):
    """COCO result JSON as a stranger writes it."""
    return [
        {"image_id": name, "category_id": 1, "bbox": [a, b, c - a, d - b], "score": score}
        for name, boxes in zip(names, found, strict=True)
        for (a, b, c, d), score in zip(boxes.corners.tolist(), boxes.scores.tolist(), strict=True)
    ]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def evaluated(root, folder, work):
    return evaluate("kvasir_polyp", folder, data=root, runs=work / "runs", leaderboards=work / "boards")


def check_equal(root, work, seed):
    references = random_boxes(seed)
    found = detections_of(references, seed)
    write_table(root, references)
    folder = work / f"set{seed}"
    write_json(folder / "results.json", entries_of(found))
    finished = evaluated(root, folder, work)
    due = coco_figures(references, found, NAMES)
    for name, value in due.items():
        assert finished.record.metrics[name].value == pytest.approx(value, abs=1e-12), (seed, name)
    shutil.rmtree(finished.folder)


@pytest.mark.parametrize("seed", range(3))
def test_evaluate_equals_pycocotools(kvasir, tmp_path, seed):
    check_equal(kvasir, tmp_path, seed)


@pytest.mark.slow
def test_evaluate_equals_pycocotools_on_200_random_sets(kvasir, tmp_path, full):
    for seed in range(200 if full else 12):
        check_equal(kvasir, tmp_path, seed)


@pytest.fixture
def answered(kvasir, tmp_path):
    """References, detections and a folder with their one file."""
    references = random_boxes(7)
    write_table(kvasir, references)
    found = detections_of(references, 7)
    write_json(tmp_path / "given" / "theirs.json", entries_of(found))
    return references, found, tmp_path / "given"


def test_files_of_images_and_the_one_of_all_score_the_same_as_a_strangers(kvasir, answered, tmp_path):
    _, found, folder = answered
    challenge = load_challenge("kvasir_polyp")
    cases = challenge.cases(kvasir, "test")
    for case, boxes in zip(cases, found, strict=True):
        path = challenge.write(Prediction({"boxes": [boxes]}), case, tmp_path / "ours")
        assert challenge.locate(case, tmp_path / "ours") == path
        again = challenge.exchange.read_prediction(case, path)
        np.testing.assert_allclose(again.corners, boxes.corners, rtol=1e-7, atol=1e-6)
        np.testing.assert_allclose(again.scores, boxes.scores, rtol=1e-8)
    table = challenge.exchange.gather(cases, tmp_path / "ours")
    assert len(json.loads(table.read_text())) == sum(len(boxes.scores) for boxes in found)
    alone = tmp_path / "alone" / "any.json"
    alone.parent.mkdir()
    shutil.copy(table, alone)
    theirs = evaluated(kvasir, folder, tmp_path).record.metrics
    for place in (tmp_path / "ours", alone.parent):
        ours = evaluated(kvasir, place, tmp_path).record.metrics
        for name, figures in theirs.items():
            assert ours[name].value == pytest.approx(figures.value, abs=1e-6), name


def test_names_may_have_the_suffix_of_their_file(kvasir, answered, tmp_path):
    _, found, folder = answered
    named = write_json(tmp_path / "b" / "r.json", entries_of(found, [f"{name}.jpg" for name in NAMES]))
    plain = read_results(folder / "theirs.json")
    assert {k: len(v) for k, v in read_results(named).entries.items()} == {
        k: len(v) for k, v in plain.entries.items()
    }


BAD = {
    "three numbers": ({"bbox": [1, 2, 3]}, "bbox is no list of four numbers"),
    "text": ({"bbox": [1, 2, "3", 4]}, "bbox is no list of four numbers"),
    "negative": ({"bbox": [1, 2, -3, 4]}, "the box is -3 wide and 4 high"),
    "no score": ({"score": None}, "score is no number"),
    "true": ({"score": True}, "score is no number"),
    "class": ({"category_id": 2}, "category_id is 2; known are 1 polyp"),
    "class 0": ({"category_id": 0}, "category_id is 0; known are 1 polyp"),
    "huge": ({"bbox": [1, 2, 10**400, 4]}, "bbox is no list of four numbers"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_entry_is_named_and_fails_its_image_alone(kvasir, answered, tmp_path, kind):
    _, found, _ = answered
    change, told = BAD[kind]
    entries = entries_of(found)
    entries[2] |= change
    folder = tmp_path / "bad"
    write_json(folder / "r.json", entries)
    finished = evaluated(kvasir, folder, tmp_path)
    assert finished.exit_code == 1
    assert (finished.record.counts.ok, finished.record.counts.failed) == (len(NAMES) - 1, 1)
    (row,) = [row for row in finished.rows if row.status == "failed"]
    assert row.case == entries[2]["image_id"]
    assert "entry 3" in row.reason
    assert told in row.reason
    assert row.scores["image_ap"].value == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[{]", "line 1: is no JSON"),
        ('{"annotations": []}', "is no list of detections, but an object with annotations"),
        ('[{"score": 1}]', "entry 1: names no image"),
        ("[3]", "entry 1: names no image"),
        ('[{"image_id": "unheard", "category_id": 1}]', "entry 1: there is no image 'unheard'"),
        ('[{"image_id": "image000", "score": NaN}]', "holds NaN"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "9" * 5000 + "]", "too long"),
    ],
    ids=range(8),
)
def test_a_file_that_is_no_list_of_detections_is_refused_before_anything_is_scored(
    kvasir, tmp_path, text, told
):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "r.json").write_text(text)
    with pytest.raises(MedbenchError) as caught:
        evaluated(kvasir, tmp_path / "p", tmp_path)
    assert told in caught.value.message
    assert "r.json" in caught.value.message


def test_failed_and_missing_images_count_as_images_without_detections(kvasir, answered):
    references, found, _ = answered
    challenge = load_challenge("kvasir_polyp")
    cases = challenge.cases(kvasir, "test")
    scorer = challenge.scorer
    rows = []
    for number, (case, boxes) in enumerate(zip(cases, found, strict=True)):
        if number < 3:
            scores = scorer.score_failed(case, ("failed", "missing")[number % 2], "reason")
            assert scores.scores["image_ap"].value == 0
        else:
            path = challenge.write(Prediction({"boxes": [boxes]}), case, kvasir / "out")
            scores = scorer.score_file(case, path)
        rows.append(CaseRow(case.id, case.id, "ok", scores.scores, scores.evidence))
    nothing = Boxes.of_reference([], [])
    due = coco_figures(references, [nothing] * 3 + found[3:], NAMES)
    for name, value in due.items():
        ours = float(scorer.statistic(challenge.metric(name), rows)(np.ones((1, len(rows))))[0])
        assert ours == pytest.approx(value, abs=1e-6), name


def test_a_folder_with_files_of_images_takes_no_other_file(kvasir, answered, tmp_path):
    _, found, _ = answered
    challenge = load_challenge("kvasir_polyp")
    cases = challenge.cases(kvasir, "test")
    challenge.write(Prediction({"boxes": [found[0]]}), cases[0], tmp_path / "p")
    challenge.exchange.gather(cases, tmp_path / "p")
    assert challenge.locate(cases[1], tmp_path / "p") is None
    assert challenge.score(cases[1], tmp_path / "p").scores["image_ap"].status == "missing"


def test_the_report_shows_curves_and_the_worst_images_with_their_boxes(kvasir, answered, tmp_path):
    references, found, folder = answered
    finished = evaluated(kvasir, folder, tmp_path)
    page = (finished.folder / "report.html").read_text()
    for told in ("Precision and recall", "IoU 0.50", "IoU 0.75", "<polygon", "Worst cases by AP of an image"):
        assert told in page
    challenge = load_challenge("kvasir_polyp")
    (chart,) = challenge.scorer.charts(finished.rows)
    half = next(curve for curve in chart.curves if curve.name == "IoU 0.50")
    assert np.mean(half.y) == pytest.approx(coco_figures(references, found, NAMES)["ap_50"], abs=1e-12)
    assert all(low <= high for low, high in zip(half.low, half.high, strict=True))
    worst = min(finished.rows, key=lambda row: row.scores["image_ap"].value)
    case = next(case for case in challenge.cases(kvasir, "test") if case.id == worst.case)
    (picture,) = challenge.exchange.illustrations(case, folder / "theirs.json")
    index = NAMES.index(case.id)
    assert [box.corners for box in picture.reference_boxes] == references[index].corners.tolist()
    assert len(picture.prediction_boxes) == min(5, len(found[index].scores))


def test_boxes_of_a_report_lie_above_the_image_with_their_texts():
    from medbench.core.overlay import DrawnBox, Illustration
    from medbench.records.figures import overlay

    nothing = np.zeros((40, 50), np.uint8)
    image = Illustration(
        np.zeros((40, 50, 3), np.uint8),
        nothing,
        nothing,
        reference_boxes=[DrawnBox((5, 6, 20, 21))],
        prediction_boxes=[DrawnBox((25, 6, 45, 30), "<b>0.9")],
    )
    whole, half = overlay(image), overlay(image, 0.5)
    assert '<rect class="reference" x="5.0" y="6.0" width="15.0" height="15.0"/>' in whole
    assert '<rect class="prediction" x="25.0" y="6.0" width="20.0" height="24.0"/>' in whole
    assert '<rect class="prediction" x="12.5" y="3.0" width="10.0" height="12.0"/>' in half
    assert whole.count("<text") == 1
    assert "&lt;b&gt;0.9</text>" in whole
    assert overlay(Illustration(image.image, nothing, nothing)) == ""


def test_faults_of_the_table_are_told_by_image_and_box_and_their_images_have_no_score(tmp_path):
    write_sample(tmp_path, {"test": 4})
    table = tmp_path / FOLDER / TABLE
    content = json.loads(table.read_text())
    first, second, third, fourth = content
    content[first]["bbox"][0]["xmax"] = content[first]["bbox"][0]["xmin"]
    content[second]["bbox"][0]["label"] = "ulcer"
    del content[third]
    content[fourth]["bbox"][0]["xmax"] = 4000
    content["unheard"] = {"bbox": []}
    table.write_text(json.dumps(content))
    challenge = load_challenge("kvasir_polyp")
    findings = {finding.message: finding.severity for finding in challenge.release.check(tmp_path)}
    told = "\n".join(message for message, severity in findings.items() if severity == "error")
    assert f"{first}, box 1" in told
    assert "has no area" in told
    assert "the label is ulcer, not polyp" in told
    assert f"has no entry of {third}" in told
    assert f"{fourth}, box 1" in told
    assert "leaves the image" in told
    assert any("1 entry has no image (unheard)" in message for message in findings)
    case = next(case for case in challenge.cases(tmp_path, "test") if case.id == third)
    assert challenge.scorer.score_failed(case, "failed", "x").scores["image_ap"].status == "undefined"
    table.write_text("[]")
    with pytest.raises(MedbenchError, match="is no JSON object of images"):
        read_boxes(table)


def test_the_check_says_what_the_corners_mean(tmp_path):
    write_sample(tmp_path, {"test": 3})
    challenge = load_challenge("kvasir_polyp")
    (note,) = [f.message for f in challenge.release.check(tmp_path) if "boxes and masks" in f.message]
    assert "of 4 boxes 4 are each that of a component of the mask with xmax and ymax one past" in note
    table = tmp_path / FOLDER / TABLE
    content = json.loads(table.read_text())
    for entry in content.values():
        for box in entry["bbox"]:
            box |= {"xmax": box["xmax"] - 1, "ymax": box["ymax"] - 1}
    table.write_text(json.dumps(content))
    (note,) = [f.message for f in challenge.release.check(tmp_path) if "boxes and masks" in f.message]
    assert "of 4 boxes 0 are each that" in note
    assert "4 with xmax and ymax its last pixel" in note


def test_splits_are_by_hash_and_named_ours():
    challenge = load_challenge("kvasir_polyp")
    names = drawn_names({"train": 5, "val": 2, "test": 3})
    assert sorted(map(hashed_split, names)) == ["test"] * 3 + ["train"] * 5 + ["val"] * 2
    assert "medbench's" in challenge.release.split_facts("test").rule


def test_kvasir_keeps_the_contract(tmp_path):
    write_sample(tmp_path, {"train": 2, "val": 1, "test": 4})
    check_challenge("kvasir_polyp", tmp_path)


def test_boxes_of_components_and_specks():
    mask = np.zeros((40, 60), np.uint8)
    mask[3:10, 5:20] = 255
    mask[10, 20] = 255
    mask[30, 50:52] = 255
    assert component_boxes(mask).tolist() == [[5, 3, 21, 11], [50, 30, 52, 31]]
    assert component_boxes(mask, LEAST_PIXELS).tolist() == [[5, 3, 21, 11]]
    assert component_boxes(np.zeros((4, 5), np.uint8)).shape == (0, 4)


def test_cvc_boxes_share_frames_and_splits_with_its_masks(small_cvc):
    masks, boxes = load_challenge("cvc_clinicdb"), load_challenge("cvc_clinicdb_boxes")
    assert boxes.release.data_set == "cvc_clinicdb"
    check_challenge("cvc_clinicdb_boxes", small_cvc)
    for split in ("train", "test"):
        own, other = boxes.cases(small_cvc, split), masks.cases(small_cvc, split)
        assert [(case.id, case.group) for case in own] == [(case.id, case.group) for case in other]
    case, other = own[0], other[0]
    mask = masks.release.read_reference(other)
    rows, columns = np.nonzero(mask)
    corners = boxes.release.read_reference(case).corners
    assert corners[:, :2].min(axis=0).tolist() == [columns.min(), rows.min()]
    assert corners[:, 2:].max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]


@pytest.mark.skipif(not REAL.is_dir(), reason="no real frames of CVC-ClinicDB here")
def test_specks_of_the_real_masks_are_no_boxes():
    challenge = load_challenge("cvc_clinicdb_boxes")
    case = next(case for case in challenge.cases(REAL, "train") if case.id == "258")
    mask = cv2.imread(str(case.reference["boxes"]), 0)
    assert len(component_boxes((mask > 127).astype(np.uint8))) == 3
    assert len(challenge.release.read_reference(case).classes) == 1


def test_the_joint_split_is_apart_from_training_and_overlaps_its_parts(small_cvc):
    release = load_challenge("cvc_clinicdb_boxes").release
    names = {split: {case.id for case in release.cases(small_cvc, split)} for split in release.splits[:3]}
    joint = {case.id for case in release.cases(small_cvc, "held_out")}
    assert joint == names["val"] | names["test"]
    assert release.training_split_of("held_out") == "train"
    for training, overlap in (("train", False), ("val", True), ("test", True), ("leaking_train", True)):
        assert release.overlap(training, "held_out") == overlap
    assert all("held_out" not in splits for splits in release.disjoint_splits())
    assert "held_out" not in load_challenge("cvc_clinicdb").release.splits


def test_folds_test_every_sequence_once_by_a_network_that_has_not_learnt_from_it(small_cvc, tmp_path):
    challenge = load_challenge("cvc_clinicdb_boxes")
    release = challenge.release
    cases = release.cases(small_cvc, "folds")
    assert sorted(case.id.rpartition("/")[2] for case in cases) == sorted(
        case.id for split in release.splits[:3] for case in release.cases(small_cvc, split)
    )
    for fold in release.parts("folds"):
        own, rest = (split_frames(split) for split in (fold, release.training_split_of(fold)))
        assert sorted((*own, *rest)) == [*FRAMES]
        assert not {sequence_of(frame) for frame in own} & {sequence_of(frame) for frame in rest}
        assert not release.overlap(f"{fold}_train", fold)
        assert release.overlap("train", fold)
        assert release.overlap(f"{fold}_train", "leaking_test")
        others = [other for other in release.parts("folds") if other != fold]
        assert all(release.overlap(f"{fold}_train", other) for other in others)
    for split in release.splits[7:]:
        facts = release.split_facts(split)
        parts = release.parts(split)
        names = [f"{part}/{frame}" for part in parts for frame in split_frames(part)]
        names = names or [str(frame) for frame in split_frames(split)]
        assert facts.cases == len(names)
        assert facts.names_sha256 == hashlib.sha256("\n".join(names).encode()).hexdigest()
    box = Boxes(np.array([[1.0, 2, 30, 40]]), np.array([0.5]), np.array([0]))
    for case in cases[:3]:
        challenge.write(Prediction({"boxes": [box]}), case, tmp_path)
    whole = challenge.exchange.gather(cases, tmp_path)
    named = {entry["image_id"] for entry in json.loads(whole.read_text())}
    assert named == {case.id.rpartition("/")[2] for case in cases[:3]}
    (tmp_path / "alone").mkdir()
    shutil.copy(whole, tmp_path / "alone" / "theirs.json")
    theirs = challenge.exchange.locate(cases[0], tmp_path / "alone")
    assert len(challenge.exchange.read_prediction(cases[0], theirs).classes) == 1


def test_curves_of_several_classes_are_at_iou_50_and_few_groups_have_no_bands():
    truth = Boxes.of_reference([[0, 0, 10, 10], [20, 20, 40, 40]], [0, 1])
    guess = Boxes(np.array([[0, 0, 10, 10], [20, 20, 40, 31]]), np.array([0.9, 0.8]), np.array([0, 1]))
    rows = [CaseRow(name, name, "ok", {}, {}) for name in "abc"]
    ranked = RankedBoxes.of([match_boxes(truth, guess)] * 3)
    (chart,) = box_charts(rows, ranked, ["mass", "nodule", "never seen"])
    assert chart.title == "Precision and recall at IoU 0.50"
    assert [(curve.name, set(curve.y)) for curve in chart.curves] == [("mass", {1.0}), ("nodule", {1.0})]
    assert "Too few groups" in chart.note
    assert not chart.curves[0].low
    (chart,) = box_charts(rows, ranked, ["mass"])
    assert [curve.name for curve in chart.curves] == ["IoU 0.40", "IoU 0.50", "IoU 0.75"]


def test_columns_of_each_class():
    columns = class_box_columns(["mass", "aortic arch"])
    assert [column.spec.name for column in columns] == [
        "ap_50_mass", "ap_50_aortic_arch", "map_mass", "map_aortic_arch",
    ]  # fmt: skip
    assert [column.of for column in columns] == [0, 1, 0, 1]
