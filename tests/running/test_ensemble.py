"""Ensembles: a run of its own whose parents are runs."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.inference.voting import majority, mean
from medbench.io.raster import read_image
from medbench.running.ensemble import EnsembleRequest, run_ensemble
from medbench.running.request import Inference
from medbench.running.run import run
from refusals import refused

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = {"encoder": "mobilenet_v2"}


def parent(root, places, seed, image_size=32, model="smp/unet"):
    return run(
        model, "cvc_clinicdb", data=root, weights="none", options=OPTIONS, seed=seed,
        inference=Inference(image_size=image_size), **places,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(small_cvc, tmp_path_factory):
    root = tmp_path_factory.mktemp("ensemble")
    places = {"runs": root / "runs", "leaderboards": root / "boards"}
    return places, [parent(small_cvc, places, seed, size) for seed, size in ((1, 32), (2, 64), (3, 32))]


def request(made, parents, root):
    return EnsembleRequest(tuple(str(p) for p in parents), root, **made[0])


@pytest.mark.slow
def test_an_ensemble_votes_and_names_its_parents(made, small_cvc):
    places, parents = made
    names = [parents[0].folder, parents[1].record.key[:12], parents[2].folder]
    done = run_ensemble(request(made, names, small_cvc))
    record = done.record
    assert record.status == "complete"
    assert record.model.name == "ensemble"
    keys = [finished.record.key for finished in parents]
    assert [entry["key"] for entry in record.model.training["parents"]] == keys
    assert record.model.parameters == sum(finished.record.model.parameters for finished in parents)
    assert record.command == f"medbench ensemble {' '.join(key[:16] for key in keys)}"
    predictions = [path for path in (done.folder / "predictions").rglob("*") if path.is_file()]
    assert len(predictions) == record.counts.total
    for path in predictions:
        relative = path.relative_to(done.folder)
        votes = [read_image(finished.folder / relative)[..., 0] > 127 for finished in parents]
        np.testing.assert_array_equal(read_image(path)[..., 0] > 127, np.sum(votes, axis=0) >= 2)
    rows = (places["leaderboards"] / "cvc_clinicdb" / "results.jsonl").read_text().splitlines()
    row = next(json.loads(line) for line in rows if json.loads(line)["key"] == record.key)
    assert [entry["key"] for entry in row["training"]["parents"]] == keys
    again = run_ensemble(request(made, names, small_cvc))
    assert again.record.key == record.key
    assert again.resumed == record.counts.total


def test_the_command_makes_the_same_run(made, small_cvc):
    places, parents = made
    arguments = ["ensemble", *(str(p.folder) for p in parents[:2]), "--data", str(small_cvc)]
    arguments += ["--runs", str(places["runs"]), "--leaderboards", str(places["leaderboards"]), "--json"]
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    expected = run_ensemble(request(made, [p.folder for p in parents[:2]], small_cvc)).record.key
    assert expected[:16] in answer.stdout


def test_what_makes_no_ensemble_is_refused(made, small_cvc, small_isic):
    places, parents = made
    one, two = (finished.folder for finished in parents[:2])
    refused("ensemble.parents", lambda: run_ensemble(request(made, [one], small_cvc)))
    refused("ensemble.parents", lambda: run_ensemble(request(made, [one, one], small_cvc)))
    other = run(
        "smp/unet", "isic2018", data=small_isic, weights="none", options=OPTIONS,
        inference=Inference(image_size=32), **places,
    )  # fmt: skip
    refused("ensemble.differ", lambda: run_ensemble(request(made, [one, other.folder], small_cvc)))
    done = run_ensemble(request(made, [one, two], small_cvc))
    refused("ensemble.network", lambda: run_ensemble(request(made, [one, done.folder], small_cvc)))


def test_an_absent_device_is_refused_before_a_run_is_read():
    with pytest.raises(MedbenchError) as error:
        run_ensemble(EnsembleRequest(("nowhere", "neither"), device="cuda:99"))
    assert error.value.code == "device.missing"


def test_votes_and_means():
    maps = [np.array([0, 1, 2, 2]), np.array([1, 1, 0, 1]), np.array([1, 0, 1, 1])]
    assert majority(maps).tolist() == [1, 1, 2, 1]
    assert mean([np.float32([0.2, 0.8]), np.float32([0.4, 0.6])]).tolist() == pytest.approx([0.3, 0.7])


def test_a_run_named_twice_is_refused_by_name(made, small_cvc):
    twice = [made[1][0].folder] * 2
    with pytest.raises(MedbenchError, match=r"An ensemble needs two or more different runs, not .*, .*\."):
        run_ensemble(request(made, twice, small_cvc))
