"""Training of networks that see sequences, and the losses of FullTransNet's program."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import medbench
from golden_files import golden
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.core.sample import SequenceSample, TrainingSequence
from medbench.inference.fulltransnet_predictor import FullTransNetPredictor
from medbench.models.blocks import local_global_attention
from medbench.models.blocks.in_parts import in_parts
from medbench.models.fulltransnet import frame_scores, frame_scores_of
from medbench.training import sequence_fit as sequences
from medbench.training.fit import Hardware
from medbench.training.recipes import list_recipes, load_recipe_as
from medbench.training.result_files import RESUME, SUMMARY
from medbench.training.sequence_recipe import SequenceRecipe
from medbench.training.summary_losses import summary_loss

TINY = {"dim": 16, "heads": 4, "encoder_layers": 1, "decoder_layers": 1, "window": 4, "ffn_dim": 32}
SETTINGS = SimpleNamespace(device="cpu", precision="fp32")


def example(number, frames=40, chosen=(4, 5, 6, 20), width=1024):
    rng = np.random.default_rng(number)
    features = np.maximum(rng.normal(size=(frames, width)), 0).astype(np.float32)
    facts = {
        "picks": np.arange(frames) * 15,
        "change_points": np.array([[0, 149], [150, frames * 15 - 1]]),
        "n_frames": frames * 15,
    }
    sample = SequenceSample(Case(f"video_{number}", {}), features, facts=facts)
    key_frames = np.isin(np.arange(frames), chosen)
    return TrainingSequence(f"video_{number}", f"v{number}", lambda: (sample, {"key_frames": key_frames}), ())


def recipe(**changes):
    return load_recipe_as(
        SequenceRecipe, "video_summaries", "quick", {"epochs": 3, "least_steps": 0, **changes}
    )


def fit(folder, recipe, model="fulltransnet", examples=None, **options):
    folder.mkdir(exist_ok=True)
    return sequences.fit_sequences(
        lambda: medbench.create_model(model, num_classes=1, **options),
        examples or [example(number) for number in range(3)],
        recipe,
        folder,
        {"model": model},
        hardware=Hardware("cpu"),
        progress=SilentProgress(),
    )


def test_losses_are_the_authors():
    stored, arrays = golden("fulltransnet_losses")
    for case, losses in stored.items():
        output, selected = torch.from_numpy(arrays[f"{case}_out"]), torch.from_numpy(arrays[f"{case}_sel"])
        target = torch.zeros_like(output)
        target[torch.arange(len(selected)), selected] = 1
        for loss, value in losses.items():
            ours = float(summary_loss(loss)(output, target))
            # theirs is a square of a small float32 difference: 1.5e-5 from its own float64 value
            tolerance = 2e-5 if loss == "focal_tversky" else 1e-6
            assert ours == pytest.approx(value, rel=tolerance), (case, loss)


def test_an_unknown_loss_is_refused_by_name():
    with pytest.raises(MedbenchError, match="loss"):
        summary_loss("dice")


@pytest.mark.parametrize(
    "name", ["bce", "focal", "jaccard", "tversky", "focal_tversky", "power_jaccard", "mse"]
)
def test_parts_give_the_loss_and_gradient_of_the_whole(name, monkeypatch):
    video = sequences.read_videos([example(0)], SilentProgress())[0]
    torch.manual_seed(0)
    network = medbench.create_model("fulltransnet", num_classes=1, dropout=0.0, **TINY)
    gradients = []
    for entries, scores in ((1 << 22, 1 << 23), (90, 600)):
        monkeypatch.setattr(sequences, "_ENTRIES_AT_ONCE", entries)
        monkeypatch.setattr(local_global_attention, "SCORES_AT_ONCE", scores)
        network.zero_grad()
        loss = sequences.video_loss(network, video, summary_loss(name))
        loss.backward()
        gradients.append([float(loss.detach()), *(p.grad.norm().item() for p in network.parameters())])
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-3, abs=1e-6)


def test_parts_are_computed_again_with_the_same_random_numbers():
    """The gradient through dropout of each part is that of the same numbers; others are drawn as before."""
    values = torch.ones(2, 1, 11, 3, dtype=torch.float64, requires_grad=True)
    factor = torch.full((3,), 2.0, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(5)
    result = in_parts(
        lambda cut, whole, nothing: torch.dropout(cut * whole, 0.5, True), 11, 4, (values,), (factor, None)
    )
    after = torch.rand(1)
    assert 0.2 < float((result == 0).double().mean()) < 0.8
    result.sum().backward()
    assert torch.equal(values.grad, result.detach())
    assert torch.allclose(factor.grad, result.detach().sum((0, 1, 2)) / 2)
    torch.manual_seed(5)
    torch.randint(1 << 48, ())
    assert torch.equal(torch.rand(1), after)
    with torch.no_grad():
        state = torch.get_rng_state()
        in_parts(lambda cut: cut + 1, 11, 4, (values,), ())
        assert torch.equal(torch.get_rng_state(), state)


def test_scores_of_parts_are_those_of_the_whole():
    rows = torch.rand(23, 40, generator=torch.Generator().manual_seed(1)).round(decimals=1)
    assert torch.equal(frame_scores_of(rows.split(5)), frame_scores(rows))


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole = torch.load(fit(tmp_path / "whole", recipe(), **TINY), weights_only=True)
    stop = sequences._Course._keep

    def interrupted(course):
        stop(course)
        if course.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sequences._Course, "_keep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "parts", recipe(), **TINY)
    state = torch.load(tmp_path / "parts" / RESUME, weights_only=True)
    resumed = torch.load(fit(tmp_path / "parts", recipe(), **TINY), weights_only=True)
    summary = json.loads((tmp_path / "parts" / SUMMARY).read_text())
    assert summary["resumed"]
    assert summary["cpu_s"] > state["cpu_s"] > 0, "what the interrupted call took counts too"
    assert summary["cpu_s_first_step"] == round(state["cpu_s_first_step"], 2)
    assert all(torch.equal(whole["state_dict"][key], value) for key, value in resumed["state_dict"].items())
    assert not (tmp_path / "parts" / RESUME).exists()


@pytest.mark.parametrize("model", ["baseline/transformer", "baseline/bilstm", "fulltransnet.published"])
def test_every_form_learns_by_the_same_recipe(model, tmp_path):
    options = {} if model == "baseline/bilstm" else {"dim": 16, "heads": 4, "ffn_dim": 32}
    network = medbench.create_model(model, num_classes=1, **options)
    video = sequences.read_videos([example(0)], SilentProgress())[0]
    network.eval()
    before = float(sequences.video_loss(network, video, summary_loss("bce")).detach())
    weights = fit(tmp_path, recipe(epochs=12), model, [example(0)], **options)
    network.load_state_dict(torch.load(weights, weights_only=True)["state_dict"])
    assert float(sequences.video_loss(network, video, summary_loss("bce")).detach()) < before


def test_a_video_without_chosen_frames_is_left_out_and_told(tmp_path):
    said = []
    progress = SilentProgress()
    progress.say = said.append
    videos = sequences.read_videos([example(0, chosen=()), example(1, chosen=(3,))], progress)
    assert [video.id for video in videos] == ["video_1"]
    assert "video_0" in said[0]
    with pytest.raises(MedbenchError) as caught:
        sequences.read_videos([example(0, chosen=())], progress)
    assert caught.value.code == "training.no_labels"


def test_recipes_are_the_authors():
    assert {"default", "published", "published_script", "quick"} <= set(list_recipes("video_summaries"))
    published = load_recipe_as(SequenceRecipe, "video_summaries", "published", {})
    assert (published.epochs, published.learning_rate, published.weight_decay) == (300, 1e-3, 1e-4)
    assert published.validation == "test_split"


def test_the_published_form_needs_the_summary_and_the_default_form_does_not():
    sample, targets = example(0).load()
    published = medbench.create_model("fulltransnet.published", num_classes=1, length=64)
    predictor = FullTransNetPredictor(published, SETTINGS)
    with pytest.raises(MedbenchError) as caught:
        predictor.predict(sample)
    assert caught.value.code == "model.needs_reference"
    shown = SequenceSample(sample.case, sample.features, sample.demands, {**sample.facts, **targets})
    assert predictor.predict(shown)["frame_scores"].shape == (40,)
    default = FullTransNetPredictor(medbench.create_model("fulltransnet", num_classes=1, **TINY), SETTINGS)
    one, other = (default.predict(each)["frame_scores"] for each in (sample, shown))
    assert np.array_equal(one, other)


def test_a_video_longer_than_the_network_is_refused_by_name():
    sample, _ = example(0, frames=70).load()
    network = medbench.create_model("fulltransnet", num_classes=1, length=64, **TINY)
    with pytest.raises(MedbenchError, match="70 frames") as caught:
        FullTransNetPredictor(network, SETTINGS).predict(sample)
    assert caught.value.code == "model.input"
    assert "length=20000" in caught.value.hint
