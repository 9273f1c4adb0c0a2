"""How a network's input was normalised belongs to its weights: to the key of a training, and to their use."""

import dataclasses
import json

import pytest

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_json, write_json
from medbench.core.progress import SilentProgress
from medbench.inference.facts import read_facts
from medbench.inference.weights import load_checkpoint
from medbench.running.data import resolve_data
from medbench.running.networks import plan_network, recipe_for
from medbench.running.train import plan_training, train
from medbench.running.trainings import Wanted
from medbench.running.weights import Weights, fit_to_weights
from medbench.training.hardware import Hardware, present_hardware

CHALLENGE = load_challenge("cvc_clinicdb")
MODEL = "mslau_net.test"
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
FACTS = ("model", "options", "num_classes", "num_image_classes", "challenge", "split", "data",
         "manifest_sha256", "seed", "hardware")  # fmt: skip


def planned(network, data, runs):
    hardware = present_hardware(Hardware("cpu", 1))
    return plan_training(
        CHALLENGE, data, network, recipe_for(CHALLENGE, network, None), runs, hardware=hardware
    )


def with_input(network, **facts):
    return dataclasses.replace(network, entry=dataclasses.replace(network.entry, **facts))


def test_another_normalisation_is_another_training(small_cvc, tmp_path):
    """Field case: weights that had learnt images from 0 to 1 were found for a card that had changed."""
    data = resolve_data(CHALLENGE, small_cvc, SilentProgress())
    network = plan_network(MODEL, CHALLENGE, {})
    assert network.own_input == IMAGENET
    before = with_input(network, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert before.own_input == {}
    others = [with_input(network, channel_order="BGR"), with_input(network, scale=1.0)]
    plans = [planned(one, data, tmp_path) for one in (network, before, *others)]
    assert len({plan.folder for plan in plans}) == 4
    assert plans[0].facts["input"] == IMAGENET
    old = {**{name: plans[1].facts[name] for name in FACTS}, "recipe": plans[1].recipe.as_json()}
    assert plans[1].folder.name.endswith(f"-{sha256_json(old)[:12]}"), "keys of the default input stay"


def test_volumes_and_frameworks_have_what_of_their_input_is_their_own():
    def own(model, challenge):
        return plan_network(model, load_challenge(challenge), {}).own_input

    assert own("dmaf_net.test", "brats2020") == {"background": "scaled", "modality_mask": True}
    assert own("nnunet", "brats2020") == own("baseline/constant", "psfhs") == {}
    assert own("fulltransnet.test", "tvsum") == {}
    assert own("dssau_net.test", "psfhs") == {"channel_order": "BGR"}


@pytest.fixture(scope="module")
def trained(small_cvc, tmp_path_factory, one_thread):
    """A tiny network's weights, and the training that would be looked for."""
    runs = tmp_path_factory.mktemp("runs")
    changes = {"epochs": 1, "image_size": 32, "least_steps": 0, "validation": "none"}
    weights = train(MODEL, CHALLENGE.name, recipe="quick", recipe_changes=changes, data=small_cvc, runs=runs)
    data = resolve_data(CHALLENGE, small_cvc, SilentProgress())
    return weights, Wanted(CHALLENGE, data, plan_network(MODEL, CHALLENGE, {}), runs)


@pytest.mark.parametrize(
    ("own_input", "reason"),
    [
        (IMAGENET, None),
        ({}, "another normalisation of its input"),
        (None, "no record of how its input was normalised"),
    ],
)
def test_only_weights_of_today_s_input_are_found_by_themselves(trained, own_input, reason):
    weights, wanted = trained
    path = weights.with_name("training.json")
    summary = read_json(path)
    assert summary["input"] == IMAGENET
    changed = {name: value for name, value in summary.items() if name != "input"}
    write_json(path, changed if own_input is None else {**changed, "input": own_input})
    try:
        assert wanted.newest() == (weights if reason is None else None)
        assert reason is None or wanted.others() == [f"{reason} ({weights.parent.name})"]
    finally:
        write_json(path, summary)


def test_weights_see_images_as_they_learnt_them(trained):
    weights, wanted = trained
    checkpoint = load_checkpoint(weights)

    def entry(facts):
        own = Weights("file", weights, dataclasses.replace(checkpoint, facts=facts))
        return fit_to_weights(wanted.network, own).entry

    assert checkpoint.facts["input"] == IMAGENET
    assert entry(checkpoint.facts).mean == (0.485, 0.456, 0.406)
    other = entry({**checkpoint.facts, "input": {"mean": [0.1, 0.2, 0.3], "channel_order": "BGR"}})
    assert (other.mean, other.std) == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))
    assert (other.channel_order, other.scale) == ("BGR", 255.0)
    unrecorded = {name: value for name, value in checkpoint.facts.items() if name != "input"}
    assert entry(unrecorded).mean == (0.485, 0.456, 0.406), "as the card has it"


@pytest.mark.parametrize(
    "own_input",
    [
        [],
        {"std": [1.0, 0.0, 1.0]},
        {"scale": 0},
        {"mean": 0.5},
        {"mean": ["a", "b", "c"]},
        {"mean": []},
        {"channel_order": "GBR"},
        {"scale": True},
    ],
)
def test_an_input_that_cannot_be_true_is_refused(own_input, tmp_path):
    with pytest.raises(MedbenchError) as error:
        read_facts(json.dumps({"input": own_input}), tmp_path / "weights.pt")
    assert error.value.code == "weights.facts"
    assert "give input as" in error.value.message
