"""Hardware that decides a training's weights is in its folder's name, in the record and in the row."""

import dataclasses

import pytest

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.leaderboards.rows import row_of
from medbench.running.data import resolve_data
from medbench.running.networks import plan_network, recipe_for
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.train import plan_training, train
from medbench.training.hardware import Hardware, present_hardware

ONE = present_hardware(Hardware("cpu", 1))


def test_trainings_on_other_hardware_never_share_a_folder(small_cvc, tmp_path):
    challenge = load_challenge("cvc_clinicdb")
    data = resolve_data(challenge, small_cvc, SilentProgress())
    network = plan_network("dssau_net.test", challenge, {})
    recipe = recipe_for(challenge, network, "default")

    def plan(**changes):
        hardware = dataclasses.replace(ONE, **changes)
        return plan_training(challenge, data, network, recipe, tmp_path, None, None, hardware)

    others = [
        {"precision": "bf16-mixed"},
        {"precision": "16-mixed"},
        {"devices": 2},
        {"nodes": 2},
        {"passes": 2},
        {"accelerator": "cuda"},
        {"deterministic": False},
    ]
    folders = {plan(**changes).folder for changes in [{}, *others]}
    assert len(folders) == len(others) + 1
    assert plan(workers=3).folder == plan().folder
    facts = plan(devices=2, nodes=2, passes=3).facts["hardware"]
    assert facts["effective_batch"] == recipe.batch_size
    assert (facts["devices"], facts["nodes"], facts["accumulation"]) == (2, 2, 3)
    assert (facts["precision"], facts["tf32"], facts["accelerator"]) == ("32", False, "cpu")


def test_an_absent_device_is_refused_before_the_sample_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("medbench.running.train.resolve_data", lambda *arguments: pytest.fail("drawn"))
    with pytest.raises(MedbenchError) as error:
        train("dssau_net.test", "cvc_clinicdb", runs=tmp_path, hardware=Hardware("cuda:99"))
    assert error.value.code == "device.missing"


def test_the_row_says_on_what_it_was_trained_and_predicted(small_cvc, tmp_path):
    finished = run(
        "dssau_net.test", "cvc_clinicdb", data=small_cvc, weights="none", runs=tmp_path, cases="1*",
        leaderboards=tmp_path / "boards", inference=Inference("cpu", image_size=64),
    )  # fmt: skip
    record, row = finished.record, row_of(finished.record, finished.folder)
    assert (row["settings"]["device"], row["settings"]["precision"]) == ("cpu", "fp32")
    assert row["training_hardware"] is None
    training = {"recipe": {"name": "default"}, "hardware": ONE.facts(24)}
    trained = record.model_copy(update={"model": record.model.model_copy(update={"training": training})})
    assert row_of(trained, finished.folder)["training_hardware"]["effective_batch"] == 24
