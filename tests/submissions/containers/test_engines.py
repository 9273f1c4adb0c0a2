"""Images built, run under limits, saved and reloaded for real, where an engine is there."""

import functools
import subprocess
import sysconfig
from pathlib import Path

import pytest

from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.containers import archives, engines
from medbench.submissions.containers.engines import Engine, find_engine
from medbench.submissions.containers.image_runner import ImageRunner
from medbench.submissions.limits import Limits
from medbench.submissions.lint.image import lint_archive
from medbench.submissions.platforms.base import Mount
from medbench.submissions.rehearse.rehearsal import rehearse

PROBE = """
import json, os, socket
def attempt(action):
    try:
        action()
        return "allowed"
    except OSError as refused:
        return type(refused).__name__
def threads():
    import threading, time
    for count in range(400):
        try:
            threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
        except RuntimeError:
            return count
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(),
    "root": attempt(lambda: open("/opt/app/x", "w")), "input": attempt(lambda: open("/input/x", "w")),
    "output": attempt(lambda: open("/output/x", "w")), "tmp": attempt(lambda: open("/tmp/x", "w")),
    "network": attempt(lambda: socket.create_connection(("192.0.2.1", 80), 2)),
    "capabilities": status["CapEff"], "new_privileges": status["NoNewPrivs"],
    "shm": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize, "threads": threads(),
}))
"""


@pytest.fixture(scope="module")
def image(engine, write_submission, small_iugc, tmp_path_factory):
    """The image of a submission whose packages are mounted."""
    output = tmp_path_factory.mktemp("images")
    built = build_context(
        BuildRequest(write_submission("image", "invoke", packages="base"), data=small_iugc, output=output)
    )
    engine.build(built.context, built.tag)
    return built


@pytest.mark.container
def test_an_image_is_saved_linted_and_loaded_again(engine, image, tmp_path):
    path = tmp_path / "image.tar.gz"
    engine.save(image.tag, path)
    facts = archives.read_archive(path)
    assert (facts.format, facts.compression, facts.images) == ("docker-archive", "gz", 1)
    assert (facts.user, facts.architecture) == ("10001:10001", "amd64")
    assert facts.entrypoint == ("python", "/opt/app/inference.py")
    assert facts.labels["org.grand-challenge.api-method"] == "invoke"
    assert facts.labels["medbench.weights.sha256"] == image.manifest["weights_sha256"]
    assert facts.image_bytes < 2 * 10**8
    found = lint_archive(facts, image.submission, image.platform, image.manifest["weights_sha256"])
    assert found == []
    engines.remove_image(engine, image.tag)
    assert not engine.has(image.tag)
    engine.load(path)
    assert engine.has(image.tag)
    assert archives.read_archive(path).image_id == facts.image_id


@pytest.mark.container
def test_the_program_starts_from_bytecode_that_no_date_spoils(engine, image):
    program = (
        "import sys; sys.path.insert(0, '/opt/app'); import medbench.core.errors as one; "
        "print(one.__cached__, open(one.__cached__, 'rb').read(8)[4])"
    )
    command = [engine.program, "run", "--rm", "--network", "none", "--entrypoint", "python", image.tag]
    done = subprocess.run([*command, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cached, flags = done.stdout.split()
    assert cached.startswith("/opt/app/medbench/core/__pycache__/errors.")
    assert flags == "1", "checked by nothing, so that dating the files anew spoils it not"


def test_the_limits_hold(engine, image, tmp_path):
    import json

    for name in ("input", "output"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    limits = Limits(memory_bytes=512 << 20, processes=100)
    mounts = (Mount("/input", "input"), Mount("/output", "output", True))
    runner = ImageRunner(engine, image.tag, tmp_path, mounts, limits, ["--entrypoint", "python"])
    command = [engine.program, "run", "--rm", *runner.options(), image.tag, "-c", PROBE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("threads") < 100
    assert found == {
        "uid": 10001,
        "gid": 10001,
        "root": "OSError",
        "input": "OSError",
        "output": "allowed",
        "tmp": "allowed",
        "network": "OSError",
        "capabilities": "0000000000000000",
        "new_privileges": "1",
        "shm": 128 << 20,
    }
    greedy = runner.run(["-c", "x = bytearray(900 << 20); print(len(x))"], 60)
    assert greedy.code == 137
    assert runner.run(["-c", "raise SystemExit(7)"], 60).code == 7
    assert runner.run(["-c", "import time; time.sleep(60)"], 2).ok is False


@pytest.mark.container
def test_bad_input_in_the_image_ends_with_its_last_line(engine, image, tmp_path):
    packages = sysconfig.get_path("purelib")
    for name in ("input", "output", "opt/ml/model", "tmp"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name).chmod(0o777)
    (tmp_path / "input" / "inputs.json").write_text("{ no json")
    mounted = ["--volume", f"{packages}:/packages:ro", "--env", "PYTHONPATH=/packages"]
    runner = ImageRunner(engine, image.tag, tmp_path, image.platform.mounts, image.platform.limits, mounted)
    outcome = runner.run(["exec"], 120)
    assert outcome.code == 2
    assert outcome.last_line.startswith("error: /input/inputs.json: is not the platform's list of inputs")


@pytest.mark.container
@pytest.mark.slow
def test_the_image_gives_the_labels_of_medbench_run_with_torch_mounted(engine, image):
    packages = sysconfig.get_path("purelib")
    mounted = ["--volume", f"{packages}:/packages:ro", "--env", "PYTHONPATH=/packages"]
    root = image.folder / "rehearsal" / "root"
    runner = ImageRunner(engine, image.tag, root, image.platform.mounts, image.platform.limits, mounted)
    result = rehearse(image, runners=[runner], pattern="segmentation/*", count=1)
    assert [finding.rule for finding in result.findings] == ["rehearsal.sample"] or result.passed
    assert result.identical == 2


@pytest.mark.container
@pytest.mark.slow
@pytest.mark.exhaustive
def test_an_image_with_torch_inside_gives_the_labels_of_medbench_run(
    engine, write_submission, small_iugc, tmp_path
):
    import torch

    if torch.version.cuda is not None:
        pytest.skip("skipped: this torch is a CUDA build, whose libraries alone have more than 5 GB")
    built = build_context(
        BuildRequest(
            write_submission("whole", packages="vendored"), data=small_iugc, output=tmp_path / "build"
        )
    )
    engine.build(built.context, built.tag)
    try:
        root = built.folder / "rehearsal" / "root"
        runner = ImageRunner(engine, built.tag, root, built.platform.mounts, built.platform.limits)
        result = rehearse(built, runners=[runner], pattern="segmentation/*", count=1)
        assert [one.rule for one in result.findings if one.severity != "note"] == []
        assert result.identical == 2
        command = ("run", "--rm", "--network", "none", "--entrypoint", "python", built.tag, "-c")
        place = engine.call(*command, "import torch; print(torch.__file__)", what="look for torch")
        assert place.startswith("/opt/site-packages/torch/")
    finally:
        engines.remove_image(engine, built.tag)


@pytest.mark.container
@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "packages"),
    [
        ("grand-challenge", "base"),
        pytest.param("grand-challenge", "vendored", marks=pytest.mark.exhaustive),
        pytest.param("codabench", "base", marks=pytest.mark.exhaustive),
    ],
)
def test_the_evaluation_image_scores_as_the_program_in_a_relocated_root(
    engine, tmp_path, platform, packages, monkeypatch
):
    """With its packages mounted, or inside: the same lines bring them in for either platform."""
    import numpy as np

    from medbench.challenges import load_challenge
    from medbench.challenges.hc18.sample import write_sample
    from medbench.core.progress import SilentProgress
    from medbench.core.sample import Prediction
    from medbench.submissions.host.package import host
    from medbench.submissions.host.program import HostRequest
    from medbench.submissions.host.rehearsal import rehearse_host
    from medbench.submissions.workflow import check

    data, given = tmp_path / "hc18", tmp_path / "predictions"
    write_sample(data, {"training_set": [f"{number:03d}_HC" for number in range(40)]}, (54, 80))
    challenge = load_challenge("hc18")
    for case in challenge.cases(data, "test")[1:]:
        labels = np.roll(challenge.release.read_reference(case), 2, axis=0)[None]
        challenge.write(Prediction({"label_map": labels}), case, given)
    quiet = SilentProgress()
    if packages == "base":
        mounted = (
            "--volume",
            f"{sysconfig.get_path('purelib')}:/packages:ro",
            "--env",
            "PYTHONPATH=/packages",
        )
        runner = functools.partial(ImageRunner, extra=mounted)
        monkeypatch.setattr("medbench.submissions.host.rehearsal.ImageRunner", runner)
    request = HostRequest("hc18", platform, data, packages=packages, registry="docker.io/me")
    hosted = host(request, tmp_path / "build", quiet)
    assert [one for one in check(hosted.folder, None, tmp_path)[0] if one.severity != "note"] == []
    written = []
    for runner in (None, engine):
        told, path = rehearse_host(hosted, given, quiet, runner)
        assert (f"{engine.name} container" in told) == (runner is not None)
        written.append(Path(path.partition("; ")[2]).read_bytes())
    assert b'"dice"' in written[0]
    assert written[0] == written[1]
    user = engine.call("inspect", "--type", "image", "--format", "{{.Config.User}}", hosted.tag, what="look")
    assert user.strip() == ("10001:10001" if platform == "grand-challenge" else "")
    engines.remove_image(engine, hosted.tag)


@pytest.mark.parametrize(
    ("name", "code"), [("runc", "engine.unknown"), ("docker", "engine.missing"), ("none", None)]
)
def test_engines_that_are_not_there(name, code, monkeypatch):
    from medbench.core.errors import MedbenchError

    monkeypatch.setattr(engines.shutil, "which", lambda program: None)
    assert find_engine("auto") is None
    if code is None:
        assert find_engine(name) is None
        return
    with pytest.raises(MedbenchError) as caught:
        find_engine(name)
    assert caught.value.code == code


@pytest.mark.parametrize("started", [True, False])
def test_a_server_that_fails_leaves_no_container(tmp_path, started):
    from medbench.core.errors import MedbenchError

    program, calls = tmp_path / "engine", tmp_path / "calls"
    failing = "inspect" if started else "run"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n[ "$1" = {failing} ] && echo "out of space" >&2 && exit 125\n'
        "[ $1 = exec ] && echo 0\nexit 0\n"
    )
    program.chmod(0o755)
    runner = ImageRunner(Engine("docker", str(program)), "a:1", tmp_path, (), Limits())
    with pytest.raises(MedbenchError, match="out of space"), runner.serve([], 1.0):
        pass
    lines = [line.split() for line in calls.read_text().splitlines()]
    name = lines[0][lines[0].index("--name") + 1]
    assert lines[-2:] == [["kill", name], ["rm", "--force", name]]


def test_a_failing_engine_is_told_by_its_last_line(tmp_path):
    from medbench.core.errors import MedbenchError

    program = tmp_path / "engine"
    program.write_text("#!/bin/sh\necho first >&2\necho 'no space left' >&2\nexit 125\n")
    program.chmod(0o755)
    with pytest.raises(MedbenchError) as caught:
        Engine("docker", str(program)).build(tmp_path, "a:1")
    assert caught.value.message == "docker could not build a:1: no space left"
    assert "--engine none goes on without docker" in caught.value.hint
