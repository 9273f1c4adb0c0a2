"""A tiny trained-looking submission to grand-challenge, built once."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import warm_python
from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.containers.engines import find_engine

HERE = Path(__file__).parent
CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
image_copy_tmp_dir = "{folder}/tmp"
{runtime}
"""
STORAGE = '[storage]\ndriver = "overlay"\ngraphroot = "{0}/store"\nrunroot = "{0}/run"\n'
MEMORY = Path("/dev/shm")
ROOM = 8 << 30
GRAND_CHALLENGE = """
name = "{name}"
challenge = "iugc2024"
model = "dssau_net.test"
platform = "grand-challenge"
author = "A. Tester"
method = "{method}"
[weights]
file = "weights.pt"
delivery = "{delivery}"
[inference]
image_size = 64
[image]
packages = "{packages}"
[[interfaces]]
[[interfaces.inputs]]
slug = "ultrasound"
path = "images/ultrasound"
size = [128, 128]
[[interfaces.outputs]]
slug = "segmentation"
path = "images/segmentation"
[[interfaces]]
[[interfaces.inputs]]
slug = "ultrasound"
path = "images/ultrasound"
[[interfaces.inputs]]
slug = "age"
path = "age.json"
kind = "json"
[[interfaces.outputs]]
slug = "segmentation"
path = "images/segmentation"
"""


def save_weights(path: Path, model: str, **options) -> None:
    """A fresh network's weights, as training leaves them."""
    import torch

    import medbench
    from medbench.inference.weights import save_checkpoint

    torch.manual_seed(3)
    network = medbench.create_model(model, **options)
    save_checkpoint(path, network.state_dict(), {"model": model, "options": {}})


def write_toml(folder, platform, challenge, model, image_size, weights, **extra):
    """A submission file without sockets; ``delivery``, ``packages`` and ``registry`` may be given."""
    values = {"delivery": "baked", "packages": "index", "registry": "", **extra}
    path = folder / "tiny.toml"
    path.write_text(
        f'name = "tiny"\nchallenge = "{challenge}"\nmodel = "{model}"\nplatform = "{platform}"\n'
        f'registry = "{values["registry"]}"\n[image]\npackages = "{values["packages"]}"\n'
        f'[weights]\nfile = "{weights}"\ndelivery = "{values["delivery"]}"\n'
        f"[inference]\nimage_size = {image_size}\n"
    )
    return path


@pytest.fixture(scope="session", name="save_weights")
def save_weights_fixture():
    """:func:`save_weights`, for test files."""
    return save_weights


@pytest.fixture(scope="session", name="write_toml")
def write_toml_fixture():
    """:func:`write_toml`, for test files."""
    return write_toml


@pytest.fixture(scope="session")
def write_submission(tmp_path_factory):
    """Writes a submission to grand-challenge and its weights; the path."""
    folder = tmp_path_factory.mktemp("submissions")
    save_weights(folder / "weights.pt", "dssau_net.test", in_channels=3, num_classes=3, num_image_classes=2)

    def write(name="tiny", method="exec", delivery="baked", packages="index", change=("", "")):
        path = folder / f"{name}.toml"
        text = GRAND_CHALLENGE.format(name=name, method=method, delivery=delivery, packages=packages)
        assert change[0] in text
        path.write_text(text.replace(*change, 1))
        return path

    return write


@pytest.fixture
def warm_rehearsals(monkeypatch):
    """Programs in a relocated root are forked from a process that has imported torch.

    ``rehearse/test_rehearsal.py`` starts them afresh, from nothing but the locked packages.
    """
    own = SimpleNamespace(**{**vars(subprocess), "Popen": warm_python.Popen})
    monkeypatch.setattr("medbench.submissions.containers.runners.subprocess", own)


@pytest.fixture(scope="session")
def built(write_submission, small_iugc, one_thread, tmp_path_factory):
    """A built submission, not to be changed."""
    return build_context(
        BuildRequest(write_submission(), data=small_iugc, output=tmp_path_factory.mktemp("build"))
    )


@pytest.fixture
def stage(built, tmp_path, monkeypatch):
    """An empty root with the folders that grand-challenge mounts; gives it and a way to write inputs.json."""
    monkeypatch.setenv("MEDBENCH_ROOT", str(tmp_path))
    for name in ("input", "output", "opt/ml/model"):
        (tmp_path / name).mkdir(parents=True)

    def inputs(*slugs, key="socket"):
        paths = {"ultrasound": "images/ultrasound", "age": "age.json"}
        entries = [{key: {"slug": slug, "relative_path": paths.get(slug, slug)}} for slug in slugs]
        (tmp_path / "input" / "inputs.json").write_text(json.dumps(entries))

    return tmp_path, inputs


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """An engine with a storage of its own and the template's base image made from this Python."""
    with storage_folder(tmp_path_factory.mktemp("engine")) as folder, pytest.MonkeyPatch.context() as patch:
        runtime = 'runtime = "runc"' if shutil.which("runc") else ""
        (folder / "tmp").mkdir()
        (folder / "containers.conf").write_text(CONTAINERS.format(runtime=runtime, folder=folder))
        (folder / "storage.conf").write_text(STORAGE.format(folder))
        patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))
        patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
        program = find_engine()
        if program is None or sys.platform != "linux":
            pytest.skip("skipped: no container engine")
        subprocess.run([sys.executable, HERE / "base_image.py", folder / "base.tar"], check=True)
        base = f"docker.io/library/python:{sys.version.split()[0]}-slim-bookworm"
        done = subprocess.run(
            [program.program, "import", str(folder / "base.tar"), base], capture_output=True, text=True
        )
        (folder / "base.tar").unlink()
        probe = [program.program, "run", "--rm", "--network", "none", base, "python", "-c", "print(1)"]
        if done.returncode or subprocess.run(probe, capture_output=True).returncode:
            pytest.skip("skipped: no container engine that runs here")
        yield program
        subprocess.run([program.program, "rmi", "--all", "--force"], capture_output=True)
        subprocess.run(["umount", str(folder / "store" / "overlay")], capture_output=True)


@contextlib.contextmanager
def storage_folder(on_disk):
    """A folder in memory where there is room: engines wait for the disk after every layer that they write."""
    for left in MEMORY.glob("medbench-engine-*"):
        if not Path("/proc", left.name.split("-")[2]).exists():  # of a session that was killed
            subprocess.run(["umount", str(left / "store" / "overlay")], capture_output=True)
            shutil.rmtree(left, ignore_errors=True)
    if not MEMORY.is_dir() or min(shutil.disk_usage(MEMORY).free, available_memory()) < ROOM:
        yield on_disk
        return
    with tempfile.TemporaryDirectory(
        dir=MEMORY, prefix=f"medbench-engine-{os.getpid()}-", ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def available_memory():
    """Bytes that programs may still take."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))


@pytest.fixture(scope="session")
def two_heads(tmp_path_factory):
    """Two heads of 24 × 32 × 32 in the layout of 2023."""
    import SimpleITK

    root, noise = tmp_path_factory.mktemp("brats"), np.random.default_rng(0)
    for number in (3, 7):
        case = f"BraTS-GLI-{number:05d}-000"
        for sequence in ("t1n", "t1c", "t2w", "t2f"):
            image = SimpleITK.GetImageFromArray(noise.integers(1, 900, (24, 32, 32)).astype(np.int16))
            image.SetSpacing((1.0, 1.0, 1.5))
            image.SetOrigin((0.0, -239.0, 0.0))
            path = root / "test" / case / f"{case}-{sequence}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            SimpleITK.WriteImage(image, str(path))
    return root


@pytest.fixture(scope="session")
def brats(two_heads, one_thread, write_toml, tmp_path_factory):
    """Builds for a platform of BraTS."""

    def build(platform, challenge="brats2023_gli", **extra):
        folder = tmp_path_factory.mktemp("brats-build")
        save_weights(folder / "w.pt", "dmaf_net.test", in_channels=4, num_classes=4)
        text = write_toml(folder, platform, challenge, "dmaf_net.test", 32, "w.pt", **extra)
        return build_context(BuildRequest(text, data=two_heads, output=folder / "build"))

    return build


@pytest.fixture(scope="session")
def two_patches(tmp_path_factory):
    """Two patches of 96 × 96 in the release's layout."""
    import cv2

    root, noise = tmp_path_factory.mktemp("kpis"), np.random.default_rng(1)
    for group, slide in (("DN", "11-362"), ("56Nx", "12-117")):
        folder = root / "KPIs24 Testing Data" / "Task1_patch_level" / group / slide / "img"
        folder.mkdir(parents=True)
        patch = cv2.resize(noise.integers(0, 255, (6, 6, 3), np.uint8), (96, 96))
        cv2.imwrite(str(folder / f"{group}_{slide}_0_0_0_img.jpg"), patch)
    return root


@pytest.fixture(scope="session")
def patches(two_patches, one_thread, write_toml, tmp_path_factory):
    """Builds for the KPIs docker of patches."""

    def build(**extra):
        folder = tmp_path_factory.mktemp("kpis-build")
        save_weights(folder / "w.pt", "mslau_net.test", in_channels=3, num_classes=2)
        text = write_toml(folder, "kpis-patch", "kpis_patch", "mslau_net.test", 64, "w.pt", **extra)
        return build_context(BuildRequest(text, data=two_patches, output=folder / "build"))

    return build


@pytest.fixture(scope="session")
def slides(sample, one_thread, write_toml, tmp_path_factory):
    """Builds for the KPIs docker of whole slides."""

    def build(**extra):
        folder = tmp_path_factory.mktemp("slides-build")
        save_weights(folder / "w.pt", "mslau_net.test", in_channels=3, num_classes=2)
        text = write_toml(folder, "kpis-slide", "kpis_slide", "mslau_net.test", 64, "w.pt", **extra)
        return build_context(BuildRequest(text, data=sample("kpis_slide"), output=folder / "build"))

    return build
