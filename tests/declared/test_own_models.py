"""Models of one's own: a class in a file, exported networks, programs; prediction without a challenge."""

import io
import sys
import zipfile

import numpy as np
import pytest

import medbench
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.io import nifti_mha, raster
from medbench.running.declaring import Wishes, declare
from medbench.running.export_data import export_data
from medbench.running.predict_images import image_cases, predict_images
from medbench.running.request import CaseRequest, Inference, Request
from medbench.running.run import run

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, in_channels, num_classes, width=4):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, width, 3, padding=1)
        self.head = nn.Conv2d(width, num_classes, 1)
    def forward(self, x):
        return self.head(self.layer(x).relu())

class Grey(Net):
    def __init__(self):
        super().__init__(1, 2)

class Five(Net):
    def __init__(self):
        super().__init__(3, 5)

class Half(Net):
    def forward(self, x):
        return super().forward(x)[..., ::2, ::2]

class Mapping(Net):
    def forward(self, x):
        return {"out": super().forward(x), "aux": x}

class Several(Net):
    def forward(self, x):
        return [super().forward(x), x]

class Whole(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layer = nn.Conv2d(3, num_classes, 3)
    def forward(self, x):
        return self.layer(x).mean((2, 3))

class Falls(Net):
    def forward(self, x):
        return self.layer(x.reshape(1, 7, -1))

class Three(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.head = nn.Conv3d(in_channels, num_classes, 1)
    def forward(self, x):
        return self.head(x)

NOTHING = 3
"""
SMALL = Inference(image_size=32)


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """A declared data set of ten small colour images, and a file of networks, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("medbench.models.local.names._paths", {})
    monkeypatch.setenv("MEDBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MEDBENCH_LEADERBOARDS", str(tmp_path / "boards"))
    generator = np.random.default_rng(0)
    for index in range(10):
        image = generator.integers(0, 255, (24, 40, 3), np.uint8)
        raster.write_image(tmp_path / f"png/images/{index}.png", image)
        mask = np.zeros((24, 40), np.uint8)
        mask[4 + index : 12 + index, 5:20] = 255
        raster.write_label_map(tmp_path / f"png/masks/{index}.png", mask)
    declare(tmp_path / "png", "ours", Wishes(labels={"polyp": 255}))
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def _plan(model, **fields):
    return Request(model=model, challenge="ours", weights="none", inference=SMALL, **fields).plan()


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("Five", "model.output", "with (1, 5, 32, 32), not with (1, 2, 32, 32)"),
        ("Half", "model.output", "with (1, 2, 16, 16), not with (1, 2, 32, 32)"),
        ("Falls", "model.probe", "of net.py"),
        ("Three", "model.form", "takes volumes; the cases are images"),
        ("Nett", "model.class", "Did you mean Net"),
        ("NOTHING", "model.class", "no class of that name"),
    ],
)
def test_a_class_that_does_not_fit_is_refused_with_what_was_expected(ours, name, code, words):
    with pytest.raises(MedbenchError) as error:
        _plan(f"net.py:{name}")
    assert error.value.code == code
    assert words in f"{error.value.message} {error.value.hint}"


@pytest.mark.parametrize("name", ["Mapping", "Several"])
def test_of_a_class_that_returns_more_than_logits_the_first_are_taken(ours, name):
    finished = run(f"net.py:{name}", "ours", weights="none", inference=SMALL)
    plain = run("net.py:Net", "ours", weights="none", inference=SMALL)
    assert finished.record.counts.ok == finished.record.counts.total
    assert [row.scores for row in finished.rows] == [row.scores for row in plain.rows]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.py", "net.py: names a file, not a model. For a class of a file: -m net.py:CLASS."),
        ("net.onnx", "For an exported network: -m file:net.onnx."),
        ("file:state.pt", "is a checkpoint (torch.save), not an exported network. Name the network,"),
        (
            "broken.py:Net",
            "broken.py: the file cannot be loaded (SyntaxError: invalid syntax, line 1). Repair",
        ),
    ],
)
def test_a_file_that_is_no_model_is_told_with_what_was_meant(ours, name, words):
    import torch

    torch.save({"layer.weight": torch.zeros(3)}, "state.pt")
    (ours / "broken.py").write_text("class Net(:\n")
    with pytest.raises(MedbenchError) as error:
        _plan(name)
    assert words in f"{error.value.message} {error.value.hint}"


def test_a_misspelt_option_is_refused(ours):
    with pytest.raises(MedbenchError, match="no option 'widht'"):
        _plan("net.py:Net", options={"widht": 8})


def test_a_class_runs_with_options_and_its_file_decides_the_key(ours):
    first = run("net.py:Net", "ours", weights="none", options={"width": 6}, inference=SMALL)
    assert first.exit_code == 0
    assert first.record.model.name == "net.py:Net"
    assert first.record.model.parameters == 6 * 3 * 9 + 6 + 2 * 6 + 2
    assert "net.py" in first.record.settings["plugins"]
    assert str(ours) not in first.record.model_dump_json()


def test_colour_images_for_a_grey_network_and_the_reverse(ours):
    assert run("net.py:Grey", "ours", weights="none", inference=SMALL).exit_code == 0
    grey, colour = (
        medbench.load_predictor(f"net.py:{name}", weights="none", classes=2, inference=SMALL)
        for name in ("Grey", "Net")
    )
    image = np.random.default_rng(1).integers(0, 255, (7, 90), np.uint8)
    same = np.repeat(image[..., None], 3, axis=-1)
    for predictor in (grey, colour):
        np.testing.assert_array_equal(predictor.predict(image), predictor.predict(same))
    assert colour.predict(image[:1, :1]).shape == (1, 1)


@pytest.mark.parametrize(
    "bad",
    [np.zeros((4, 4, 2), np.uint8), np.zeros((1, 4, 4, 3), np.uint8), np.full((4, 4), 300, np.uint16),
     np.full((4, 4), np.nan), np.zeros((0, 4))],
)  # fmt: skip
def test_an_array_of_another_form_is_refused(ours, bad):
    predictor = medbench.load_predictor("net.py:Net", weights="none", classes=2, inference=SMALL)
    with pytest.raises(MedbenchError) as error:
        predictor.predict(bad)
    assert error.value.code == "predict.array"


def test_a_volume_of_one_slice(ours):
    predictor = medbench.load_predictor(
        "net.py:Three", weights="none", classes=2, modalities=("t1", "t2"), inference=Inference(image_size=16)
    )
    array = np.random.default_rng(0).random((2, 1, 20, 9), np.float32)
    assert predictor.predict(array, spacing=(5, 1, 1)).shape == (1, 20, 9)
    with pytest.raises(MedbenchError, match="of t1, t2"):
        predictor.predict(array[0])


def _predict(model, folder, output, **keywords):
    predictor = medbench.load_predictor(model, classes=2, inference=SMALL, folder=folder, **keywords)
    return predict_images(predictor, folder, output, TOLD)


class Told(SilentProgress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


TOLD = Told()


def test_a_folder_of_volumes_is_predicted_by_networks_of_volumes_and_slice_by_slice(ours):
    direction = tuple(np.eye(3).ravel().tolist())
    for index, shape in enumerate([(3, 16, 16), (1, 16, 16)]):
        array = np.random.default_rng(index).integers(1, 900, shape).astype(np.int16)
        volume = Volume(array, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), direction)
        nifti_mha.write_volume(ours / f"ct/{index}.nii.gz", volume)
    for name in ("Net", "Three"):
        rows = _predict(f"net.py:{name}", ours / "ct", ours / name)
        assert [row.status for row in rows] == ["ok", "ok"]
        answer = nifti_mha.read_volume(ours / name / "predictions/1.nii.gz")
        assert answer.shape == (1, 16, 16)


def test_what_a_folder_of_images_holds_besides_is_told(ours):
    TOLD.lines.clear()
    raster.write_image(ours / "png/images/below/9.png", np.zeros((8, 8, 3), np.uint8))
    (ours / "png/images/notes.txt").write_text("x")
    assert len(_predict("net.py:Net", ours / "png/images", ours / "out")) == 10
    assert TOLD.lines[0].endswith("2 of what lies there are no image: below, notes.txt.")
    for folder, words in (("png", "holds no image that net.py:Net takes, but images, masks"),
                          ("net.py", "is a file, not a folder")):  # fmt: skip
        with pytest.raises(MedbenchError, match=words):
            _predict("net.py:Net", ours / folder, ours / "out")
    with pytest.raises(MedbenchError, match="--classes names 1, and a network answers with two or more"):
        medbench.load_predictor("net.py:Net", classes=1)


def test_an_image_that_changed_is_predicted_again(ours):
    """Another day's frames have the names of this day's."""
    for index, name in enumerate(("1.png", "2.png")):
        pixels = np.random.default_rng(index).integers(0, 255, (24, 40, 3)).astype(np.uint8)
        raster.write_image(ours / "day" / name, pixels)
    _predict("net.py:Net", ours / "day", ours / "out")
    before = {path.name: path.read_bytes() for path in (ours / "out/predictions").iterdir()}
    raster.write_image(ours / "day/1.png", 255 - pixels)
    TOLD.lines.clear()
    _predict("net.py:Net", ours / "day", ours / "out")
    after = {path.name: path.read_bytes() for path in (ours / "out/predictions").iterdir()}
    assert after["1.png"] != before["1.png"]
    assert after["2.png"] == before["2.png"]
    assert any(
        line.endswith("1 case has other inputs than before, predicted again: 1.") for line in TOLD.lines
    )
    TOLD.lines.clear()
    _predict("net.py:Net", ours / "day", ours / "out")
    assert not any("predicted again" in line for line in TOLD.lines)


def test_images_of_one_name_and_two_types_are_told_apart_and_refused(ours):
    for name in ("a.png", "a.bmp", "b.png"):
        pixels = np.random.default_rng(len(name) + ord(name[0]) + ord(name[2])).integers(0, 255, (24, 40, 3))
        raster.write_image(ours / "two" / name, pixels.astype(np.uint8))
    rows = _predict("net.py:Net", ours / "two", ours / "out")
    assert [(row.case, row.status) for row in rows] == [("a.bmp", "failed"), ("a.png", "failed"), ("b", "ok")]
    assert "so could a.png beside it" in rows[0].reason
    assert "so could a.bmp beside it" in rows[1].reason


def test_two_files_of_one_modality_are_ambiguous(ours):
    direction = tuple(np.eye(3).ravel().tolist())
    for name in ("c_0000.nii.gz", "c_0000.nii", "c_0001.nii.gz"):
        volume = Volume(np.ones((3, 16, 16), np.int16), (1.0,) * 3, (0.0,) * 3, direction)
        nifti_mha.write_volume(ours / "mr" / name, volume)
    predictor = medbench.load_predictor(
        "net.py:Three", weights="none", classes=2, modalities=("t1", "t2"), inference=Inference(image_size=16)
    )
    with pytest.raises(MedbenchError, match="could be the t1 of c") as caught:
        image_cases(predictor, ours / "mr", TOLD)
    assert caught.value.code == "file.ambiguous"


def test_a_program_is_no_network_to_export(ours):
    from medbench.running.export import export

    request = Request(model="command:true {input} {output}", challenge="ours")
    with pytest.raises(MedbenchError, match="is a program, and formats hold networks") as error:
        export(request, "torchscript", ours / "n.pt", SilentProgress())
    assert error.value.code == "export.network"


def test_answers_that_are_no_numbers_are_never_exported(ours):
    """NaN is above no tolerance."""
    from medbench.running.export import export

    text = NET.replace(
        "return self.head(self.layer(x).relu())", "return self.head(self.layer(x).relu()) * SHARE"
    )
    (ours / "nan.py").write_text(f"SHARE = float('nan')\n{text}")
    request = Request(model="nan.py:Net", challenge="ours", weights="none", inference=SMALL)
    with pytest.raises(MedbenchError) as error:
        export(request, "torchscript", ours / "n.pt", SilentProgress())
    assert error.value.code == "network.not_finite"
    assert not (ours / "n.pt").exists()


def test_an_export_whose_logits_are_no_numbers_is_refused_and_leaves_no_file(ours, monkeypatch):
    from medbench.running import export as exporting

    nothing = exporting.Parity(float("nan"), 1e-3, 0.0, "1 random input")
    monkeypatch.setattr(exporting, "_compare", lambda *_: nothing)
    request = Request(model="net.py:Net", challenge="ours", weights="none")
    with pytest.raises(MedbenchError) as error:
        exporting.export(request, "torchscript", ours / "n.pt", SilentProgress())
    assert error.value.code == "export.parity"
    assert not (ours / "n.pt").exists()


def test_a_class_that_gives_one_logit_a_class_classes_whole_images(ours):
    rows = _predict("net.py:Whole", ours / "png/images", ours / "out")
    table = (ours / "out/predictions/images.csv").read_text().splitlines()
    assert table[0] == "image,background,class_1"
    assert len(table) - 1 == len(rows) == 10
    predictor = medbench.load_predictor("net.py:Whole", classes=2, inference=SMALL)
    assert predictor.predict(np.zeros((9, 9, 3), np.uint8)).sum() == pytest.approx(1)
    with pytest.raises(MedbenchError, match=r"with \(1, 5, 32, 32\), not with \(1, 2, 32, 32\)"):
        medbench.load_predictor("net.py:Five", classes=2, inference=SMALL)


def test_images_in_the_layout_of_volumes_are_refused_at_once(ours):
    with pytest.raises(MedbenchError, match="Cases of ours are images, and MSD holds volumes"):
        export_data(CaseRequest(challenge="ours"), "msd", ours / "Task01_Ours", SilentProgress())
    assert not (ours / "Task01_Ours").exists()


@pytest.mark.slow
def test_exports_answer_as_the_network_and_predict_the_same_bytes(ours):
    from medbench.inference.weights import save_checkpoint
    from medbench.running.export import export

    setup = medbench.load_predictor("net.py:Net", weights="none", classes=2, inference=SMALL).setup
    facts = {"model": "net.py:Net", "options": {}, "challenge": "ours", "split": "train", "image_size": 32,
             "classes": {"label_map": ["background", "polyp"]}, "recipe": {"name": "x"}}  # fmt: skip
    save_checkpoint(ours / "w.pt", setup.module.state_dict(), facts)
    whole = run("net.py:Net", "ours", weights="w.pt")
    inside = {path.name: path.read_bytes() for path in (whole.folder / "predictions").iterdir()}
    predictor = medbench.load_predictor("net.py:Net", weights="w.pt")
    rows = predict_images(predictor, ours / "png/images", ours / "out")
    assert [row.status for row in rows] == ["ok"] * 10
    assert inside
    outside = {name: (ours / "out/predictions" / name).read_bytes() for name in inside}
    assert outside == inside
    request = Request(model="net.py:Net", challenge="ours", weights="w.pt")
    for form, name in (("torchscript", "n.pt"), ("pt2", "n.pt2"), ("onnx", "n.onnx")):
        if form == "onnx":
            pytest.importorskip("onnxruntime")
            pytest.importorskip("onnx")
        parity = export(request, form, ours / name, SilentProgress())
        assert parity.difference <= parity.tolerance
        assert parity.agreement > 0.999
        again = run(f"file:{name}", "ours")
        for file, data in inside.items():
            own = raster.read_label_map(again.folder / "predictions" / file)
            (ours / "x.png").write_bytes(data)
            assert (own == raster.read_label_map(ours / "x.png")).mean() > 0.999
    assert export(request, "safetensors", ours / "n.safetensors", SilentProgress()) is None
    restored = run("net.py:Net", "ours", weights="n.safetensors")
    assert all((restored.folder / "predictions" / name).read_bytes() == data for name, data in inside.items())
    with pytest.raises(MedbenchError, match="takes inputs of side 32 only, not 48") as error:
        Request(model="file:n.onnx", challenge="ours", inference=Inference(image_size=48)).plan()
    assert error.value.code == "model.axes"


def test_an_export_says_the_modalities_of_its_channels_and_others_are_refused(ours):
    from medbench.models.local import probe
    from medbench.models.local.exported import Exported
    from medbench.models.local.names import LocalModel
    from medbench.running.export import _facts

    predictor = medbench.load_predictor(
        "net.py:Three",
        weights="none",
        classes=2,
        modalities=("t1", "flair"),
        inference=Inference(image_size=16),
    )
    assert _facts(predictor.setup)["modalities"] == [["t1"], ["flair"]]
    facts, model = Exported(modalities=(("t1",), ("t2f", "flair"))), LocalModel("file:n.pt", "file", "n.pt")
    for own, fits in (
        ([["T1"], ["FLAIR"]], True), ([["flair"], ["t1"]], False), ([["t1"], ["t2"]], False), ([], True),
    ):  # fmt: skip
        needs = probe.Needs("label_map", ("background", "tumour"), ("volume",), own)
        if fits:
            probe._check_modalities(model, facts, needs)
            continue
        with pytest.raises(MedbenchError, match="learnt from t1, t2f; the challenge has") as caught:
            probe._check_modalities(model, facts, needs)
        assert caught.value.code == "weights.other_modalities"


def test_a_foreign_export_needs_a_stated_contract(ours):
    torch = pytest.importorskip("torch")
    network = torch.nn.Conv2d(3, 2, 1)
    torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 32, 32)), str(ours / "f.pt"))
    with pytest.raises(MedbenchError) as error:
        Request(model="file:f.pt", challenge="ours").plan()
    assert error.value.code == "model.contract"
    stated = {"contract": {"size": 32, "mean": [0.5, 0.5, 0.5]}}
    assert run("file:f.pt", "ours", options=stated).exit_code == 0
    for wrong, words in (
        ({"sizes": 3}, "'sizes' is no entry"),
        ({"channel_order": "rgb"}, "channel_order is 'rgb'. See docs/own_data_and_models.md."),
    ):
        with pytest.raises(MedbenchError) as error:
            Request(model="file:f.pt", challenge="ours", options={"contract": wrong}).plan()
        assert error.value.code == "model.contract"
        assert words in f"{error.value.message} {error.value.hint}"


SCRIPT = """
import pathlib, sys, cv2, numpy as np
source, target = map(pathlib.Path, sys.argv[1:3])
how = sys.argv[3]
for path in source.glob("*.png"):
    grey = cv2.imread(str(path), 0)
    mask = (grey > 128).astype(np.uint8)
    if how == "small": mask = mask[::2]
    if how == "classes": mask = mask * 9
    if how != "nothing": cv2.imwrite(str(target / path.name), mask)
    if how == "much": (target / "more.bin").write_bytes(b"x")
    if how == "fails": sys.exit("out of paper")
"""


@pytest.mark.parametrize(
    ("how", "code"),
    [("right", ""), ("nothing", "program.nothing"), ("much", "program.too_much"), ("small", "program.answer"),
     ("classes", "program.answer"), ("fails", "program.failed")],
)  # fmt: skip
def test_a_command_predicts_or_fails_case_by_case_with_its_reason(ours, how, code):
    (ours / "predict.py").write_text(SCRIPT)
    finished = run(f"command:{sys.executable} predict.py {{input}} {{output}} {how}", "ours")
    assert len(finished.rows) == 2
    for row in finished.rows:
        assert row.evidence.get("refusal", "") == code
        assert (row.status == "ok") == (not code)
    assert how != "fails" or "out of paper" in finished.rows[0].reason


@pytest.mark.parametrize(
    ("model", "code"),
    [("command:python x.py", "model.command"), ("docker:ours:latest", "model.image"),
     ("file:none.onnx", "model.file"), ("file:net.py", "model.file"), ("nothing.py:Net", "model.file")],
)  # fmt: skip
def test_a_wrong_name_is_refused_before_anything_starts(ours, model, code):
    with pytest.raises(MedbenchError) as error:
        _plan(model)
    assert error.value.code == code


def test_a_declared_model(ours):
    with open(ours / "medbench.toml", "a", encoding="utf-8") as stream:
        stream.write('\n[models.mynet]\nfile = "net.py"\nclass = "Net"\n')
        stream.write("input = { size = 32, mean = [0.5, 0.5, 0.5] }\n")
    assert "mynet" in medbench.list_models()
    plan = Request(model="mynet", challenge="ours", weights="none").plan()
    assert plan.network.contract().mean == (0.5, 0.5, 0.5)
    assert plan.network.contract().size == 32


class _Touches:
    """A pickle that writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pt2_file_with_a_pickle_is_refused_and_not_run(ours):
    torch = pytest.importorskip("torch")
    program = torch.export.export(torch.nn.Conv2d(3, 2, 1), (torch.zeros(1, 3, 32, 32),))
    torch.export.save(program, str(ours / "n.pt2"))
    bad = ours / "bad.pt2"
    with zipfile.ZipFile(ours / "n.pt2") as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if "sample_inputs" in name:
                buffer = io.BytesIO()
                torch.save(_Touches(ours / "touched"), buffer)
                content = buffer.getvalue()
            target.writestr(name, content)
        assert any("sample_inputs" in name for name in source.namelist())
    with pytest.raises(MedbenchError) as error:
        Request(model="file:bad.pt2", challenge="ours", options={"contract": {"size": 32}}).plan()
    assert error.value.code == "model.file"
    assert not (ours / "touched").exists()
    assert run("file:n.pt2", "ours", options={"contract": {"size": 32}}).exit_code == 0
