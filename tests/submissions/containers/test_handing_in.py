"""What is saved is what was built, twice alike, and the commands that are printed work on it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_file
from medbench.core.progress import SilentProgress
from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.containers import archives, engines
from medbench.submissions.host.program import HostRequest
from medbench.submissions.host.workflow import host_challenge
from medbench.submissions.rehearse.rehearsal import REPORT
from medbench.submissions.workflow import check, save

sys.path.insert(0, str(Path(__file__).parents[1]))
from registry import local_registry

QUIET = SilentProgress()
EXHAUSTIVE = pytest.mark.exhaustive
PROGRAMS = ("gunzip", "docker", "mlcube", "medperf", "tar")


def pretend_rehearsed(build):
    """A report of these very weights, so that saving goes on."""
    report = {**build.manifest, "passed": True, "runner": "test"}
    (build.folder / REPORT).write_text(json.dumps(report))


@pytest.fixture
def docker(engine, tmp_path, monkeypatch):
    """The engine under docker's name, as the printed commands call it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").symlink_to(engine.program)
    settings = tmp_path / "registries.conf"
    settings.write_text("")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(settings))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return engine, settings


@pytest.mark.container
@pytest.mark.parametrize(
    "platform",
    [
        "brats-mlcube",
        *(
            pytest.param(name, marks=EXHAUSTIVE)
            for name in ("brats-docker", "kpis-patch", "kpis-slide", "medperf", "synapse-docker")
        ),
    ],
)
def test_every_printed_command_works_on_the_archive_just_saved(
    docker, brats, patches, slides, platform, tmp_path, monkeypatch
):
    engine, settings = docker
    own = {"kpis-patch": patches, "kpis-slide": slides}.get(platform)
    made = brats(platform, packages="base") if own is None else own(packages="base")
    file = next(made.folder.parents[1].glob("*.toml"))
    engine.build(made.context, made.tag)
    pretend_rehearsed(made)
    with local_registry() as (address, pushed):
        settings.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
        lines = list(save(file, made.folder.parent, engine.name, f"{address}/somebody"))
        engine.call("rmi", "--force", made.tag, what="take the image away")
        assert not engine.has(made.tag)
        steps = [line.partition(". ")[2] for line in lines[lines.index("next:") + 1 :]]
        ran = []
        for step in steps:
            words = step.split()
            asks = words[:2] in (
                ["docker", "login"],
                ["mlcube", "run"],
            )  # for a password, for a folder of data
            if words[0] not in PROGRAMS or asks or shutil.which(words[0]) is None:
                continue
            done = subprocess.run(step, shell=True, capture_output=True, text=True, cwd=tmp_path)
            assert done.returncode == 0, (step, done.stderr)
            ran.append(" ".join(words[:2]))
        assert ran[:3] == ["gunzip --stdout", "docker tag", "docker push"]
        (name,) = pushed
        assert name.startswith("somebody/")
    names = {"brats-mlcube": "mlcube.yaml", "medperf": "container_config.yaml"}
    if platform in names:
        assert f"image: {address}/{name}\n" in (made.folder / names[platform]).read_text()


@pytest.mark.container
def test_saving_without_a_registry_says_so_and_the_report_holds_the_check(docker, brats):
    engine, _ = docker
    made = brats("brats-docker", packages="base")
    file = next(made.folder.parents[1].glob("*.toml"))
    engine.build(made.context, made.tag)
    pretend_rehearsed(made)
    lines = list(save(file, made.folder.parent, engine.name))
    assert any("No registry is given" in line for line in lines)
    path = made.folder / "tiny.tar.gz"
    report = read_json(path.with_name("tiny.tar.gz.report.json"))
    assert report["archive_sha256"] == sha256_file(path)
    assert "image.registry" in {finding["rule"] for finding in report["check"]}
    with pytest.raises(MedbenchError, match="lower-case letters"):
        build_context(BuildRequest(file, output=made.folder, registry="docker.synapse.org/synPROJECT"))
    findings, _ = check(file, None, made.folder.parent, "docker.synapse.org/project")
    assert "docker.synapse.org/syn and its number" in " ".join(finding.message for finding in findings)


@pytest.mark.container
def test_the_same_submission_gives_the_same_image_and_archive_and_a_stamp_another(
    engine, write_submission, small_iugc, tmp_path
):
    file = write_submission("twice", packages="base")
    found = []
    for number, stamp in enumerate(("", "", "second try")):
        request = BuildRequest(file, small_iugc, output=tmp_path / str(number), stamp=stamp)
        made = build_context(request)
        if number == 1:
            options = ("--no-cache", "--format", "oci", "--timestamp", str(archives.source_date_epoch()))
            engine.call("build", *options, "--tag", made.tag, str(made.context), what="build it afresh")
        else:
            engine.build(made.context, made.tag)
        path = tmp_path / f"{number}.tar.gz"
        engine.save(made.tag, path)
        found.append((archives.read_archive(path), sha256_file(path)))
        engines.remove_image(engine, made.tag)
    (first, one), (second, two), (third, three) = found
    assert (first.image_id, one) == (second.image_id, two)
    assert first.image_id != third.image_id
    assert one != three
    assert third.labels["medbench.stamp"] == "second try"
    assert first.labels["org.opencontainers.image.created"] == "1980-01-01T00:00:00+00:00"


@pytest.mark.container
def test_hosting_ends_with_an_archive_its_sha256_and_a_report(engine, heads, tmp_path):
    request = HostRequest("hc18", "grand-challenge", heads, packages="base")
    lines = list(host_challenge(request, tmp_path / "build", QUIET, predictions=None, engine=engine.name))
    path = tmp_path / "build/hc18-evaluation-grand-challenge/hc18-evaluation-grand-challenge.tar.gz"
    assert f"sha256 {sha256_file(path)}" in lines
    assert not any("docker build" in line for line in lines)
    facts = archives.read_archive(path)
    assert facts.labels["medbench.data"] == "real"
    report = read_json(path.with_name(path.name + ".report.json"))
    assert report["archive_sha256"] == sha256_file(path)
    assert report["ground_truth_sha256"] == sha256_file(path.with_name("ground_truth.tar.gz"))
    assert [one for one in report["check"] if one["severity"] == "error"] == []


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """A small release of HC18."""
    from medbench.challenges.hc18.sample import write_sample

    data = tmp_path_factory.mktemp("hc18")
    write_sample(data, {"training_set": [f"{number:03d}_HC" for number in range(40)]}, (54, 80))
    return data


def run_commands(lines, place):
    """Run those of the steps that are commands; their first two words."""
    ran = []
    for step in lines:
        if step.split()[0] in PROGRAMS:
            done = subprocess.run(step, shell=True, capture_output=True, text=True, cwd=place)
            assert done.returncode == 0, (step, done.stderr)
            ran.append(" ".join(step.split()[:2]))
    return ran


@pytest.mark.container
def test_the_printed_commands_of_a_hosted_competition_work(docker, heads, tmp_path):
    engine, settings = docker
    with local_registry() as (address, pushed):
        settings.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
        request = HostRequest("hc18", "codabench", heads, packages="base", registry=f"{address}/us")
        lines = list(host_challenge(request, tmp_path / "a", QUIET, predictions=None, engine=engine.name))
        steps = [line.partition(". ")[2] for line in lines[lines.index("next:") + 1 :]]
        assert run_commands(steps, tmp_path) == ["docker tag", "docker push"]
        (name,) = pushed
    assert name.startswith("us/hc18-evaluation-codabench:")
    bundle = tmp_path / "a/hc18-evaluation-codabench/bundle/competition.yaml"
    assert f"docker_image: {address}/{name}\n" in bundle.read_text()


@pytest.mark.container
@EXHAUSTIVE
def test_the_command_for_an_engine_elsewhere_gives_what_is_uploaded(docker, heads, tmp_path):
    request = HostRequest("hc18", "grand-challenge", heads, packages="base")
    lines = list(host_challenge(request, tmp_path, QUIET, predictions=None, engine="none"))
    (command,) = [line.partition("elsewhere: ")[2] for line in lines if "elsewhere: " in line]
    assert run_commands([command], tmp_path) == ["docker build"]
    folder = tmp_path / "hc18-evaluation-grand-challenge"
    findings, _ = check(folder, None, tmp_path)
    assert [one for one in findings if one.severity == "error"] == []
    assert f"upload {folder / folder.name}.tar.gz." in " ".join(lines)
    assert archives.read_archive(folder / f"{folder.name}.tar.gz").user == "10001:10001"


def test_a_hosted_sample_says_synthetic_in_its_name_and_its_output(tmp_path):
    request = HostRequest("hc18", "codabench", packages="base", registry="docker.io/me")
    lines = list(host_challenge(request, tmp_path, QUIET, predictions=None, engine="none"))
    assert lines[0].startswith("SYNTHETIC: ")
    folder = tmp_path / "hc18-evaluation-codabench-synthetic"
    content = (folder / "bundle/competition.yaml").read_text()
    assert "title: 'SYNTHETIC: HC18" in content
    assert "docker_image: docker.io/me/hc18-evaluation-codabench-synthetic:" in content
    assert (folder / "hc18-evaluation-codabench-synthetic.zip.sha256").is_file()
    with pytest.raises(MedbenchError, match="lower-case letters"):
        list(
            host_challenge(
                HostRequest("hc18", "codabench", registry="Docker.io/ME"),
                tmp_path,
                QUIET,
                predictions=None,
                engine="none",
            )
        )
