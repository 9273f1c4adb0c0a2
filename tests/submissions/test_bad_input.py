"""What a container does with bad input: an exit code, one last line for people, and no half output."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK

from medbench.submissions.entry import run
from medbench.submissions.serving.session import Session

IMAGES = "input/images/ultrasound"


def put(root, array, name="a.mha", vector=False, spacing=None):
    path = root / IMAGES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array, isVector=vector)
    if spacing:
        image.SetSpacing(spacing)
    SimpleITK.WriteImage(image, str(path))
    return path


def image(side=128, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)


def outputs(root):
    return [path for path in (root / "output").rglob("*") if path.is_file()]


def empty(root, inputs):
    inputs("ultrasound")


def nothing_at_all(root, inputs):
    pass


def two_images(root, inputs):
    inputs("ultrasound")
    put(root, image(), vector=True)
    put(root, image(), "b.mha", vector=True)


def four_dimensions(root, inputs):
    inputs("ultrasound")
    put(root, np.zeros((2, 3, 16, 16), np.uint8))


def a_volume(root, inputs):
    inputs("ultrasound")
    put(root, np.zeros((9, 128, 128), np.uint8))


def other_size(root, inputs):
    inputs("ultrasound")
    put(root, image(64), vector=True)


def fractions(root, inputs):
    inputs("ultrasound")
    put(root, np.full((128, 128), 0.5, np.float32))


def sixteen_bits(root, inputs):
    inputs("ultrasound")
    put(root, np.full((128, 128), 4000, np.uint16))


def truncated(root, inputs):
    inputs("ultrasound")
    path = put(root, image(), vector=True)
    path.write_bytes(path.read_bytes()[:500])


def wrong_type(root, inputs):
    inputs("ultrasound")
    (root / IMAGES).mkdir(parents=True)
    (root / IMAGES / "a.dcm").write_bytes(b"DICM")


def inputs_no_json(root, inputs):
    (root / "input" / "inputs.json").write_text("{ not json")


def inputs_other_json(root, inputs):
    (root / "input" / "inputs.json").write_text('{"slug": 1}')


def other_interface(root, inputs):
    inputs("ct-scan")


def value_no_json(root, inputs):
    inputs("ultrasound", "age")
    put(root, image(), vector=True)
    (root / "input" / "age.json").write_text("forty")


def value_missing(root, inputs):
    inputs("age", "ultrasound")
    put(root, image(), vector=True)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (empty, "images/ultrasound: holds no .mha, .tif, .tiff file. Hand in one image."),
        (nothing_at_all, "holds no .mha, .tif, .tiff file. Hand in one image."),
        (two_images, "holds 2 images (a.mha, b.mha). Hand in one image."),
        (four_dimensions, "a.mha: is 4-dimensional, 2×3×16×16, expected a 2-D image."),
        (a_volume, "a.mha: is 3-dimensional, 9×128×128, expected a 2-D image."),
        (other_size, "a.mha: is 64×64 pixels, expected 128×128."),
        (fractions, "a.mha: holds fractional float32 values."),
        (sixteen_bits, "a.mha: holds values from 4000 to 4000, expected 0 to 255."),
        (truncated, "a.mha: not a readable volume"),
        (wrong_type, "holds a.dcm and no .mha, .tif, .tiff file."),
        (inputs_no_json, "inputs.json: is not the platform's list of inputs"),
        (inputs_other_json, "inputs.json: is not the platform's list of inputs"),
        (other_interface, "has the inputs ct-scan; this algorithm serves ultrasound or age, ultrasound."),
        (value_no_json, "age.json: is no JSON"),
        (value_missing, "age.json: is missing."),
    ],
)
def test_bad_input_ends_with_code_two_one_line_and_no_output(built, stage, capfd, damage, words):
    root, inputs = stage
    damage(root, inputs)
    assert run(built.app, ["exec"]) == 2
    errors = capfd.readouterr().err.rstrip("\n").splitlines()
    assert errors[-1].startswith("error: ")
    assert words in errors[-1]
    assert "Traceback" not in "".join(errors)
    assert outputs(root) == []


@pytest.mark.parametrize("form", ["vector", "planes", "slice", "grey", "tiff"])
def test_every_form_of_an_image_gives_labels_on_its_grid(built, stage, form):
    root, inputs = stage
    inputs("ultrasound", key="interface" if form == "grey" else "socket")
    array = image()
    spacing = {"planes": (0.3, 0.4, 1.0), "slice": (0.3, 0.4, 2.0)}.get(form, (0.3, 0.4))
    if form == "planes":
        put(root, np.moveaxis(array, -1, 0), spacing=spacing)
    elif form == "slice":
        put(root, array[np.newaxis], vector=True, spacing=spacing)
    elif form == "tiff":
        put(root, array, "a.tif", vector=True)
    else:
        put(root, array[..., 0] if form == "grey" else array, vector=form != "grey", spacing=spacing)
    assert run(built.app, ["exec"]) == 0
    (path,) = outputs(root)
    assert path.relative_to(root).as_posix() == "output/images/segmentation/a.mha"
    labels = SimpleITK.ReadImage(str(path))
    assert labels.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    assert labels.GetSize() == ((128, 128, 1) if form == "slice" else (128, 128))
    if form != "tiff":
        assert labels.GetSpacing() == pytest.approx(spacing if form == "slice" else (0.3, 0.4))


def test_planes_and_vectors_give_the_same_labels(built, stage):
    root, inputs = stage
    inputs("ultrasound")
    found = []
    for array, vector in ((image(), True), (np.moveaxis(image(), -1, 0), False)):
        shutil.rmtree(root / IMAGES, ignore_errors=True)
        put(root, array, vector=vector)
        assert run(built.app, ["exec"]) == 0
        found.append(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(outputs(root)[0]))))
    assert len(np.unique(found[0])) > 1
    np.testing.assert_array_equal(*found)


def test_old_folders_without_inputs_json_are_looped_over(built, stage, capfd):
    root, _ = stage
    for number in range(3):
        put(root, image(seed=number), f"{number}.mha", vector=True)
    put(root, image(64), "small.mha", vector=True)
    assert run(built.app, ["exec"]) == 2
    assert sorted(path.name for path in outputs(root)) == ["0.mha", "1.mha", "2.mha"]
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("error: 1 of 4 cases failed, first small: small.mha: is 64×64 pixels")


def test_a_value_beside_the_image_chooses_the_other_interface(built, stage):
    root, inputs = stage
    inputs("age", "ultrasound")
    put(root, image(96), vector=True)
    (root / "input" / "age.json").write_text("40")
    assert run(built.app, ["exec"]) == 0
    assert len(outputs(root)) == 1


def test_unwritable_output_is_told(built, stage, capfd, monkeypatch):
    root, inputs = stage
    inputs("ultrasound")
    put(root, image(), vector=True)
    (root / "output" / "images").write_text("in the way")
    assert run(built.app, ["exec"]) == 2
    assert "cannot be written" in capfd.readouterr().err.splitlines()[-1]


def test_the_output_is_tried_before_the_model_is_loaded(built, stage, capfd, monkeypatch):
    root, inputs = stage
    inputs("ultrasound")
    put(root, image(), vector=True)
    (root / "output").rmdir()
    (root / "output").write_text("no folder")
    monkeypatch.setattr(Session, "predictor", property(lambda self: pytest.fail("the model was loaded")))
    assert run(built.app, ["exec"]) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {root / 'output'}: cannot be written by user ")
    assert "--user $(id -u):$(id -g)" in last


@pytest.mark.parametrize("content", [None, b"other weights"])
def test_missing_and_other_weights_are_told(built, stage, tmp_path, capfd, content):
    root, inputs = stage
    inputs("ultrasound")
    put(root, image(), vector=True)
    app = tmp_path / "app"
    shutil.copytree(built.app, app, ignore=shutil.ignore_patterns("medbench", "weights.pt"))
    if content is not None:
        (app / "model" / "weights.pt").write_bytes(content)
    assert run(app, ["exec"]) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    words = (
        "The weights are missing"
        if content is None
        else "are not the weights that this submission was built for"
    )
    assert words in last
    assert outputs(root) == []


def test_an_unexpected_error_has_code_one_its_traceback_and_one_last_line(built, stage, capfd, monkeypatch):
    from medbench.inference.predictor import NetworkPredictor

    def fail(self, sample):
        raise MemoryError

    monkeypatch.setattr(NetworkPredictor, "predict", fail)
    root, inputs = stage
    inputs("ultrasound")
    put(root, image(), vector=True)
    assert run(built.app, ["exec"]) == 1
    errors = capfd.readouterr().err
    assert "Traceback" in errors
    assert errors.splitlines()[-1].startswith("error: Out of memory.")
    assert outputs(root) == []


def test_the_cases_time_and_memory_are_logged(built, stage, capfd):
    root, inputs = stage
    inputs("ultrasound")
    put(root, image(), vector=True)
    assert run(built.app, ["exec"]) == 0
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("medbench-case ")]
    logged = json.loads(line.removeprefix("medbench-case "))
    assert logged["case"] == "a"
    assert 0 < logged["time_s"] < 60
    assert 10**7 < logged["peak_bytes"] < 10**11
