"""Runs of classifiers from training to the table that a challenge takes."""

import pytest

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json
from medbench.models import model_entries
from medbench.running.evaluate import evaluate
from medbench.running.predict import predict
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.train import train
from medbench.training.fit import Hardware

pytestmark = pytest.mark.slow
CHALLENGES = ("brain_tumor_mri", "colonpath", "isic2018_task3")


@pytest.fixture(scope="module")
def samples(sample):
    return {name: sample(name) for name in CHALLENGES}


@pytest.fixture
def places(tmp_path):
    return {"runs": tmp_path / "runs", "leaderboards": tmp_path / "boards"}


@pytest.mark.parametrize("challenge", CHALLENGES)
@pytest.mark.parametrize("model", ["medformer.classifier.test", "timm/test_vit"])
def test_a_run_ends_with_one_table_that_scores_the_same(
    samples, places, tmp_path, challenge, model, one_thread
):
    finished = run(
        model,
        challenge,
        data=samples[challenge],
        weights="none",
        inference=Inference(image_size=64),
        **places,
    )
    assert finished.exit_code == 0
    table = finished.folder / "predictions" / f"{challenge}.csv"
    assert len(table.read_text().splitlines()) == finished.record.counts.total + 1
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "of a stranger.csv").write_bytes(table.read_bytes())
    again = evaluate(challenge, alone, data=samples[challenge], **places)
    for name, figures in finished.record.metrics.items():
        assert again.record.metrics[name].value == figures.value
    assert "Confusion matrix" in (finished.folder / "report.html").read_text()


def test_a_network_that_segments_as_well_answers_with_its_image_head(samples, places, one_thread):
    finished = run(
        "smp/unet",
        "brain_tumor_mri",
        data=samples["brain_tumor_mri"],
        weights="none",
        options={"encoder": "resnet18"},
        inference=Inference(image_size=64),
        cases="Testing/glioma/*",
        **places,
    )
    assert finished.exit_code == 0


def test_predict_leaves_the_table(samples, places, tmp_path, one_thread):
    predict(
        "timm/test_resnet",
        "colonpath",
        tmp_path / "out",
        data=samples["colonpath"],
        weights="none",
        inference=Inference(image_size=64),
        runs=places["runs"],
    )
    assert (tmp_path / "out" / "predictions" / "colonpath.csv").read_text().startswith("img_id,tumor\n")


def test_a_quick_training_beats_chance_on_the_sample(samples, places, one_thread):
    weights = train(
        "timm/test_resnet",
        "colonpath",
        data=samples["colonpath"],
        recipe="quick",
        recipe_changes={"image_size": 64, "batch_size": 8, "epochs": 12, "class_balance": "sampling"},
        hardware=Hardware("cpu", 1),
        runs=places["runs"],
    )
    summary = read_json(weights.with_name("training.json"))
    assert summary["recipe"]["class_balance"] == "sampling"
    finished = run("timm/test_resnet", "colonpath", data=samples["colonpath"], **places)
    assert finished.record.model.weights == "trained"
    assert finished.record.metrics["accuracy"].value > 0.7
    assert finished.record.metrics["auc"].ci95_low > 0.5


def test_one_setting_of_the_recipe_that_is_not_there_is_told(samples, places):
    with pytest.raises(MedbenchError) as caught:
        train("timm/test_resnet", "colonpath", data=samples["colonpath"], recipe_changes={"mixupp": 1.0})
    assert caught.value.code == "recipe.setting"
    assert "mixup" in caught.value.hint


def test_every_classifier_has_a_challenge():
    demands = load_challenge("brain_tumor_mri").card.demands.keys()
    names = [entry.name for entry in model_entries() if "image_classes" in entry.offers]
    assert len(names) > 12
    assert all(demands <= entry.offers.keys() for entry in model_entries() if entry.name in names)
