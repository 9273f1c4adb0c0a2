"""Trainings that start from weights: which parameters fit, what is recorded, and what stays to the bit."""

import json
import pickle
import re

import pytest

import medbench
from golden_files import golden
from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_file
from medbench.core.progress import SilentProgress

pytest.importorskip("lightning", reason="training needs the extra 'training'")

import segmentation_models_pytorch as smp
import torch
from torch import nn

from medbench.inference.start_weights import OTHER_CLASSES, UNKNOWN, freeze, start_weights
from medbench.inference.weights import load_checkpoint
from medbench.models import model_entry
from medbench.running.networks import plan_network
from medbench.running.run import run
from medbench.running.start import read_start
from medbench.running.train import outline_training, train
from medbench.training.fit import Hardware

pytestmark = pytest.mark.usefixtures("one_thread")

UNET, ENCODER = "smp/unet", {"encoder": "mobilenet_v2"}
ONCE = {"image_size": 32, "epochs": 1, "batch_size": 4, "validation": "none", "augmentation": "none"}
CPU = Hardware("cpu", 1)


class Told(SilentProgress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def learn(root, runs, *, changes=(), model=UNET, challenge="cvc_clinicdb", options=ENCODER, **keywords):
    return train(
        model, challenge, data=root, runs=runs, options=options, hardware=CPU,
        recipe_changes={**ONCE, **dict(changes)}, **keywords,
    )  # fmt: skip


def same(first, second):
    assert first.keys() == second.keys()
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []


def refused(code, action):
    with pytest.raises(MedbenchError) as caught:
        action()
    assert caught.value.code == code
    return caught.value


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory):
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("encoder") / "encoder.pth"
    torch.save(
        smp.create_model("unet", "mobilenet_v2", encoder_weights=None, classes=3).encoder.state_dict(), path
    )
    return path


@pytest.fixture(scope="module")
def learnt(small_cvc, tmp_path_factory):
    return learn(small_cvc, tmp_path_factory.mktemp("first"))


@pytest.mark.slow
def test_weights_trained_from_an_encoder_file_run_when_the_file_is_gone(small_cvc, encoder_file, tmp_path):
    moved = tmp_path / "encoder.pth"
    moved.write_bytes(encoder_file.read_bytes())
    weights = learn(small_cvc, tmp_path, options={**ENCODER, "encoder_weights": str(moved)})
    arguments = {"data": small_cvc, "options": ENCODER, "runs": tmp_path, "leaderboards": tmp_path / "boards"}
    before = run(UNET, "cvc_clinicdb", weights=weights, **arguments)
    moved.unlink()
    after = run(UNET, "cvc_clinicdb", weights="auto", **arguments)
    assert before.record.key == after.record.key
    assert str(moved) not in json.dumps(load_checkpoint(weights).facts)
    assert run(
        UNET,
        "cvc_clinicdb",
        weights="auto",
        **{**arguments, "options": {**ENCODER, "encoder_weights": str(moved)}},
    )


@pytest.mark.slow
def test_the_start_is_in_key_record_and_row(small_cvc, encoder_file, tmp_path):
    fresh = learn(small_cvc, tmp_path)
    told = Told()
    weights = learn(small_cvc, tmp_path, init=encoder_file, progress=told)
    still = learn(small_cvc, tmp_path, init=encoder_file, freeze=["encoder"])
    assert len({fresh.parent, weights.parent, still.parent}) == 3
    sha256 = sha256_file(encoder_file)
    start = {"file": "encoder.pth", "sha256": sha256, "frozen": []}
    summary = read_json(weights.with_name("training.json"))
    assert summary["start"] == start
    fit = summary["start_parameters"]
    encoder = torch.load(encoder_file, weights_only=True)
    assert fit["matched"] == len(encoder)
    assert fit["missing"]
    assert not any(name.startswith("encoder.") for name in fit["missing"])
    assert fit["refused"] == {}
    assert any(f"{len(encoder)} parameters match" in line for line in told.lines)
    done = run(
        UNET, "cvc_clinicdb", data=small_cvc, weights=weights, runs=tmp_path, leaderboards=tmp_path / "boards"
    )
    assert done.record.model.training["start"] == start
    row = json.loads((tmp_path / "boards" / "cvc_clinicdb" / "results.jsonl").read_text().splitlines()[-1])
    assert row["training"]["start"] == start
    assert row["training"]["recipe"] == summary["recipe"]
    assert row["training"]["recipe_changes"] == {
        "augmentation": "none", "batch_size": 4, "epochs": 1, "image_size": 32, "validation": "none",
    }  # fmt: skip
    command = row["training"]["train_command"]
    assert command.startswith("medbench train -m smp/unet -c cvc_clinicdb --split train --data {data}")
    assert "--init {init}" in command
    assert "--recipe-set epochs=1" in command
    assert row["command"].startswith("medbench run -m smp/unet")


@pytest.mark.parametrize("optimizer", ["adamw_amsgrad", "sgd"])
def test_at_a_rate_of_zero_the_result_is_the_start_to_the_bit(small_cvc, learnt, tmp_path, optimizer):
    weights = learn(
        small_cvc, tmp_path, init=learnt,
        changes={"learning_rate": 0, "optimizer": optimizer, "weight_decay": 0.1, "seed": 9},
    )  # fmt: skip
    same(load_checkpoint(weights).state, load_checkpoint(learnt).state)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "challenge", "changes", "options"),
    [
        ("timm/test_resnet", "colonpath", {"image_size": 64, "schedule": "constant"}, {}),
        ("monai/unet", "brats2020", {"image_size": 16, "recipe": "quick"}, {"channels": [8, 8]}),
        ("dmaf_net.test", "brats2020", {"image_size": 32}, {}),
        ("dssau_net.test", "iugc2024", {"image_size": 128}, {}),
        (
            *("fulltransnet.test", "summe", {}),
            {"length": 320, "dim": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "ffn_dim": 16},
        ),
    ],
)
def test_every_family_starts_from_weights(model, challenge, changes, options, small_iugc, sample, tmp_path):
    subject = load_challenge(challenge)
    root = small_iugc if challenge == "iugc2024" else sample(challenge)
    network = plan_network(model, subject, options)
    torch.manual_seed(5)
    file = tmp_path / "start.pth"
    torch.save({"state_dict": network.build().state_dict()}, file)
    settings = {**ONCE, **changes, "learning_rate": 0}
    settings.pop("recipe", None)
    if challenge == "summe":
        settings = {"epochs": 1, "learning_rate": 0, "validation": "none"}
    if model.startswith(("monai", "dmaf")):
        settings |= {"patches": 1, "batch_size": 1}
    split = "fold1_train" if challenge == "summe" else None
    weights = train(
        model, challenge, data=root, split=split, runs=tmp_path, options=options, hardware=CPU, init=file,
        recipe="quick", recipe_changes=settings,
    )  # fmt: skip
    same(load_checkpoint(weights).state, torch.load(file, weights_only=True)["state_dict"])
    assert read_json(weights.with_name("training.json"))["start"]["sha256"] == sha256_file(file)


def test_frozen_parts_keep_weights_and_statistics_and_the_others_learn(small_cvc, learnt, tmp_path):
    weights = learn(small_cvc, tmp_path, init=learnt, freeze=["encoder"], changes={"learning_rate": 0.01})
    before, after = load_checkpoint(learnt).state, load_checkpoint(weights).state
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "segmentation_head"}
    summary = read_json(weights.with_name("training.json"))
    assert summary["start"]["frozen"] == ["encoder"]


def test_a_start_is_named_by_file_training_run_or_key(small_cvc, learnt, tmp_path):
    challenge = load_challenge("cvc_clinicdb")
    network = plan_network(UNET, challenge, ENCODER)
    done = run(
        UNET, "cvc_clinicdb", data=small_cvc, weights=learnt, runs=learnt.parents[4],
        leaderboards=tmp_path / "boards", options=ENCODER,
    )  # fmt: skip
    runs = learnt.parents[4]
    for name in (learnt, learnt.parent, done.folder, done.record.key[:12]):
        assert read_start(name, challenge, network, runs).path == learnt
    refused("init.missing", lambda: read_start("nowhere", challenge, network, runs))
    refused("init.no_weights", lambda: read_start(done.folder, challenge, network, tmp_path))


def test_what_does_not_fit_is_listed_and_nothing_at_all_is_refused(encoder_file, learnt, tmp_path):
    own = medbench.create_model(UNET, num_classes=2, encoder="mobilenet_v2").state_dict()
    wider = medbench.create_model(UNET, num_classes=5, encoder="mobilenet_v2").state_dict()
    fit = start_weights(own, {**wider, "queue": torch.zeros(3, 3)}, "file")
    assert fit.refused == {
        "segmentation_head.0.weight": "shape (5, 16, 3, 3) instead of (2, 16, 3, 3)",
        "segmentation_head.0.bias": "shape (5,) instead of (2,)",
        "queue": UNKNOWN,
    }
    assert fit.missing == ("segmentation_head.0.weight", "segmentation_head.0.bias")
    strange = tmp_path / "strange.pth"
    torch.save({"word.embedding": torch.zeros(7, 5)}, strange)
    arguments = {"options": ENCODER, "init": strange}
    error = refused("init.nothing_matches", lambda: outline_training(UNET, "cvc_clinicdb", **arguments))
    assert "word.embedding" in error.message


def test_what_is_no_sound_start_is_refused(tmp_path, encoder_file):
    def asked(path, **others):
        return lambda: outline_training(UNET, "cvc_clinicdb", options=ENCODER, init=path, **others)

    class Evil:
        def __reduce__(self):
            return print, ("run",)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))
    refused("weights.unsafe", asked(tmp_path / "evil.pth"))
    state = torch.load(encoder_file, weights_only=True)
    state["features.0.1.running_var"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    refused("weights.not_finite", asked(tmp_path / "nan.pth"))
    error = refused("init.part", asked(encoder_file, freeze=["encodr"]))
    assert "encoder" in error.hint
    refused("init.frozen", asked(encoder_file, freeze=["encoder", "decoder", "segmentation_head"]))
    refused("init.freeze", asked(None, freeze=["encoder"]))
    options = {**ENCODER, "encoder_weights": str(encoder_file)}
    refused("init.twice", lambda: outline_training(UNET, "cvc_clinicdb", options=options, init=encoder_file))


def test_outputs_that_learnt_other_classes_start_fresh(learnt, tmp_path):
    """A training on another challenge with as many classes gives its features, not its output layer."""
    isic = load_challenge("isic2018")
    network = plan_network(UNET, isic, ENCODER)
    start = read_start(learnt, isic, network, tmp_path)
    assert start.other_classes
    fit = start.matching(network, network.build())
    assert fit.refused == dict.fromkeys(
        ("segmentation_head.0.weight", "segmentation_head.0.bias"), OTHER_CLASSES
    )
    cvc = load_challenge("cvc_clinicdb")
    assert not read_start(learnt, cvc, plan_network(UNET, cvc, ENCODER), tmp_path).other_classes


AUTHORS = {
    "brau_net": ("brau_net.json", r"patch_embed|stages"),
    "brau_net_pp": ("brau_net_pp_synapse.json", r"downsample_layers|stages"),
    "dssau_net": ("dssau_net.json", r"downsample_layers|stages"),
    "mslau_net": ("mslau_net.json", r""),
    "medformer_small": ("medformer_upernet_isic.json", r"downsample_layers|stages"),
}


@pytest.mark.parametrize("model", AUTHORS)
def test_a_file_that_the_authors_encoder_starts_from_fits(model):
    """The encoder's parameters by the authors' names, without what their network puts before them."""
    file, parts = AUTHORS[model]
    entry = model_entry(model)
    prefix = entry.encoder_prefix
    entries = golden(file)["state_dict"]
    shapes = entries if isinstance(entries, dict) else {item["key"]: item["shape"] for item in entries}
    theirs = {
        name.removeprefix(prefix): torch.full(shape, 0.5)
        for name, shape in shapes.items()
        if name.startswith(prefix) and re.match(parts, name.removeprefix(prefix))
    }
    with torch.device("meta"):
        own = medbench.create_model(model, num_classes=entry.num_classes).state_dict()
    fit = start_weights(own, {**theirs, "head.weight": torch.zeros(1000, 512)}, "file", entry=entry)
    assert {name.split(".")[0] for name in fit.state} >= ENCODERS[model]
    never = {name for name in fit.refused if not re.match(r"head\.|norm\.|stages\.3\.", name)}
    assert never == set()
    assert len(fit.state) > 100
    assert not any(name.split(".")[0] in ENCODERS[model] for name in fit.missing)


ENCODERS = {
    "brau_net": {"stem", "encoder", "merges"},
    "brau_net_pp": {"stem", "encoder", "reduce"},
    "dssau_net": {"stem", "encoder", "reduce"},
    "mslau_net": {"embeddings", "encoder"},
    "medformer_small": {"stem", "encoder", "reduce"},
}


def test_a_librarys_encoder_and_a_bundles_network_fit_under_any_wrapper(tmp_path):
    from monai.networks.nets import UNet

    bare = UNet(3, 4, 3, (8, 16), (2,), num_res_units=0, norm="instance").state_dict()
    own = medbench.create_model(
        "monai/unet", in_channels=4, num_classes=3, channels=[8, 16], num_res_units=0
    ).state_dict()
    for wrapper in ("", "module.", "net.model."):
        path = tmp_path / "bundle.pt"
        torch.save({"model": {f"{wrapper}{name}": value for name, value in bare.items()}}, path)
        fit = start_weights(own, load_checkpoint(path).state, "bundle")
        same(dict(fit.state), bare)
    resnet = medbench.create_model("timm/test_resnet", num_classes=10).state_dict()
    owner = medbench.create_model(UNET, num_classes=2, encoder="tu-test_resnet").state_dict()
    fit = start_weights(owner, {f"backbone.{name}": value for name, value in resnet.items()}, "timm")
    encoder = [name for name in owner if name.startswith("encoder.")]
    assert set(encoder) <= set(fit.state), "every parameter of the encoder"
    assert all(reason == UNKNOWN for reason in fit.refused.values())


def test_freezing_finds_parts_below_a_wrapper():
    network = nn.Sequential()
    network.add_module("network", nn.ModuleDict({"stem": nn.Linear(2, 2), "head": nn.Linear(2, 2)}))
    assert freeze(network, ["stem"]) == ["network.stem.weight", "network.stem.bias"]
    assert model_entry("brau_net_pp").encoder_prefix == "bra_unet."
