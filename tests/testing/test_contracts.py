"""Our own parts keep the contracts of medbench.testing, and broken ones are told by name."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

import medbench
from medbench.challenges import list_challenges, load_challenge
from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.result_table import CaseScores
from medbench.core.score import Score
from medbench.models import ModelEntry, list_models, model_entry, registry
from medbench.submissions.platforms import list_platforms
from medbench.submissions.platforms.base import Mount
from medbench.testing import ContractError, check_challenge, check_model, check_platform
from medbench.testing.challenges import _units
from medbench.testing.examples import example_problems
from sample_contract import check_with

DISTILLATION = ["deep_heads", "shared_decoder", "relation"]
TINY = [name for name in list_models("*.test") if not model_entry(name).framework]
SMALL = ["smp/unet", *(f"baseline/{name}" for name in ("bilstm", "random", "transformer", "uniform"))]
WITH_SAMPLE = ["hc18", "psfhs", "myops2020", "cvc_clinicdb", "summe", "tvsum"]
ELSEWHERE = {
    *("brain_tumor_mri", "colonpath", "isic2018_task3"),  # test_image_classes
    *("kvasir_polyp", "cvc_clinicdb_boxes"),  # test_image_boxes
    "iugc2024",
}


@pytest.mark.parametrize("name", [*TINY, *SMALL])
def test_our_models(name, one_thread):
    check_model(name, training_only=DISTILLATION if name == "dmaf_net.test" else [])


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_SAMPLE)
def test_our_challenges_with_their_samples(name, sample, tmp_path, full):
    check_with(name, sample(name), tmp_path, full)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted({*list_challenges()} - {*WITH_SAMPLE} - ELSEWHERE))
def test_every_other_challenge_with_its_sample(name):
    check_challenge(name, options={"size": 512} if name == "kpis_slide" else None)


@pytest.mark.parametrize("group", ["", "patient 1"])
def test_what_two_splits_share_is_told(group):
    files = {split: Case("0001", {"image": Path(split) / "0001.png"}, {}, group) for split in "ab"}
    assert bool(_units([files["a"]]) & _units([files["b"]])) == bool(group)
    assert _units([files["a"]]) == _units([files["a"]])


def test_iugc_with_a_small_release(small_iugc):
    check_challenge("iugc2024", small_iugc)


@pytest.mark.parametrize("name", list_platforms())
def test_our_platforms(name):
    check_platform(name)


@pytest.fixture
def fresh_registry(monkeypatch):
    registry._registry.cache_clear()
    monkeypatch.setattr(registry, "_factories", {})
    yield
    registry._registry.cache_clear()


class Leaky(nn.Module):
    """Depends on the batch and answers at half the size."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.used = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, images):
        logits = self.used(images - images.mean())
        return logits[:, :, ::2, ::2]


def test_a_broken_model_is_told_point_by_point(fresh_registry):
    medbench.register_model(ModelEntry("lab/leaky", "Leaky", image_size=64))(Leaky)
    with pytest.raises(ContractError) as caught:
        check_model("lab/leaky")
    text = str(caught.value)
    assert "logits have shape (2, 3, 32, 32), not (2, 3, 64, 64)" in text
    assert "depends on what else is in the batch" in text


class Dead(nn.Conv2d):
    """Has a parameter that nothing uses."""

    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes, 1)
        self.unused = nn.Parameter(torch.ones(1))


def test_a_factory_that_does_not_take_its_keywords_is_told(fresh_registry):
    entry = ModelEntry("classifier", "Classifier", offers={"image_classes": "num_image_classes"})

    @medbench.register_model(entry)
    def classifier(in_channels, num_image_classes):
        return nn.Linear(in_channels, num_image_classes)

    with pytest.raises(ContractError, match="unexpected keyword argument 'num_classes'"):
        check_model("classifier")


def test_a_parameter_without_gradient_is_told(fresh_registry):
    medbench.register_model(ModelEntry("lab/dead", "Dead", image_size=64))(Dead)
    with pytest.raises(ContractError, match="no gradient reaches 1 parameter, the first is unused"):
        check_model("lab/dead")
    check_model("lab/dead", training_only=["unused"])


@pytest.mark.slow
def test_a_broken_challenge_is_told_point_by_point(sample):
    good = load_challenge("hc18")

    class Generous(type(good.scorer)):
        def score_failed(self, case, status, reason):
            return CaseScores({"dice": Score(1.5), "other": Score(1.0)})

    card = dataclasses.replace(good.card, citation="")
    scorer = Generous(good.card, good.exchange, good.release)
    with pytest.raises(ContractError) as caught:
        check_challenge(Challenge(card, good.release, good.exchange, scorer), sample("hc18"))
    assert "the card has no citation" in str(caught.value)
    assert "the parts hold different cards" in str(caught.value)
    with pytest.raises(ContractError) as caught:
        check_challenge(Challenge(good.card, good.release, good.exchange, scorer), sample("hc18"))
    text = str(caught.value)
    assert "dice = 1.5 is outside (0.0, 1.0)" in text
    assert "scores 'other', which is no column" in text
    assert "a failed case has scores that are not marked failed" in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: dataclasses.replace(one, group=""), "a training example without a group"),
        (lambda one: dataclasses.replace(one, labelled=False), "labelled is False, but load gives labels"),
        (lambda one: dataclasses.replace(one, load=lambda size: one.load(size + 1)), "loaded at 48"),
        (lambda one: dataclasses.replace(one, load=lambda size: one.missing), "cannot be loaded"),
        (
            lambda one: dataclasses.replace(
                one, load=lambda size: (one.load(size)[0], one.load(size)[1] * 255)
            ),
            "not file values",
        ),
    ],
)
def test_a_broken_training_example_is_told(change, told, small_cvc, tmp_path):
    good = load_challenge("cvc_clinicdb")
    assert not list(example_problems(good, small_cvc, tmp_path / "good"))
    exchange = copy.copy(good.exchange)
    inputs = exchange.inputs["image"]

    def broken(root, split, cache):
        examples = inputs.examples(root, split, cache)
        labelled = next(one for one in examples if one.load(16)[1].any())
        return [change(labelled), labelled]

    exchange.inputs = {"image": dataclasses.replace(inputs, examples=broken)}
    problems = list(
        example_problems(
            Challenge(good.card, good.release, exchange, good.scorer), small_cvc, tmp_path / "broken"
        )
    )
    assert any(told in line for line in problems), problems
    assert any("two training examples are named" in line for line in problems)


def test_a_broken_platform_is_told_point_by_point(monkeypatch):
    from medbench.submissions.platforms import load_platform

    platform = load_platform("grand-challenge")
    monkeypatch.setattr(type(platform), "mounts", (Mount("input", "input", True), Mount("/o", "output")))
    monkeypatch.setattr(type(platform), "source", "")
    with pytest.raises(ContractError) as caught:
        check_platform(platform)
    for told in ("has no source", "mount input is not absolute", "output /o is not writable"):
        assert told in str(caught.value)


def test_every_challenge_has_a_complete_card():
    from medbench.testing.challenges import _card_problems

    problems = {name: list(_card_problems(load_challenge(name))) for name in list_challenges()}
    assert {name: told for name, told in problems.items() if told} == {}
