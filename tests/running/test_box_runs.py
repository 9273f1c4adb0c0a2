"""Runs of detectors from training to the file that a challenge takes."""

import json

import pytest

from medbench.challenges.kvasir_polyp.sample import write_sample
from medbench.core.files import read_json
from medbench.running.evaluate import evaluate
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.train import train
from medbench.training.fit import Hardware

MODELS = {
    "medformer.retinanet.test": {},
    "medformer.retinanet.test with Faster R-CNN": {"detector": "faster_rcnn"},
    "torchvision/retinanet_resnet50_fpn.test": {},
    "torchvision/fasterrcnn_resnet50_fpn.test": {},
}


@pytest.fixture(scope="module")
def kvasir(tmp_path_factory):
    root = tmp_path_factory.mktemp("kvasir")
    write_sample(root, {"train": 24, "val": 2, "test": 8})
    return root


@pytest.fixture
def places(tmp_path):
    return {"runs": tmp_path / "runs", "leaderboards": tmp_path / "boards"}


@pytest.mark.slow
@pytest.mark.parametrize("challenge", ["kvasir_polyp", "cvc_clinicdb_boxes"])
@pytest.mark.parametrize("model", MODELS)
def test_a_run_ends_with_one_file_that_scores_the_same(
    kvasir, small_cvc, places, tmp_path, challenge, model, one_thread
):
    root = kvasir if challenge == "kvasir_polyp" else small_cvc
    finished = run(
        model.partition(" ")[0],
        challenge,
        data=root,
        weights="none",
        options={**MODELS[model], "score_threshold": 0.0},
        inference=Inference(image_size=64),
        **places,
    )
    assert finished.exit_code == 0
    table = finished.folder / "predictions" / f"{challenge}.json"
    entries = json.loads(table.read_text())
    assert {entry["category_id"] for entry in entries} == {1}
    assert len({entry["image_id"] for entry in entries}) == finished.record.counts.total
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "of a stranger.json").write_bytes(table.read_bytes())
    again = evaluate(challenge, alone, data=root, **places)
    for name, figures in finished.record.metrics.items():
        assert again.record.metrics[name].value == pytest.approx(figures.value, abs=1e-12)
    assert "Precision and recall" in (finished.folder / "report.html").read_text()
    board = (places["leaderboards"] / challenge / "results.jsonl").read_text()
    assert len(board.splitlines()) == 2


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_training_beats_fresh_weights_on_the_sample(kvasir, places, one_thread):
    changes = {"image_size": 128, "batch_size": 4, "epochs": 40, "learning_rate": 2e-3}
    weights = train(
        "medformer.retinanet.test",
        "kvasir_polyp",
        data=kvasir,
        recipe="quick",
        recipe_changes=changes,
        hardware=Hardware("cpu", 1),
        runs=places["runs"],
    )
    assert read_json(weights.with_name("training.json"))["recipe"]["loss"] == "detection"
    trained = run("medformer.retinanet.test", "kvasir_polyp", data=kvasir, **places)
    fresh = run("medformer.retinanet.test", "kvasir_polyp", data=kvasir, weights="none", **places)
    assert trained.record.model.weights == "trained"
    figures = [finished.record.metrics["ap_50"].value for finished in (trained, fresh)]
    assert figures[0] > figures[1] + 0.2, figures
