"""Own images with boxes, declared from COCO JSON."""

import json
import shutil

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import medbench
from medbench.core.errors import MedbenchError
from medbench.core.sample import Boxes, Prediction
from medbench.io import raster
from medbench.running.declaring import Wishes, declare
from medbench.running.evaluate import evaluate
from medbench.running.request import Inference

IDS = {"polyp": 3, "tool": 7}


def _content(names, *, first=100):
    """COCO's content: two polyps and a tool in every image but the last, which has none."""
    generator = np.random.default_rng(len(names))
    images, annotations = [], []
    for number, name in enumerate(names):
        images.append(
            {"id": first + number, "file_name": name, "width": 64, "height": 48, "patient": name[:2]}
        )
        for category in ("polyp", "polyp", "tool") if number < len(names) - 1 else ():
            left, top = generator.uniform(0, 30, 2).round(2).tolist()
            box = [left, top, *generator.uniform(5, 17, 2).round(2).tolist()]
            annotations.append({"id": len(annotations) + 1, "image_id": first + number, "bbox": box,
                                "category_id": IDS[category], "iscrowd": 0,
                                "area": box[2] * box[3]})  # fmt: skip
    categories = [{"id": id, "name": name} for name, id in IDS.items()]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [*categories, {"id": 0, "name": "all"}],
    }


def _draw(folder, names, content=None, json_name="annotations.json", images="images"):
    for index, name in enumerate(names):
        image = np.full((48, 64, 3) if index % 2 else (48, 64), 40 + index, np.uint8)
        raster.write_image(folder / images / name, image)
    path = folder / json_name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content or _content(names)))
    return folder


NAMES = [f"p{index % 5}_{index:02}.png" for index in range(12)]


def _errors(name):
    challenge = medbench.load_challenge(name)
    findings = challenge.release.check(challenge.release.folder)
    return [finding.message for finding in findings if finding.severity == "error"]


def test_one_json_becomes_a_challenge_whose_splits_keep_groups_whole(place):
    declared = declare(_draw(place / "ours", NAMES), wishes=Wishes(group=r"(p\d)_"))
    assert declared.complete
    assert "COCO JSON annotations.json: 12 images with 33 objects (polyp 22, tool 11)." in declared.lines[0]
    assert declared.lines[-1].endswith("medbench run -m torchvision/retinanet_resnet50_fpn -c ours")
    challenge = medbench.load_challenge("ours")
    assert challenge.card.demands_besides == {"boxes": ("polyp", "tool")}
    splits = json.loads((place / "ours.splits.json").read_text())["splits"]
    groups = {split: {name[:2] for name in ids} for split, ids in splits.items()}
    assert sum(map(len, splits.values())) == 12
    assert not groups["train"] & groups["test"]
    assert _errors("ours") == []
    case = challenge.cases(place / "ours", "train")[0]
    assert challenge.exchange.inputs["image"].read(case).images.shape == (1, 48, 64, 3)


@pytest.mark.parametrize(
    ("json_name", "images", "template"),
    [
        ("{}/_annotations.coco.json", "{}", "{split}/{case}"),
        ("annotations/instances_{}2017.json", "{}2017", "{split}2017/{case}"),
        ("{}.json", "pool", "pool/{case}"),
    ],
)
def test_splits_of_their_own_files(place, json_name, images, template):
    for split, part in (("train", NAMES[:8]), ("valid", NAMES[8:10]), ("test", NAMES[10:])):
        _draw(place / "own", part, None, json_name.format(split), images.format(split))
    declare(place / "own")
    challenge = medbench.load_challenge("own")
    assert challenge.release.declaration.images == template
    assert challenge.release.default_split == "test"
    counts = {split: len(challenge.cases(place / "own", split)) for split in challenge.release.splits}
    assert counts == {"train": 8, "valid": 2, "test": 2}
    assert _errors("own") == []


def _by_coco(truth, detections):
    """AP and AP50 of the reference implementation."""
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    found = coco.loadRes(detections)
    evaluation = COCOeval(coco, found, "bbox")
    evaluation.params.catIds = sorted(IDS.values())
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[:2]


def test_detections_by_the_files_own_ids_score_as_pycocotools_does(place):
    content = _content(NAMES)
    _draw(place / "ours", NAMES, content)
    declare(place / "ours", wishes=Wishes(folds=2))
    generator = np.random.default_rng(1)
    detections = [
        {"image_id": one["image_id"],
         "category_id": generator.choice(list(IDS.values()), p=[0.7, 0.3]).item(),
         "bbox": (np.array(one["bbox"]) + generator.uniform(-2, 2, 4)).clip(0.5).tolist(),
         "score": float(generator.uniform())}
        for one in content["annotations"]
    ]  # fmt: skip
    (place / "theirs").mkdir()
    (place / "theirs/results.json").write_text(json.dumps(detections))
    expected = _by_coco(content, detections)
    finished = evaluate("ours", place / "theirs", split="folds")
    assert finished.record.counts.ok == 12
    for name, value in zip(("map", "ap_50"), expected, strict=True):
        assert finished.record.metrics[name].value == pytest.approx(value, abs=1e-9)
    by_name = [{**one, "image_id": NAMES[one["image_id"] - 100]} for one in detections]
    (place / "theirs/results.json").write_text(json.dumps(by_name))
    again = evaluate("ours", place / "theirs", split="folds")
    assert again.record.metrics["map"].value == finished.record.metrics["map"].value


def test_what_is_written_has_the_files_own_ids(place):
    declare(_draw(place / "ours", NAMES))
    challenge = medbench.load_challenge("ours")
    (case, *_) = challenge.cases(place / "ours", "test")
    boxes = Boxes(np.array([[1.0, 2, 11, 22]]), np.array([0.5]), np.array([1]))
    path = challenge.write(Prediction({"boxes": [boxes]}), case, place / "out")
    (entry,) = json.loads(path.read_text())
    assert entry == {"image_id": 100 + NAMES.index(f"{case.id}.png"), "category_id": 7,
                     "bbox": [1.0, 2.0, 10.0, 20.0], "score": 0.5}  # fmt: skip
    assert challenge.exchange.read_prediction(case, path).classes.tolist() == [1]


BAD = {
    "crowd": ({"iscrowd": 1}, "annotation 1 of p0_00.png is a crowd of objects"),
    "no box": ({"bbox": None}, "annotation 1 of p0_00.png has no bbox of four numbers"),
    "flat": ({"bbox": [1, 2, 0, 4]}, "has a bbox 0 wide and 4 high"),
    "class": ({"category_id": 0}, "has the category 0, which no name has"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_object_costs_its_image_alone(place, kind):
    change, told = BAD[kind]
    content = _content(NAMES)
    _draw(place / "ours", NAMES, content)
    declare(place / "ours", wishes=Wishes(folds=2))
    content["annotations"][0] |= change
    (place / "ours/annotations.json").write_text(json.dumps(content))
    (error,) = _errors("ours")
    assert told in error
    (place / "theirs").mkdir()
    (place / "theirs/results.json").write_text("[]")
    finished = evaluate("ours", place / "theirs", split="folds")
    undefined = [row.case for row in finished.rows if row.scores["image_ap"].status == "undefined"]
    assert len([case for case in undefined if case.endswith("p0_00")]) == 1
    assert finished.record.counts.total == 12


def test_images_and_annotations_without_each_other_are_counted_and_named(place):
    content = _content(NAMES)
    folder = _draw(place / "ours", NAMES, content)
    content["annotations"][0]["image_id"] = 999
    (folder / "annotations.json").write_text(json.dumps(content))
    (folder / "images" / NAMES[1]).unlink()
    raster.write_image(folder / "images/alone.png", np.zeros((8, 8), np.uint8))
    declared = declare(folder)
    assert not declared.complete
    assert any("1 image of the JSON is not there: p1_01.png." in line for line in declared.lines)
    errors = _errors("ours")
    assert any("1 annotation names an image that is not there: 1." in error for error in errors)
    assert any("1 image is named and not there: p1_01." in error for error in errors)
    findings = medbench.load_challenge("ours").release.check(folder)
    assert any("1 image is in no JSON file: alone.png." in finding.message for finding in findings)


def test_another_size_than_the_json_says_and_a_box_outside_are_errors(place):
    content = _content(NAMES)
    folder = _draw(place / "ours", NAMES, content)
    declare(folder)
    content["images"][0]["width"] = 640
    content["annotations"][3]["bbox"] = [60, 1, 10, 4]
    (folder / "annotations.json").write_text(json.dumps(content))
    errors = _errors("ours")
    assert len(errors) == 2
    assert any("p0_00.png: is 64 by 48 where" in error and "says 640 by 48" in error for error in errors)
    assert any("p1_01, box 1 (60, 1, 70, 5): leaves the image" in error for error in errors)


WRONG = {
    "an id twice": (lambda c: c["images"][1].update(id=100),
                    "two images have the id 100, p0_00.png and p1_01.png"),
    "no name": (lambda c: c["images"][1].pop("file_name"), "image 2 has no id or no file_name"),
    "a category twice": (lambda c: c["categories"][0].update(id=7),
                         "category 2 has the name or the id of another"),
    "outside": (lambda c: c["images"][1].update(file_name="../x.png"), "leads out of the folder"),
    "one case twice": (lambda c: c["images"][1].update(file_name="p0_00.jpg"), "both are the case p0_00"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_is_refused_by_name_before_anything_is_written(place, kind):
    change, told = WRONG[kind]
    content = _content(NAMES)
    change(content)
    _draw(place / "ours", NAMES, content)
    with pytest.raises(MedbenchError) as error:
        declare(place / "ours")
    assert told in error.value.message
    assert not (place / "medbench.toml").exists()


def test_categories_of_other_ids_in_one_split_are_refused_by_name(place):
    content = _content(NAMES[:6])
    _draw(place / "own", NAMES[:6], content, "train.json")
    content["categories"][0]["id"] = 5
    for one in content["annotations"]:
        one["category_id"] = 5 if one["category_id"] == 3 else one["category_id"]
    (place / "own/test.json").write_text(json.dumps(content))
    with pytest.raises(MedbenchError, match="the category 'polyp' has the id") as error:
        declare(place / "own")
    assert error.value.code == "data.coco_categories"


def test_several_files_that_are_no_splits_are_refused_by_name(place):
    _draw(place / "own", NAMES[:6], None, "a.json")
    shutil.copy(place / "own/a.json", place / "own/b.json")
    with pytest.raises(
        MedbenchError, match=r"2 COCO JSON files are no splits of one data set: a.json, b.json"
    ):
        declare(place / "own")


def test_groups_may_be_a_column_of_the_images(place):
    _draw(place / "ours", NAMES)
    declare(place / "ours")
    file = place / "medbench.toml"
    file.write_text(file.read_text() + 'group = { column = "patient" }\n')
    challenge = medbench.load_challenge("ours")
    with pytest.raises(MedbenchError, match="groups lie in more than one split") as error:
        challenge.cases(place / "ours", "train")
    assert error.value.hint.endswith("remove ours.splits.json to draw them anew.")
    (place / "ours.splits.json").unlink()
    assert {case.group for case in challenge.cases(place / "ours", "train")} <= {f"p{i}" for i in range(5)}


def test_a_detector_predicts_and_is_scored(place, one_thread):
    declare(_draw(place / "ours", NAMES))
    finished = medbench.run(
        model="torchvision/retinanet_resnet50_fpn.test", challenge="ours", weights="none",
        options={"score_threshold": 0.0}, inference=Inference(image_size=64),
    )  # fmt: skip
    assert finished.record.counts.failed == 0
    entries = json.loads((finished.folder / "predictions/ours.json").read_text())
    assert {entry["image_id"] for entry in entries} <= set(range(100, 112))
