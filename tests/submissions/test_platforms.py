"""Every other platform rehearsed in a relocated root, and the files that go with it."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from medbench.core.errors import MedbenchError
from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.description import Submission
from medbench.submissions.entry import run
from medbench.submissions.lint.image import lint_bundle
from medbench.submissions.overview import platform_rows
from medbench.submissions.platforms import list_platforms, load_platform
from medbench.submissions.platforms.base import SavedArchive
from medbench.submissions.platforms.brats import parse_options
from medbench.submissions.rehearse.rehearsal import rehearse
from medbench.submissions.workflow import check, save

pytestmark = pytest.mark.usefixtures("warm_rehearsals")


def passed(result):
    return [one for one in result.findings if one.severity != "note"] == [] and result.passed


def test_brats_as_mlcube_gives_the_bytes_of_medbench_run(brats):
    built = brats("brats-mlcube", delivery="mounted")
    result = rehearse(built, count=2)
    assert passed(result)
    assert result.identical == 2
    assert result.cases == ["BraTS-GLI-00003-000", "BraTS-GLI-00007-000"]
    cube = (built.folder / "mlcube.yaml").read_text()
    assert f"image: {built.tag}\n" in cube
    workspace = built.folder / "workspace"
    assert (workspace / "parameters.yaml").read_text() == "{}\n"
    laid = (workspace / "additional_files" / "weights.pt").read_bytes()
    assert hashlib.sha256(laid).hexdigest() == built.manifest["weights_sha256"]


@pytest.mark.parametrize(
    ("platform", "arguments", "source", "target"),
    [
        ("brats-docker", [], "input", "output"),
        ("brats-mlcube", [], "input", "output"),
        ("synapse-docker", [], "input", "output"),
        ("brats-docker", ["infer", "--data_path=/d", "--output_path", "/o"], "d", "o"),
        (
            "brats-mlcube",
            ["infer", "--data_path=/mlcube_io0", "--output_path=/mlcube_io2", "--parameters_file=/p.yml"],
            "mlcube_io0",
            "mlcube_io2",
        ),
        (
            "medperf",
            [
                "infer",
                "--data_path=/mlcommons/volumes/data",
                "--output_path=/mlcommons/volumes/predictions",
                "--additional_files=/mlcommons/volumes/additional_files",
            ],
            "mlcommons/volumes/data",
            "mlcommons/volumes/predictions",
        ),
    ],
)
def test_one_entry_answers_every_call_of_brats(
    brats, two_heads, tmp_path, monkeypatch, capfd, platform, arguments, source, target
):
    monkeypatch.setenv("MEDBENCH_ROOT", str(tmp_path))
    built = brats(platform)
    shutil.copytree(two_heads / "test", tmp_path / source)
    (tmp_path / source / "BraTS-GLI-00009-000").mkdir()
    broken = tmp_path / source / "BraTS-GLI-00007-000" / "BraTS-GLI-00007-000-t2w.nii.gz"
    broken.write_bytes(broken.read_bytes()[:300])
    assert run(built.app, arguments) == 2
    assert [path.name for path in (tmp_path / target).iterdir()] == ["BraTS-GLI-00003-000.nii.gz"]
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("error: 1 of 2 cases failed, first BraTS-GLI-00007-000: ")
    assert broken.name in last


def test_empty_input_and_unknown_arguments_are_told(brats, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MEDBENCH_ROOT", str(tmp_path))
    built = brats("brats-docker")
    (tmp_path / "input").mkdir()
    assert run(built.app, []) == 2
    assert f"error: {tmp_path / 'input'}: holds no case." in capfd.readouterr().err.splitlines()[-1]
    assert run(built.app, ["train"]) == 2
    assert "'train' is not understood" in capfd.readouterr().err.splitlines()[-1]
    with pytest.raises(MedbenchError, match="infer needs --output_path=FOLDER"):
        load_platform("brats-docker").folders(["infer", "--data_path=/a"])
    assert parse_options(["infer", "--data_path=/a"]) == {"--data_path": "/a"}


def test_medperf_is_described_by_its_file(brats):
    built = brats("medperf")
    content = yaml.safe_load((built.folder / "container_config.yaml").read_text())
    assert content["container_type"] == "DockerImage"
    infer = content["tasks"]["infer"]
    assert list(infer["input_volumes"]) == ["data_path", "parameters_file", "additional_files"]
    assert list(infer["output_volumes"]) == ["output_path"]
    volumes = {**infer["input_volumes"], **infer["output_volumes"]}
    assert {one["type"] for one in volumes.values()} == {"file", "directory"}
    told = dict(word.removeprefix("--").split("=") for word in infer["run_args"]["command"][1:])
    assert told == {name: one["mount_path"] for name, one in volumes.items()}
    assert set(infer["run_args"]) <= {"shm_size", "gpus", "command", "entrypoint", "environment"}
    assert (built.folder / "parameters.yaml").is_file()
    result = rehearse(built, count=1)
    assert passed(result)


def test_platforms_without_containers_are_listed_without_their_folders():
    """The folders of a zip's or a table's rehearsal are medbench's own, which no platform mounts."""
    rows = {row["platform"]: row for row in platform_rows()}
    for name in list_platforms():
        is_container = load_platform(name).delivers == "image"
        folders = (rows[name]["inputs"], rows[name]["outputs"])
        assert all(folder.startswith("/") for folder in folders) == is_container
        assert (folders == ("–", "–")) != is_container
    assert rows["codalab"]["delivers"] == "zip of metadata, model.py, model.pickle"
    assert rows["hc18"]["delivers"] == "table hc18.csv"


@pytest.mark.parametrize("platform", ["medperf", "synapse-docker"])
def test_shared_memory_is_docker_s_own_where_nobody_asks_for_more(platform):
    described = Submission(name="a", challenge="brats2023_gli", model="m", platform=platform)
    loaded = load_platform(platform)
    assert not [text for text in loaded.files(described).values() if "shm_size" in text]
    assert loaded.limits.shared_memory_bytes == 64 << 20


@pytest.mark.parametrize("delivery", ["baked", "mounted"])
def test_medperf_registers_a_model_that_a_benchmark_may_take(delivery):
    """As commands/model/model.py of mlcommons/medperf@197a17e takes it."""
    described = Submission(
        name="a", challenge="brats2023_gli", model="m", platform="medperf", weights={"delivery": delivery}
    )
    steps = load_platform("medperf").steps(described, SavedArchive(Path("build/a/a.tar.gz"), "medbench/a:1"))
    submit, associate = (step.split() for step in steps if step.startswith("medperf model "))
    assert submit[:3] == ["medperf", "model", "submit"]
    options = submit[3:]
    assert options[options.index("--container-config-file") + 1] == "build/a/container_config.yaml"
    assert options[options.index("--parameters-file") + 1] == "build/a/parameters.yaml"
    assert "--operational" in options
    assert ("--additional-file" in options) == (delivery == "mounted")
    assert associate[2:] == ["associate", "--benchmark", "BENCHMARK", "--model_uid", "MODEL"]


def test_a_cube_is_yaml_whatever_its_author_is_called():
    described = Submission(
        name="a", challenge="brats2023_gli", model="m", platform="brats-mlcube", author='Ada "A" Müller: #1'
    )
    content = yaml.safe_load(load_platform("brats-mlcube").files(described)["mlcube.yaml"])
    assert content["authors"] == [{"name": 'Ada "A" Müller: #1'}]
    assert content["description"] == "m on brats2023_gli"


def test_patches_of_kpis_give_the_bytes_of_medbench_run(patches):
    result = rehearse(patches())
    assert passed(result)
    assert result.identical == 2


def test_patches_are_found_without_masks_and_whatever_the_groups_spelling(
    patches, two_patches, tmp_path, monkeypatch
):
    monkeypatch.setenv("MEDBENCH_ROOT", str(tmp_path))
    source = next(two_patches.rglob("56Nx/12-117/img"))
    shutil.copytree(source, tmp_path / "input" / "56NX" / "12-117" / "img")
    assert run(patches().app, []) == 0
    (mask,) = (tmp_path / "output").rglob("*.png")
    assert mask.relative_to(tmp_path).as_posix() == "output/56Nx/12-117/56Nx_12-117_0_0_0_mask.png"


@pytest.fixture(scope="module")
def codalab(small_iugc, one_thread, save_weights, write_toml, tmp_path_factory):
    folder = tmp_path_factory.mktemp("codalab")
    save_weights(folder / "w.pt", "dssau_net.test", in_channels=3, num_classes=3, num_image_classes=2)
    text = write_toml(folder, "codalab", "iugc2024", "dssau_net.test", 64, "w.pt")
    return build_context(BuildRequest(text, data=small_iugc, output=folder / "build")), text


def test_the_codalab_zip_gives_the_labels_and_classes_of_medbench_run(codalab):
    built, file = codalab
    for pattern, count in (("*/test_0*", 5),):
        result = rehearse(built, pattern=pattern, count=count)
        assert passed(result)
        assert {case.partition("/")[0] for case in result.cases} == {"segmentation", "classification"}
    lines = list(save(file, built.folder.parent, "none"))
    path = built.folder / "tiny.zip"
    assert lines[0].startswith(str(path))
    assert (built.folder / "tiny.zip.sha256").read_text().split()[1] == "tiny.zip"
    report = json.loads((built.folder / "tiny.zip.report.json").read_text())
    assert report["rehearsal"]["passed"] is True
    assert report["archive_sha256"] in lines[1]
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["metadata", "model.pickle", "model.py"]
        assert archive.read("metadata").startswith(b"description: ")
    before = path.read_bytes()
    list(save(file, built.folder.parent, "none"))
    assert path.read_bytes() == before
    assert check(file, None, built.folder.parent)[0] == []


@pytest.mark.parametrize(
    ("names", "rules"),
    [
        (("metadata", "model.py", "model.pickle"), []),
        (("metadata", "model.py"), ["bundle.missing"]),
        (("a/metadata", "metadata", "model.py", "model.pickle"), ["bundle.flat"]),
        (None, ["bundle.unreadable"]),
    ],
)
def test_rules_on_zips(tmp_path, names, rules):
    path = tmp_path / "a.zip"
    path.write_bytes(b"nothing")
    if names is not None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, "x")
    found = lint_bundle(path, load_platform("codalab"))
    assert [finding.rule for finding in found] == rules
    assert all(finding.advice for finding in found)


def test_the_documents_table_names_every_platform():
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "submissions.md").read_text()
    assert [name for name in list_platforms() if f"| `{name}` |" not in text] == []
