"""Checkpoints: what other programs wrap around them comes off, and what does not fit whole is refused."""

import argparse
import json

import pytest
import torch

from medbench.challenges import load_challenge
from medbench.challenges.declared.bare import bare_challenge
from medbench.core.files import sha256_file
from medbench.core.progress import SilentProgress
from medbench.inference.weights import Checkpoint, load_checkpoint, load_into, save_checkpoint
from medbench.inference.wrappers import peelings, unwrapped
from medbench.models import create_model
from medbench.running import job
from medbench.running import weights as weights_of_requests
from medbench.running.request import Request
from medbench.running.setup import Setup
from medbench.running.weights import read_weights
from refusals import refused

MODEL = "dssau_net.test"


@pytest.fixture(scope="module")
def state(one_thread):
    torch.manual_seed(0)
    return create_model(MODEL, in_channels=3, num_classes=2).state_dict()


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


WRAPPED = {
    "plain": lambda state: state,
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "ddp_compiled": lambda state: prefixed(state, "module._orig_mod."),
    "compiled_ddp": lambda state: prefixed(state, "_orig_mod.module."),
    "lightning": lambda state: {"state_dict": prefixed(state, "model."), "epoch": 3},
    "lightning_compiled": lambda state: {"state_dict": prefixed(state, "model._orig_mod."), "epoch": 3},
    "net_in_model": lambda state: {"model": prefixed(state, "net.")},
    "thop": lambda state: {**state, "total_ops": torch.zeros(1), "stem.total_params": torch.zeros(1)},
    "averaged": lambda state: {**prefixed(state, "module."), "n_averaged": torch.tensor(3)},
    "fsdp": lambda state: prefixed(state, "_fsdp_wrapped_module."),
    "recomputed": lambda state: inside(state, "_checkpoint_wrapped_module"),
    "fabric": lambda state: prefixed(state, "_forward_module."),
    "opacus": lambda state: prefixed(state, "_module."),
    "deepspeed": lambda state: {"module": state, "ds_version": "0.14"},
    "timm_average": lambda state: {"state_dict_ema": state, "epoch": 3},
    "average_in_ema": lambda state: {"ema": {"module": prefixed(state, "module.")}, "updates": 7},
    "unusual_entry": lambda state: {"checkpoint": {"model": state}, "optimizer": optimizer(state)},
    "optimizer_by_name": lambda state: {
        "model_state": state,
        "optim": {"state": {"a": {"exp_avg": torch.zeros(2)}}},
    },
    "lightning_with_a_loss": lambda state: {
        "state_dict": {**prefixed(state, "net."), "loss.weight": torch.ones(2)}
    },
    "two_prefixes": lambda state: {"state_dict": prefixed(state, "model.backbone.")},
    "unusual_prefix": lambda state: prefixed(state, "segmentor."),
}


def inside(state, part):
    """A part of names after the first, as where some layers are wrapped."""
    return {name.replace(".", f".{part}.", 1): tensor for name, tensor in state.items()}


def optimizer(state):
    moments = {number: {"exp_avg": tensor} for number, tensor in enumerate(state.values())}
    return {"state": moments, "param_groups": [{"lr": 0.1}]}


SEVERAL = {
    "student_and_teacher": (
        lambda state: {"student": state, "teacher": state},
        "weights.several",
        "student, teacher",
    ),
    "average_beside": (
        lambda state: {**prefixed(state, "online_model."), **prefixed(state, "ema_model.")},
        "weights.several",
        "online_model, ema_model",
    ),
    "epoch_among_parameters": (lambda state: {**state, "epoch": 3}, "weights.not_a_state_dict", "epoch"),
    "arguments": (
        lambda state: {"model": state, "args": argparse.Namespace(lr=1)},
        "weights.unsafe",
        "argparse.Namespace",
    ),
    "torchscript": (None, "weights.not_a_state_dict", "TorchScript"),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_what_cannot_be_told_is_named(state, tmp_path, name):
    make, code, word = SEVERAL[name]
    path = tmp_path / f"{name}.pth"
    if make is None:
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    else:
        torch.save(make(state), path)
    network = create_model(MODEL, in_channels=3, num_classes=2)
    assert word in refused(code, lambda: load_into(network, MODEL, load_checkpoint(path), "file"))


def test_a_flipped_bit_of_a_value_is_noticed(tmp_path, monkeypatch):
    """torch reads it without a word; an archive that was written without checksums has none that agrees."""
    path = tmp_path / "weights.pt"
    torch.save({f"layer{number}.weight": torch.ones(64, 64) for number in range(3)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(content)
    refused("weights.corrupt", lambda: load_checkpoint(path))
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(2)}, path)
    finally:
        torch.serialization.set_crc32_options(before)
    assert load_checkpoint(path).state["a"].tolist() == [1, 1]


def test_parameters_of_eight_bits_are_looked_at(tmp_path):
    path = tmp_path / "weights.pt"
    values = torch.tensor([1.0, float("nan")]).to(torch.float8_e4m3fn)
    torch.save({"a": values[:1]}, path)
    assert load_checkpoint(path).state["a"].float().tolist() == [1.0]
    torch.save({"a": values}, path)
    refused("weights.not_finite", lambda: load_checkpoint(path))


@pytest.mark.parametrize("name", WRAPPED)
def test_the_usual_wrappers_come_off(state, tmp_path, name):
    path = tmp_path / f"{name}.pth"
    torch.save(WRAPPED[name](state), path)
    same_as(load_checkpoint(path), state)


def test_safetensors_are_taken(state, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "plain.safetensors"
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, path)
    same_as(load_checkpoint(path), state)
    assert load_checkpoint(path).sha256 == sha256_file(path)
    path.write_bytes(path.read_bytes()[:-50])
    refused("weights.corrupt", lambda: load_checkpoint(path))


def same_as(checkpoint, state):
    torch.manual_seed(1)
    network = create_model(MODEL, in_channels=3, num_classes=2)
    assert load_into(network, MODEL, checkpoint, "file") == []
    own = network.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in state.items())


def test_a_prefix_that_is_a_network_s_own_stays():
    assert list(peelings({"model.0.weight": 1})) == [{"model.0.weight": 1}, {"0.weight": 1}]
    assert unwrapped({"model.0.weight": 1}) == {"model.0.weight": 1}
    assert unwrapped({"module.": 1}) == {"module.": 1}


def without_one(state):
    return {name: tensor for name, tensor in state.items() if name != next(iter(state))}


def with_one_more(state):
    return {**state, "extra.weight": torch.zeros(2)}


def of_another_shape(state):
    name = next(iter(state))
    return {**state, name: torch.zeros(3, 1, 4)}


def of_another_name(state):
    first = next(iter(state))
    return {("other" if name == first else name): tensor for name, tensor in state.items()}


@pytest.mark.parametrize("change", [without_one, with_one_more, of_another_shape, of_another_name])
def test_weights_that_match_in_part_are_never_taken(state, tmp_path, change):
    path = tmp_path / "weights.pt"
    torch.save(change(state), path)
    torch.manual_seed(1)
    network = create_model(MODEL, in_channels=3, num_classes=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    refused("weights.mismatch", lambda: load_into(network, MODEL, load_checkpoint(path), "file"))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused_by_name(state, tmp_path, value):
    name = next(name for name, tensor in state.items() if tensor.is_floating_point())
    broken = state[name].clone()
    broken[(-1,) * broken.ndim] = value
    path = tmp_path / "weights.pt"
    torch.save({**state, name: broken}, path)
    assert name in refused("weights.not_finite", lambda: load_checkpoint(path))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"image_size": "big"}, "image_size"),
        ({"image_size": 10**9}, "image_size"),
        ({"image_size": True}, "image_size"),
        ({"options": {"channels": [4, 10**12]}}, "options"),
        ({"options": ["channels"]}, "options"),
        ({"options": {"scale": float("inf")}}, "options"),
        ({"num_classes": 0}, "num_classes"),
        ({"model": 3}, "model"),
        ({"recipe": "quick"}, "recipe"),
        ({"recipe": {"epochs": 3}}, "recipe"),
        ({"challenge": "psfhs"}, "challenge"),
        ({"classes": {"label_map": "fetal head"}}, "classes"),
    ],
)
def test_facts_that_cannot_be_true_are_refused(state, tmp_path, change, word):
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": state, "medbench": json.dumps({"model": MODEL, **change})}, path)
    assert word in refused("weights.facts", lambda: load_checkpoint(path))


def test_facts_that_are_no_json_are_refused(state, tmp_path):
    path = tmp_path / "weights.pt"
    for text in ("{", "[]", "[" * 100_000):
        torch.save({"state_dict": state, "medbench": text}, path)
        refused("weights.facts", lambda: load_checkpoint(path))


def setup_of(challenge, path):
    plan = Request.of("monai/unet", challenge, weights=path).plan()
    return Setup.of(plan, read_weights(path))


def test_weights_of_other_labels_of_the_same_number_are_refused_with_both_lists(one_thread, tmp_path):
    path = tmp_path / "weights.pt"
    state = create_model("monai/unet", in_channels=4, num_classes=5, channels=[4, 8]).state_dict()
    facts = {
        "model": "monai/unet",
        "options": {"channels": [4, 8]},
        "num_classes": 5,
        "num_image_classes": None,
        "challenge": "brats2024_ped",
        "split": "train",
        "data": "real",
        "manifest_sha256": "0" * 64,
        "seed": 0,
        "image_size": 32,
        "recipe": {"name": "default"},
    }
    save_checkpoint(path, state, facts)
    message = refused("weights.other_labels", lambda: setup_of("brats2024_gli", path))
    assert message.index("cyst") < message.index("BraTS 2024") < message.rindex("cavity")
    assert setup_of("brats2024_ped", path).network.options == {"channels": [4, 8]}
    save_checkpoint(path, state, {**facts, "challenge": "somebody_elses"})
    refused("weights.other_labels", lambda: setup_of("brats2024_gli", path))
    demands = {task: list(names) for task, names in load_challenge("brats2024_gli").card.demands.items()}
    save_checkpoint(path, state, {**facts, "challenge": "somebody_elses", "classes": demands})
    assert setup_of("brats2024_gli", path).network.options == {"channels": [4, 8]}
    exchanged = [demands["label_map"][index] for index in (0, 2, 1, 3, 4)]
    changed = {**facts, "challenge": "brats2024_gli", "classes": {"label_map": exchanged}}
    save_checkpoint(path, state, changed)
    refused("weights.other_labels", lambda: setup_of("brats2024_gli", path))


@pytest.mark.parametrize(
    ("learnt", "own", "differs"),
    [
        (("t1", "flair"), ("flair", "t1"), True),
        (("t1", "flair"), ("T1", "FLAIR"), False),
        (("t1", "flair"), ("t1", "t2"), True),
        (("t1",), ("flair",), False),
        (("t1", "t1ce", "t2", "flair"), None, True),
        (("flair", "t1ce", "t1", "t2"), None, False),
    ],
)
def test_weights_that_learnt_other_modalities_or_another_order_are_refused(
    tmp_path, monkeypatch, learnt, own, differs
):
    """The labels are the same, and so is the number of channels; ``None`` is BraTS with its aliases."""
    names = ["background", "tumour"]
    other = bare_challenge(tmp_path, names, task="label_map", modalities=learnt)
    challenge = load_challenge("brats2023_gli")
    if own is not None:
        challenge = bare_challenge(tmp_path, names, task="label_map", modalities=own)
    monkeypatch.setattr(weights_of_requests, "load_challenge", lambda name: other)
    weights = weights_of_requests.Weights("file", tmp_path, Checkpoint({}, {"challenge": "theirs"}))

    def check():
        weights_of_requests.refuse_other_modalities(challenge, weights)

    if differs:
        message = refused("weights.other_modalities", check)
        assert message.index(", ".join(learnt)) < message.rindex(list(challenge.card.modalities)[-1])
    else:
        check()


def test_weights_that_do_not_fit_are_refused_before_any_data_are_drawn(state, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(job, "resolve_data", lambda *arguments: drawn.append(arguments))
    name = next(name for name, tensor in state.items() if tensor.is_floating_point())
    broken, other = tmp_path / "nan.pt", tmp_path / "other.pt"
    torch.save({**state, name: torch.full_like(state[name], float("nan"))}, broken)
    facts = {"model": "dssau_net", "options": {}, "num_classes": 2, "num_image_classes": None}
    save_checkpoint(other, state, facts)
    for path, code in ((broken, "weights.not_finite"), (other, "weights.other_model")):
        request = Request.of(MODEL, "cvc_clinicdb", weights=path)
        refused(code, lambda request=request: job.resolve(request, SilentProgress()))
    assert not drawn


def test_no_label_map_is_made_of_what_is_no_number(one_thread):
    """Sound weights can overflow, too: in half precision, or on an image that is far from any other."""
    import numpy as np

    from medbench.inference.predictor import InputContract, NetworkPredictor
    from medbench.inference.volumes import slide_windows

    class Overflowing(torch.nn.Module):
        def forward(self, images):
            return images[:, :2] * float("inf")

    predictor = NetworkPredictor(Overflowing(), InputContract(size=16, scale=1.0))
    refused("network.not_finite", lambda: predictor.logits(np.zeros((1, 3, 16, 16), np.float32)))
    volume = torch.ones(1, 1, 8, 8, 8)
    refused(
        "network.not_finite",
        lambda: slide_windows(lambda windows: windows.repeat(1, 2, 1, 1, 1) / 0, volume[0], (8, 8, 8)),
    )
