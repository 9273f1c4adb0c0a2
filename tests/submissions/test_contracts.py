"""What is written for platforms, against small tables of their formats; each names its source and date."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from medbench.challenges.hc18.sample import write_sample
from medbench.core.progress import SilentProgress
from medbench.submissions.description import Socket
from medbench.submissions.host.package import host
from medbench.submissions.host.program import HostRequest
from medbench.submissions.host.rehearsal import rehearse_host
from medbench.submissions.lint import competition, competition_values
from medbench.submissions.platforms import load_platform
from medbench.submissions.platforms.grand_challenge import LIMITS, read_inputs
from medbench.submissions.platforms.socket_inputs import input_entry

TABLES = Path(__file__).parent / "contracts"


def table(name):
    return tomllib.loads((TABLES / f"{name}.toml").read_text())


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_table_names_its_source_and_its_date(path):
    content = tomllib.loads(path.read_text())
    assert content["source"]
    assert content["date"][:2] == "20"


def test_medperf(brats):
    due = table("medperf")
    content = yaml.safe_load((brats("medperf").folder / "container_config.yaml").read_text())
    infer = content["tasks"]["infer"]
    assert content["container_type"] in due["container_types"]
    assert sorted([*infer["input_volumes"], *infer["output_volumes"]]) == sorted(due["mounts"])
    assert sorted(infer["output_volumes"]) == due["written"]
    for volume in (*infer["input_volumes"].values(), *infer["output_volumes"].values()):
        assert set(volume) == set(due["volume_fields"])
        assert volume["type"] in due["volume_types"]
    assert set(infer["run_args"]) <= set(due["run_arguments"])
    assert due["user"] in load_platform("medperf").runs_as


def test_mlcube(brats):
    due, made = table("mlcube"), brats("brats-mlcube", delivery="mounted")
    content = yaml.safe_load((made.folder / "mlcube.yaml").read_text())
    assert set(content["docker"]) <= set(due["runner_fields"])
    parameters = content["tasks"]["infer"]["parameters"]
    workspace = made.folder / due["workspace"]
    for one in (*parameters["inputs"].values(), *parameters["outputs"].values()):
        assert set(one) <= set(due["parameter_fields"])
        assert one["type"] in due["parameter_types"]
    for name in ("parameters_file", "additional_files"):
        assert (workspace / parameters["inputs"][name]["default"]).exists()
    assert due["user"] in load_platform("brats-mlcube").runs_as


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    root = tmp_path_factory.mktemp("hc18")
    write_sample(root, {"training_set": [f"{number:03d}_HC" for number in range(40)]}, (54, 80))
    return root


def test_codabench(release, tmp_path):
    due = table("codabench")
    request = HostRequest("hc18", "codabench", release, ingestion=True)
    made = host(request, tmp_path, SilentProgress())
    content = yaml.safe_load((made.folder / "bundle/competition.yaml").read_text())
    assert content["version"] == due["version"]
    assert all(content[name] for name in due["needed"])
    assert set(due["needed"]) <= set(competition.REQUIRED)
    for task in content["tasks"]:
        assert all(name in task for name in due["task_needed"])
        assert all((made.folder / "bundle" / task[name]).is_dir() for name in due["task_files"])
    for phase in content["phases"]:
        assert all(phase[name] for name in due["phase_needed"])
    for board in content["leaderboards"]:
        assert {column["sorting"] for column in board["columns"]} <= set(due["choices"]["sorting"])
    assert dict(competition_values.CHOICES) == {name: tuple(due["choices"][name]) for name in due["choices"]}
    assert {part: dict(longest) for part, longest in competition_values.LONGEST.items()} == due["longest"]
    assert list(competition_values.QUESTION) == due["question"]
    for page in content["pages"]:
        assert (made.folder / "bundle" / page["file"]).read_text()


@pytest.mark.parametrize("form", ["2025", "2026"])
def test_grand_challenge_inputs(form, tmp_path):
    due = table("grand_challenge")
    key = due["forms"][form]["key"]
    socket = Socket(slug="ct", path="images/ct")
    entry = input_entry(socket, key)
    assert set(entry) == {*due["entry"], key}
    assert set(entry[key]) == set(due["forms"][form]["fields"])
    (tmp_path / "inputs.json").write_text(json.dumps([entry]))
    assert read_inputs(tmp_path) == {"ct": "images/ct"}


def test_grand_challenge_jobs_and_limits(release, tmp_path):
    import numpy as np

    from medbench.challenges import load_challenge
    from medbench.core.sample import Prediction

    due, challenge = table("grand_challenge"), load_challenge("hc18")
    for case in challenge.cases(release, "test"):
        labels = np.roll(challenge.release.read_reference(case), 2, axis=0)[None]
        challenge.write(Prediction({"label_map": labels}), case, tmp_path / "p")
    made = host(HostRequest("hc18", "grand-challenge", release), tmp_path / "b", SilentProgress())
    list(rehearse_host(made, tmp_path / "p", SilentProgress()))
    jobs = json.loads((made.folder / "rehearsal/root/input/predictions.json").read_text())
    keys = set()
    for job in jobs:
        assert set(job) == set(due["job"])
        keys |= {name for entry in job["inputs"] for name in entry} - {"image"}
    assert keys == {form["key"] for form in due["forms"].values()}
    for name in ("processes", "image_bytes", "unverified_upload_bytes", "upload_bytes", "start_s"):
        assert getattr(LIMITS, name) == due[name]
