"""Bad input on every platform: a code that is not 0, one last line for people, and no half output."""

import json
import os
import sys

import numpy as np
import pytest
import SimpleITK

import warm_python
from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.entry import run
from medbench.submissions.platforms import list_platforms

CASE = "BraTS-GLI-00003-000"
SEQUENCES = ("t1n", "t1c", "t2w", "t2f")
INFER = {
    "brats-mlcube": ("/mlcube_io0", "/mlcube_io2"),
    "medperf": ("/mlcommons/volumes/data", "/mlcommons/volumes/predictions"),
}
BRATS = ("brats-docker", "brats-mlcube", "medperf", "synapse-docker")
MODELS = {
    "brats": ("brats2023_gli", "dmaf_net.test", 32, {"in_channels": 4, "num_classes": 4}),
    "kpis-patch": ("kpis_patch", "mslau_net.test", 64, {"in_channels": 3, "num_classes": 2}),
    "kpis-slide": ("kpis_slide", "mslau_net.test", 64, {"in_channels": 3, "num_classes": 2}),
}
NOT_FOLDERS = {
    "grand-challenge": "test_bad_input.py",
    "codalab": "test_bad_frames_for_codalab",
    "hc18": "test_tables_of_hc18",
    "codabench-iugc2025": "test_sockets.py",
}


def write_volume(path, size=(8, 16, 16)):
    noise = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(size) == 4:
        planes = [SimpleITK.GetImageFromArray(noise.integers(1, 9, size[1:]).astype(np.int16))] * size[0]
        image = SimpleITK.JoinSeries(planes)
    else:
        image = SimpleITK.GetImageFromArray(noise.integers(1, 900, size).astype(np.int16))
    SimpleITK.WriteImage(image, str(path))


def brats_case(folder):
    for sequence in SEQUENCES:
        write_volume(folder / CASE / f"{CASE}-{sequence}.nii.gz")
    return folder / CASE / f"{CASE}-t1c.nii.gz"


def kpis_case(folder, slide):
    import cv2

    picture = cv2.resize(np.random.default_rng(1).integers(0, 255, (6, 6, 3), np.uint8), (96, 96))
    name = "DN_11-362_0_0_0_img.jpg" if not slide else "11-362_wsi.tiff"
    path = folder / "DN" / ("img" if slide else "11-362/img") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
    return path


def twice(path):
    """The same picture in another format."""
    other = {".gz": path.with_suffix(""), ".jpg": path.with_suffix(".png"), ".tiff": path.with_suffix(".tif")}
    image = SimpleITK.ReadImage(str(path))
    SimpleITK.WriteImage(image, str(other[path.suffix]))


def four_dimensions(path):
    import tifffile

    if path.name.endswith(".nii.gz"):
        write_volume(path, (2, 8, 16, 16))
    else:
        tifffile.imwrite(path, np.zeros((2, 5, 96, 96), np.uint8), photometric="minisblack")


def other_size(path):
    write_volume(path, (8, 16, 12))


def no_image(path):
    path.write_text("{ neither an image nor JSON")


def truncated(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.fixture(scope="module")
def adapter(one_thread, small_kpis, save_weights, write_toml, tmp_path_factory):
    """Builds for a platform, each made once."""
    made = {}

    def build(platform):
        if platform not in made:
            folder = tmp_path_factory.mktemp("bad")
            challenge, model, size, facts = MODELS["brats" if platform in BRATS else platform]
            save_weights(folder / "w.pt", model, **facts)
            data = small_kpis
            if platform in BRATS:
                brats_case(folder / "data" / "test")
                data = folder / "data"
            text = write_toml(folder, platform, challenge, model, size, "w.pt")
            made[platform] = build_context(BuildRequest(text, data=data, output=folder / "build"))
        return made[platform]

    return build


def call(platform):
    """Input and output folder, and the arguments of the call."""
    if platform in INFER:
        source, target = INFER[platform]
        return source, target, ["infer", f"--data_path={source}", f"--output_path={target}"]
    slides = "_slide" if platform == "kpis-slide" else ""
    return f"/input{slides}", f"/output{slides}", []


def folder_damages():
    for platform in list_platforms():
        if platform in NOT_FOLDERS:
            continue
        yield platform, None, "holds no case"
        yield (
            platform,
            twice,
            "Hand in one image" if platform.startswith("kpis") else "the second file of its modality",
        )
        yield platform, four_dimensions, ""
        yield platform, no_image, ""
        yield platform, truncated, ""
        if platform in BRATS:
            yield platform, other_size, "All files of a case lie on one grid"


@pytest.mark.parametrize(("platform", "damage", "words"), list(folder_damages()))
def test_a_folder_with_a_bad_case_ends_with_one_line_and_no_output(
    adapter, tmp_path, monkeypatch, capfd, platform, damage, words
):
    built = adapter(platform)
    monkeypatch.setenv("MEDBENCH_ROOT", str(tmp_path))
    source, target, arguments = call(platform)
    folder = tmp_path / source.lstrip("/")
    folder.mkdir(parents=True)
    name = ""
    if damage is not None:
        path = brats_case(folder) if platform in BRATS else kpis_case(folder, platform == "kpis-slide")
        damage(path)
        name = path.name
    capfd.readouterr()
    assert run(built.app, arguments) == 2
    errors = capfd.readouterr().err.rstrip("\n").splitlines()
    assert errors[-1].startswith("error: ")
    assert words in errors[-1]
    assert name.split(".")[0].removesuffix("_img") in errors[-1]
    assert "Traceback" not in "".join(errors)
    assert not [one for one in (tmp_path / target.lstrip("/")).rglob("*") if one.is_file()]


def test_every_platform_has_its_bad_input():
    assert {one[0] for one in folder_damages()} | set(NOT_FOLDERS) == set(list_platforms())


@pytest.fixture(scope="module")
def frames(one_thread, small_iugc, save_weights, write_toml, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    save_weights(folder / "w.pt", "dssau_net.test", in_channels=3, num_classes=3, num_image_classes=2)
    text = write_toml(folder, "codalab", "iugc2024", "dssau_net.test", 64, "w.pt")
    return build_context(BuildRequest(text, data=small_iugc, output=folder / "build"))


BAD_FRAMES = {
    "no JSON": (None, "{ no JSON", "JSONDecodeError"),
    "no list": (None, None, "FileNotFoundError"),
    "five axes": (np.zeros((1, 2, 3, 64, 64)), "good", "expected a frame (3, height, width)"),
    "no channels": (np.zeros((1, 64, 64)), "good", "expected a frame (3, height, width)"),
    "no rows": (np.zeros((1, 3, 0, 64)), "good", "expected a frame (3, height, width)"),
    "NaN": (np.full((1, 3, 64, 64), np.nan), "good", "not finite"),
}


@pytest.fixture(scope="module")
def bad_frames(frames, tmp_path_factory):
    """Folders in which the program was run on bad frames, each time in a process of its own."""
    folders = {}
    for name, (given, listed, _) in BAD_FRAMES.items():
        folders[name] = root = tmp_path_factory.mktemp("root")
        for folder in ("input", "output"):
            (root / folder).mkdir()
        if given is not None:
            np.save(root / "input" / "0.npy", given)
            listed = json.dumps([{"case": "a", "frames": "0.npy", "labelled": True}])
        if listed is not None:
            (root / "input" / "cases.json").write_text(listed)
        with (root / "errors").open("w") as errors:
            command = [sys.executable, frames.app / "inference.py"]
            own = {**os.environ, "MEDBENCH_ROOT": str(root)}
            code = warm_python.Popen(command, env=own, stderr=errors).wait()
        (root / "code").write_text(str(code))
    return folders


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frames_for_codalab_end_with_a_line_and_no_answers(bad_frames, name):
    root, words = bad_frames[name], BAD_FRAMES[name][2]
    assert (root / "code").read_text() == "1"
    assert words in (root / "errors").read_text().splitlines()[-1]
    assert list((root / "output").iterdir()) == []


def test_frames_of_another_size_are_labelled_at_their_own(frames, tmp_path):
    sys.path.insert(0, str(frames.app / "bundle"))
    try:
        import model as bundle
    finally:
        sys.path.pop(0)
    network = bundle.model().load(str(frames.app / "bundle" / "model.pickle"))
    scores, labels, flag = network.predict(np.full((3, 48, 80), 90.0), True)
    assert (scores.shape, labels.shape) == ((1, 2), (48, 80))
    assert flag == (scores[0, 1] >= 0.5)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "table.columns"),
        ("filename\n000_HC.png\n", "table.columns"),
        ("{row}{row}", "table.repeated"),
        ("{row}", "table.rows"),
        ("{bad}", "table.ellipse"),
    ],
)
def test_tables_of_hc18_that_are_damaged_are_told(tmp_path, text, rule):
    from medbench.challenges.hc18.table import SUBMISSION_COLUMNS
    from medbench.submissions.platforms import load_platform

    row, bad = "000_HC.png,50,40,30,20,0.5\n", "000_HC.png,50,x,30,20,0.5\n"
    head = ",".join(SUBMISSION_COLUMNS) + "\n" if "{" in text else ""
    (tmp_path / "hc18.csv").write_text(head + text.format(row=row, bad=bad))
    found = list(load_platform("hc18").lint_table(tmp_path / "hc18.csv"))
    assert rule in {one.rule for one in found}
    assert all(one.message and one.advice for one in found)
