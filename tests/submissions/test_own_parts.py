"""Own data sets and own models in containers: they run there as here, or are refused by name."""

import json
import tomllib

import numpy as np
import pytest

from medbench.challenges.declared.declaration import read_declaration
from medbench.core import plugins, project
from medbench.core.errors import MedbenchError
from medbench.core.project import read_project
from medbench.io import raster
from medbench.models.local import names
from medbench.running.declaring import Wishes, declare
from medbench.submissions.build.context import build_context
from medbench.submissions.build.own_parts import write_project
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.reading import read_submission
from medbench.submissions.rehearse.rehearsal import rehearse
from medbench.submissions.template import submission_text

pytestmark = pytest.mark.usefixtures("warm_rehearsals")

NET = """
import einops
from torch import nn


class Net(nn.Module):
    def __init__(self, in_channels, num_classes, width=4):
        super().__init__()
        self.layers = nn.Conv2d(in_channels, width, 3, padding=1), nn.Conv2d(width, num_classes, 1)
        self.layers = nn.Sequential(*self.layers)

    def forward(self, images):
        return self.layers(einops.rearrange(images, "n c h w -> n c h w"))
"""
SUBMISSION = """
name = "own"
challenge = "ours"
model = "{model}"
platform = "grand-challenge"
[weights]
file = "none"
[inference]
image_size = 32
[[interfaces]]
[[interfaces.inputs]]
slug = "scan"
path = "images/scan"
[[interfaces.outputs]]
slug = "marks"
path = "images/marks"
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A project with a data set, a class of a network and an exported network."""
    monkeypatch.chdir(tmp_path)
    for module, name in ((plugins, "_files"), (plugins, "_modules"), (names, "_paths")):
        monkeypatch.setattr(module, name, {})
    monkeypatch.setattr(project, "_override", None)
    generator = np.random.default_rng(0)
    for index in range(6):
        image = generator.integers(0, 255, (24, 40, 3), np.uint8)
        raster.write_image(tmp_path / f"png/images/{index}.png", image)
        mask = np.zeros((24, 40), np.uint8)
        mask[4 + index : 12 + index, 5:20] = 255
        raster.write_label_map(tmp_path / f"png/masks/{index}.png", mask)
    (tmp_path / "net.py").write_text(NET)
    declare(tmp_path / "png", "ours", Wishes(labels={"polyp": 255}))
    text = (tmp_path / "medbench.toml").read_text()
    entries = '\n[models.mynet]\nfile = "net.py"\nclass = "Net"\noptions = { width = 6 }\n'
    (tmp_path / "medbench.toml").write_text(text + entries)
    return tmp_path


def _export(folder):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    weights = np.random.default_rng(1).normal(size=(2, 3, 3, 3)).astype(np.float32)
    kernel = helper.make_tensor("k", TensorProto.FLOAT, weights.shape, weights.ravel().tolist())
    node = helper.make_node("Conv", ["x", "k"], ["y"], pads=[1, 1, 1, 1])
    shape = ["n", 3, 32, 32]
    graph = helper.make_graph(
        [node], "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 32, 32])],
        [kernel],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "sub/net.onnx")


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    ["mynet", pytest.param("net.py:Net", marks=pytest.mark.exhaustive), "file:sub/net.onnx"],
)
def test_own_data_and_an_own_model_run_in_the_container_as_here(lab, model, one_thread):
    """The container finds neither the data nor the working folder, but what travelled."""
    (lab / "sub").mkdir()
    text = SUBMISSION.format(model=model)
    if model.startswith("file:"):
        _export(lab)
        text = text.replace("[weights]", "[options]\ncontract = { size = 32 }\n[weights]")
    (lab / "own.toml").write_text(text)
    build = build_context(BuildRequest(lab / "own.toml", output=lab / "build"))
    travelled = tomllib.loads((build.app / "medbench.toml").read_text())
    assert set(travelled["data"]) == {"ours"}
    assert (
        str(lab)
        not in (build.app / "medbench.toml").read_text() + (build.app / "submission.json").read_text()
    )
    lock = json.loads((build.context / "lock.json").read_text())
    assert ("onnxruntime" if model.startswith("file:") else "einops") in lock
    report = rehearse(build, count=1)
    assert [one.message for one in report.findings if one.severity == "error"] == []
    assert (report.passed, report.identical) == (True, 2)


def test_what_only_dataset_json_says_travels_and_what_stays_at_home_does_not(lab):
    folder = lab / "Dataset001_Flat"
    for index in range(3):
        raster.write_image(folder / f"imagesTr/b_{index}_0000.png", np.full((8, 8), index, np.uint8))
        raster.write_label_map(folder / f"labelsTr/b_{index}.png", np.eye(8, k=index, dtype=np.uint8))
    facts = {"channel_names": {"0": "grey"}, "labels": {"background": 0, "cell": 1}, "numTraining": 3,
             "file_ending": ".png"}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(facts))
    declare(folder, "flat", Wishes(group=r"(b_\d)"))
    (lab / "own.toml").write_text(SUBMISSION.format(model="mynet").replace('"ours"', '"flat"'))
    write_project(lab / "app", read_submission(lab / "own.toml"))
    own = read_project(lab / "app/medbench.toml")
    entries = own.data["flat"]
    assert entries["labels"] == {"background": 0, "cell": 1}
    assert not {"root", "group", "splits"} & set(entries)
    assert read_declaration("flat", entries, own.path).labels == {"background": 0, "cell": 1}
    assert own.models["mynet"] == {
        "title": "mynet", "file": "net.py", "class": "Net", "options": {"width": 6},
    }  # fmt: skip


@pytest.mark.parametrize("platform", ["hc18", "kpis-patch", "brats-docker", "codalab"])
def test_a_platform_of_other_files_is_refused_by_name(lab, platform):
    with pytest.raises(MedbenchError, match=r"hands over files as of .* and ours is declared") as error:
        submission_text("ours", "mynet", platform)
    assert error.value.hint.startswith("Choose --platform grand-challenge")


@pytest.mark.parametrize(
    "model", ["command:python predict.py {input} {output}", "docker:x@sha256:" + 64 * "0"]
)
def test_a_program_as_a_model_is_refused_by_name(lab, model):
    with pytest.raises(MedbenchError, match="is a program of its own"):
        submission_text("ours", model, "grand-challenge")
