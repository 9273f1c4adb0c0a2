"""The platforms' own programs on an image of ours, where they are installed: ``make clients``."""

import contextlib
import os
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import yaml

CLIENTS = Path(os.environ.get("MEDBENCH_CLIENTS", ".clients")).absolute() / "bin"
CALLER = 4242
CASES = ["BraTS-GLI-00003-000.nii.gz", "BraTS-GLI-00007-000.nii.gz"]
PACKAGES = sysconfig.get_path("purelib")
HERE = Path(__file__).parent


pytestmark = [
    pytest.mark.container,
    pytest.mark.skipif(not CLIENTS.is_dir(), reason=f"skipped: {CLIENTS} is not there (make clients)"),
]
"""Before any image is built for them."""


@pytest.fixture(scope="module")
def cube(engine, brats):
    """A cube whose weights are handed in apart, and its image."""
    made = brats("brats-mlcube", packages="base", delivery="mounted")
    engine.build(made.context, made.tag)
    return made


@pytest.fixture(scope="module")
def whole(engine, brats):
    """The image of BraTS with its weights."""
    made = brats("brats-mlcube", packages="base")
    engine.build(made.context, made.tag)
    return made


@pytest.fixture(scope="module")
def socket(engine, tmp_path_factory):
    """The engine's socket in docker's protocol."""
    if engine.name != "podman":
        return None
    path = tmp_path_factory.mktemp("socket") / "docker.sock"
    service = subprocess.Popen([engine.program, "system", "service", "--time=0", f"unix://{path}"])
    try:
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        yield f"unix://{path}"
    finally:
        service.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.wait(timeout=10)


def check_outputs(made, folder):
    assert sorted(path.name for path in folder.glob("*")) == CASES
    for name in CASES:
        labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / name)))
        assert labels.shape == (24, 32, 32)
        assert len(np.unique(labels)) > 1


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["cube", "whole"])
def test_mlcube_runs_the_cube(engine, weights, request, two_heads, tmp_path):
    cube = request.getfixturevalue(weights)
    described = cube.folder / "mlcube.yaml"  # only the engine and the mounted packages are of this machine
    content = yaml.safe_load(described.read_text())
    mounted = f"--network=none --volume={PACKAGES}:/packages:ro --env=PYTHONPATH=/packages"
    content["docker"] |= {"docker": engine.program, "cpu_args": mounted}
    copy = shutil.copytree(cube.folder, tmp_path / "cube", ignore=shutil.ignore_patterns("context"))
    (copy / "mlcube.yaml").write_text(yaml.safe_dump(content))
    command = [CLIENTS / "mlcube", "run", f"--mlcube={copy}", "--task=infer"]
    command += [f"data_path={two_heads / 'test'}", f"output_path={tmp_path / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (tmp_path / "out").is_dir(), done.stdout + done.stderr
    check_outputs(cube, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("year", ["2024", "2025"])
def test_the_brats_orchestrator_runs_the_image_as_its_caller(
    engine, whole, socket, two_heads, tmp_path, year
):
    python = CLIENTS / "python"
    if subprocess.run([python, "-c", "import brats"], capture_output=True).returncode:
        pytest.skip("skipped: brats is not installed (make clients)")
    data, output = shutil.copytree(two_heads / "test", tmp_path / "data"), tmp_path / "out"
    output.mkdir()
    output.chmod(0o755)
    if os.getuid() == 0:
        os.chown(output, CALLER, CALLER)
    uid = CALLER if os.getuid() == 0 else os.getuid()
    environment = {**os.environ, "HOME": str(tmp_path)} | ({"DOCKER_HOST": socket} if socket else {})
    command = [python, HERE / "orchestrate.py", whole.tag, year, data, output, str(uid), PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    check_outputs(whole, output)
    assert {path.stat().st_uid for path in output.iterdir()} == {uid}
