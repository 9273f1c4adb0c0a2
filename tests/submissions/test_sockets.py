"""Several outputs of one prediction on grand-challenge, and the six numbers of IUGC 2025 on Codabench."""

import json
import shutil
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK
import torch

from medbench.challenges import load_challenge
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.sample import Boxes
from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.description import Interface, Socket, Submission
from medbench.submissions.entry import run
from medbench.submissions.platforms import load_platform
from medbench.submissions.platforms.socket_values import (
    EXAMPLES,
    VALUES,
    Context,
    check_output,
    compare_values,
    json_value,
    read_json_value,
)
from medbench.submissions.rehearse.rehearsal import rehearse
from medbench.submissions.workflow import save

pytestmark = pytest.mark.usefixtures("warm_rehearsals")

IMAGE = 'slug = "{0}"\npath = "images/{0}"\n'
VALUE = 'slug = "{0}"\npath = "{0}.json"\nkind = "{1}"\n'


def submission(folder, challenge, model, weights, outputs, inputs=(), image_size=64):
    """A submission file for grand-challenge with one image in and some outputs."""
    sockets = "".join(f"[[interfaces.inputs]]\n{text}" for text in (IMAGE.format("scan"), *inputs))
    sockets += "".join(f"[[interfaces.outputs]]\n{text}" for text in outputs)
    path = folder / "tiny.toml"
    path.write_text(
        f'name = "tiny"\nchallenge = "{challenge}"\nmodel = "{model}"\nplatform = "grand-challenge"\n'
        f'[weights]\nfile = "{weights}"\n[inference]\nimage_size = {image_size}\n[[interfaces]]\n{sockets}'
    )
    return path


def only_exec(built):
    variants = [each for each in built.platform.variants(built.submission) if not each.serve]
    object.__setattr__(built, "platform", type("Once", (type(built.platform),), {})())
    built.platform.variants = lambda submission: variants


def passed(result):
    return [one for one in result.findings if one.severity != "note"] == [] and result.passed


@pytest.fixture(scope="module")
def both_tasks(small_iugc, one_thread, save_weights, tmp_path_factory):
    """IUGC 2024's mask, class and angle from one container, whose jobs bring values of every kind."""
    folder = tmp_path_factory.mktemp("both")
    save_weights(folder / "w.pt", "dssau_net.test", in_channels=3, num_classes=3, num_image_classes=2)
    outputs = [
        IMAGE.format("segmentation"),
        VALUE.format("standard-plane", "float") + 'answer = "probability:standard plane"\n',
        VALUE.format("is-standard", "boolean") + 'answer = "flag:standard plane"\n',
        VALUE.format("aop", "float") + 'answer = "angle_of_progression"\n',
        VALUE.format("hsd", "float") + 'answer = "head_symphysis_distance"\n',
    ]
    inputs = [VALUE.format(f"a-{kind}", kind) for kind in EXAMPLES]
    text = submission(folder, "iugc2024", "dssau_net.test", "w.pt", outputs, inputs)
    return build_context(BuildRequest(text, data=small_iugc, output=folder / "build"))


def test_the_two_tasks_of_iugc_and_the_angle_leave_one_container(both_tasks):
    only_exec(both_tasks)
    result = rehearse(both_tasks, pattern="segmentation/*", count=1)
    assert passed(result)
    assert result.identical == 1
    output = both_tasks.folder / "rehearsal" / "root" / "output"
    chance, flag = (json.loads((output / f"{n}.json").read_text()) for n in ("standard-plane", "is-standard"))
    assert 0 <= chance <= 1
    assert flag is (chance >= 0.5)
    assert len(list((output / "images" / "segmentation").iterdir())) == 1


def test_an_input_of_another_kind_is_told_before_the_model_is_loaded(
    both_tasks, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("MEDBENCH_ROOT", str(tmp_path))
    shutil.copytree(both_tasks.folder / "rehearsal" / "root" / "input", tmp_path / "input")
    (tmp_path / "output").mkdir()
    (tmp_path / "input" / "a-integer.json").write_text('"three"')
    assert run(both_tasks.app, ["exec"]) == 2
    assert 'holds "three", which is no Integer' in capfd.readouterr().err.splitlines()[-1]
    assert list((tmp_path / "output").iterdir()) == []


@pytest.fixture(scope="module")
def landmarks(one_thread, save_weights, tmp_path_factory):
    from medbench.challenges.iugc2025.sample import write_sample

    folder = tmp_path_factory.mktemp("landmarks")
    write_sample(folder / "data", {"train": 1, "val": 1, "test": 2}, side=96)
    save_weights(folder / "w.pt", "heatmap_unet.test", in_channels=3, num_classes=3)
    return folder


def test_landmarks_and_their_angle_are_sockets(landmarks, tmp_path):
    outputs = [
        VALUE.format("points", "points"),
        VALUE.format("aop", "float") + 'answer = "angle_of_progression"\n',
    ]
    text = submission(landmarks, "iugc2025", "heatmap_unet.test", "w.pt", outputs)
    built = build_context(BuildRequest(text, data=landmarks / "data", output=tmp_path / "build"))
    only_exec(built)
    result = rehearse(built, count=1)
    assert passed(result)
    assert result.identical == 1
    points = json.loads((built.folder / "rehearsal" / "root" / "output" / "points.json").read_text())
    assert [entry["name"] for entry in points["points"]] == ["PS1", "PS2", "FH1"]


def test_classes_are_sockets(one_thread, save_weights, tmp_path):
    from medbench.challenges.brain_tumor_mri import sample

    sample.write_sample(tmp_path / "data", counts={"train": 1, "test": 1})
    save_weights(tmp_path / "w.pt", "medformer.classifier.test", in_channels=3, num_classes=4)
    outputs = [VALUE.format("all", "json"), VALUE.format("name", "string"), VALUE.format("number", "integer")]
    text = submission(tmp_path, "brain_tumor_mri", "medformer.classifier.test", "w.pt", outputs)
    built = build_context(BuildRequest(text, data=tmp_path / "data", output=tmp_path / "build"))
    only_exec(built)
    result = rehearse(built, count=1)
    assert passed(result)
    assert result.identical == 1
    output = built.folder / "rehearsal" / "root" / "output"
    chances, name, number = (
        json.loads((output / f"{n}.json").read_text()) for n in ("all", "name", "number")
    )
    assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
    assert name == max(chances, key=chances.get) == list(chances)[number]


def test_boxes_are_a_socket(small_cvc, one_thread, save_weights, tmp_path):
    """A detector whose scores lie above its threshold, so that there are boxes to compare."""
    save_weights(tmp_path / "w.pt", "torchvision/retinanet_resnet50_fpn.test", in_channels=3, num_classes=1)
    state = torch.load(tmp_path / "w.pt", weights_only=True)
    state["state_dict"]["head.classification_head.cls_logits.bias"].fill_(0.0)
    torch.save(state, tmp_path / "w.pt")
    outputs = [VALUE.format("polyps", "bounding_boxes")]
    text = submission(
        tmp_path, "cvc_clinicdb_boxes", "torchvision/retinanet_resnet50_fpn.test", "w.pt", outputs
    )
    built = build_context(BuildRequest(text, data=small_cvc, output=tmp_path / "build"))
    only_exec(built)
    result = rehearse(built, count=1)
    assert passed(result)
    assert result.identical == 1
    root = built.folder / "rehearsal"
    value = json.loads((root / "root" / "output" / "polyps.json").read_text())
    assert (value["type"], {box["name"] for box in value["boxes"]}) == (
        "Multiple 2D bounding boxes",
        {"polyp"},
    )
    (rows,) = (root / "expected" / "predictions" / "rows").glob("*.json")
    expected = json.loads(rows.read_text())
    assert len(value["boxes"]) == len(expected) > 0
    (image,) = (root / "root" / "input" / "images" / "scan").iterdir()
    spacing = SimpleITK.ReadImage(str(image)).GetSpacing()[:2]
    for box, row in zip(value["boxes"], expected, strict=True):
        left, top, width, height = row["bbox"]
        corners = [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]
        assert np.array(box["corners"])[:, :2] / spacing + 0.5 == pytest.approx(np.array(corners), abs=1e-3)
        assert box["probability"] == pytest.approx(row["score"], abs=1e-6)


def biometry(labels, spacing=(0.5, 0.5)):
    """Values of the sockets that measure a mask."""
    answers = {"label_map": labels}
    context = Context(
        load_challenge("iugc2024"), answers, Volume(labels, spacing, (0.0, 0.0), (1.0, 0, 0, 1))
    )
    return {
        name: json_value(Socket(slug="v", path="v.json", kind="float", answer=name), context)
        for name in ("angle_of_progression", "head_symphysis_distance", "head_circumference")
    }


def test_measurements_are_those_of_the_challenges_own_scoring():
    from medbench.metrics.tasks.biometry import aop_contour, head_circumference_mm

    labels = np.zeros((60, 90), np.uint8)
    labels[5:12, 10:40] = 1
    labels[25:55, 44:80] = 2
    own = aop_contour(labels)
    values = biometry(labels)
    assert (values["angle_of_progression"], values["head_symphysis_distance"]) == (own.aop, own.hsd)
    head = (labels == 2).astype(np.uint8)
    due = head_circumference_mm(head, pixel_size_mm=0.5)
    assert biometry(head)["head_circumference"] == pytest.approx(due, rel=1e-9)
    assert set(biometry(np.zeros_like(labels)).values()) == {None}


def test_a_circumference_follows_the_spacing_of_each_axis():
    """A circle of pixels that are twice as high as wide is an ellipse twice as high as wide."""
    from medbench.metrics.tasks.biometry import ellipse_perimeter

    rows, columns = np.mgrid[:200, :200]
    disk = ((rows - 100) ** 2 + (columns - 100) ** 2 <= 80**2).astype(np.uint8)
    length = biometry(disk, (0.2, 0.1))["head_circumference"]
    assert length == pytest.approx(ellipse_perimeter(8, 16), rel=0.01)
    turned = biometry(disk.T, (0.1, 0.2))["head_circumference"]
    assert turned == pytest.approx(length, rel=1e-3)


def boxes_context():
    card = SimpleNamespace(demands={"boxes": ("polyp", "tool")}, image_classes=())
    boxes = Boxes(np.array([[2, 4, 10, 8]], np.float32), np.array([0.75], np.float32), np.array([1]))
    grid = Volume(np.zeros((20, 30)), (0.5, 0.25), (3.0, 1.0), (1.0, 0.0, 0.0, 1.0))
    return Context(SimpleNamespace(card=card), {"boxes": boxes}, grid)


def test_boxes_lie_in_the_images_own_millimetres():
    value = json_value(Socket(slug="b", path="b.json", kind="bounding_boxes"), boxes_context())
    (box,) = value["boxes"]
    assert (value["type"], box["name"], box["probability"]) == ("Multiple 2D bounding boxes", "tool", 0.75)
    left, right, top, bottom = 1 + 0.25 * 1.5, 1 + 0.25 * 9.5, 3 + 0.5 * 3.5, 3 + 0.5 * 7.5
    assert box["corners"] == [[left, top, 0.5], [right, top, 0.5], [right, bottom, 0.5], [left, bottom, 0.5]]


def test_a_value_that_differs_is_of_another_kind_or_no_json_is_found(tmp_path):
    socket = Socket(slug="b", path="b.json", kind="bounding_boxes")
    due, path = json_value(socket, boxes_context()), tmp_path / "b.json"

    def rules():
        return [finding.rule for finding in compare_values(due, path, socket, "case")]

    assert rules() == ["output.missing"]
    path.write_text(json.dumps(due))
    assert rules() == []
    due["boxes"][0]["corners"][2][1] += 0.01
    assert rules() == ["output.differs"]
    path.write_text(json.dumps({**due, "boxes": []}))
    assert rules() == ["output.differs"]
    path.write_text("[1, 2]")
    assert rules() == ["output.type"]
    for text in ("NaN", "{", '{"a": Infinity}'):
        path.write_text(text)
        assert rules() == ["output.format"]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("float", "true"),
        ("integer", "1.5"),
        ("string", "3"),
        ("boolean", "1"),
        ("points", "[]"),
        ("json", "{"),
    ],
)
def test_values_of_another_kind_are_refused(tmp_path, kind, text):
    socket = Socket(slug="s", path="s.json", kind=kind)
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(MedbenchError, match=r"s\.json"):
        read_json_value(tmp_path / "s.json", socket)
    (tmp_path / "s.json").write_text(json.dumps(EXAMPLES[kind]))
    assert read_json_value(tmp_path / "s.json", socket) == EXAMPLES[kind]


@pytest.mark.parametrize(
    ("challenge", "socket", "words"),
    [
        ("iugc2024", {"kind": "float"}, "must say what it holds"),
        ("iugc2024", {"kind": "float", "answer": "probabilty:x"}, "is not known"),
        ("iugc2024", {"kind": "float", "answer": "probability:plane"}, "there is no class 'plane'"),
        ("iugc2024", {"kind": "float", "answer": "class"}, "no value of a socket of kind float"),
        ("iugc2024", {"kind": "bounding_boxes"}, "has no boxes"),
        ("iugc2025", {"kind": "image"}, "has no label_map"),
        ("psfhs", {"kind": "string"}, "has no image_classes"),
        (
            "cvc_clinicdb",
            {"kind": "float", "answer": "angle_of_progression"},
            "no label_map of back",
        ),
        (
            "psfhs",
            {"kind": "float", "answer": "head_circumference"},
            "no label_map of back",
        ),
    ],
)
def test_outputs_that_the_challenge_cannot_fill_are_told(challenge, socket, words):
    findings = list(check_output(Socket(slug="o", path="o.json", **socket), load_challenge(challenge)))
    assert any(words in finding.message for finding in findings)
    assert all(finding.rule == "submission.answer" and finding.advice for finding in findings)


def test_every_value_can_be_asked_for_in_each_of_its_kinds():
    for name, value in VALUES.items():
        of = ":standard plane" if value.of_class else ""
        names = ("iugc2024", "iugc2025", "hc18", "cvc_clinicdb_boxes")
        challenge = next(one for one in map(load_challenge, names) if value.task(one) is not None)
        for kind in value.kinds:
            socket = Socket(slug="o", path="o.json", kind=kind, answer=name + of)
            assert list(check_output(socket, challenge)) == []


def test_two_outputs_never_share_a_path():
    inputs = [Socket(slug="scan", path="images/scan")]
    outputs = [Socket(slug=slug, path="a.json", kind="points") for slug in ("a", "b")]
    interface = Interface(inputs=inputs, outputs=outputs)
    with pytest.raises(ValueError, match="same path"):
        Submission(name="a", challenge="c", model="m", platform="p", interfaces=(interface,))


def test_the_six_numbers_of_codabench_are_those_of_medbench_run(landmarks, write_toml, tmp_path):
    (tmp_path / "w.pt").write_bytes((landmarks / "w.pt").read_bytes())
    text = write_toml(tmp_path, "codabench-iugc2025", "iugc2025", "heatmap_unet.test", 64, "w.pt")
    built = build_context(BuildRequest(text, data=landmarks / "data", output=tmp_path / "build"))
    result = rehearse(built, count=2)
    assert passed(result)
    assert result.identical == 2
    numbers = built.folder / "rehearsal" / "root" / "output" / "00000.json"
    assert len(json.loads(numbers.read_text())) == 6
    platform, trial = (
        load_platform("codabench-iugc2025"),
        SimpleNamespace(
            case=built.job.cases[0],
            expected=next(
                (built.folder / "rehearsal" / "expected" / "predictions" / "rows").glob("00000.csv")
            ),
        ),
    )
    numbers.write_text(json.dumps([value + 1 for value in json.loads(numbers.read_text())]))
    root = built.folder / "rehearsal" / "root"
    found = platform.examine(built.submission, built.job.challenge, trial, root)
    assert [finding.rule for finding in found] == ["output.differs"]
    list(save(text, tmp_path / "build", "none"))
    with zipfile.ZipFile(built.folder / "tiny.zip") as archive:
        assert sorted(archive.namelist()) == ["metadata", "model.pickle", "model.py"]
