"""Models of nnU-Net from elsewhere: nothing in them runs code; the usual kinds predict as nnU-Net does."""

import json
import os
import shutil

import numpy as np
import pytest

pytest.importorskip("nnunetv2", reason="nnU-Net is not installed: the extra 'nnunet'")

import torch

from medbench.challenges import load_challenge
from medbench.core.case import Case
from medbench.core.sample import Sample
from medbench.inference.weights import load_checkpoint, save_checkpoint
from medbench.nnunet.architectures import LAYERS, NETWORKS, check_plans
from medbench.nnunet.files import import_weights, is_model
from medbench.nnunet.labels import channel_order, class_table
from medbench.nnunet.predictor import NnunetPredictor, network_of
from refusals import refused

pytestmark = pytest.mark.usefixtures("one_thread")


def predictor_of(folder, cache, challenge="cvc_clinicdb"):
    checkpoint = load_checkpoint(import_weights(folder, "nnunet", cache))
    return NnunetPredictor(checkpoint, load_challenge(challenge), device="cpu", overlap=0.5, mirror=False)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def plan(plans):
    return plans["configurations"]["2d"]


HOSTILE = {
    "network by an import of torch": lambda plans: plan(plans)["architecture"].update(
        network_class_name="torch.nn.parallel.distributed.os.system"
    ),
    "network that is no layer": lambda plans: plan(plans)["architecture"].update(
        network_class_name="subprocess.run"
    ),
    "layer by an import of torch": lambda plans: plan(plans)["architecture"]["arch_kwargs"].update(
        conv_op="torch.nn.parallel.distributed.os.system"
    ),
    "another argument that is imported": lambda plans: plan(plans)["architecture"].update(
        arch_kwargs={**plan(plans)["architecture"]["arch_kwargs"], "conv_bias": "torch.os.system"},
        _kw_requires_import=["conv_op", "norm_op", "dropout_op", "nonlin", "conv_bias"],
    ),
    "preprocessor": lambda plans: plan(plans).update(preprocessor_name="Pool"),
    "resampling": lambda plans: plan(plans).update(resampling_fn_data="sys"),
    "normalisation": lambda plans: plan(plans).update(normalization_schemes=["Type"] * 3),
    "label manager": lambda plans: plans.update(label_manager="Path"),
    "a million features": lambda plans: plan(plans)["architecture"]["arch_kwargs"].update(
        features_per_stage=[4, 8, 10**9]
    ),
    "old plans with another network": lambda plans: plan(plans).update(UNet_class_name="os"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_plans_that_name_what_is_no_part_of_nnunet_are_refused_in_folders(model_folder, tmp_path, name):
    edit(model_folder / "plans.json", HOSTILE[name])
    refused("weights.unsafe", lambda: import_weights(model_folder, "nnunet", tmp_path / "cache"))


@pytest.mark.parametrize("name", HOSTILE)
def test_and_inside_a_checkpoint_of_our_own_form(model_folder, tmp_path, name, monkeypatch):
    """Checked where a network is built, whatever made the file."""
    checkpoint = load_checkpoint(import_weights(model_folder, "nnunet", tmp_path / "cache"))
    HOSTILE[name](checkpoint.facts["nnunet"]["plans"])
    save_checkpoint(tmp_path / "weights.pt", checkpoint.state, checkpoint.facts)
    ran = []
    monkeypatch.setattr(os, "system", lambda command: ran.append(command))
    again = load_checkpoint(tmp_path / "weights.pt")
    refused("weights.unsafe", lambda: network_of(again))
    assert ran == []


def test_a_trainer_that_is_no_trainer_is_refused(model_folder, tmp_path):
    checkpoint = load_checkpoint(import_weights(model_folder, "nnunet", tmp_path / "cache"))
    for trainer, code in (("os", "weights.facts"), ("nnUNetTrainer_unknown", "nnunet.trainer")):
        checkpoint.facts["nnunet"]["trainer"] = trainer
        refused(code, lambda: network_of(checkpoint))


def test_every_name_in_the_tables_is_what_nnunet_would_import():
    import pydoc

    missing = {name for name in LAYERS | NETWORKS if pydoc.locate(name) is None}
    assert all(".residual_unet." in name or name.endswith(".Softplus") for name in missing), missing
    assert all(isinstance(pydoc.locate(name), type) for name in (LAYERS | NETWORKS) - missing)


def test_plans_by_nnunet_s_own_planner_pass(model_folder):
    plans = json.loads((model_folder / "plans.json").read_text())
    check_plans(plans, "model")
    plans["configurations"]["child"] = {"inherits_from": "2d", "batch_size": 4}
    check_plans(plans, "model")


def test_a_cached_import_that_was_edited_is_made_again(model_folder, tmp_path):
    kept = import_weights(model_folder, "nnunet", tmp_path / "cache")
    content = kept.read_bytes()
    kept.write_bytes(content[:-200] + b"0" * 200)
    assert import_weights(model_folder, "nnunet", tmp_path / "cache") == kept
    assert kept.read_bytes() == content


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_under_the_folder_s_name(model_folder, tmp_path, value):
    path = model_folder / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    next(iter(checkpoint["network_weights"].values())).view(-1)[0] = value
    torch.save(checkpoint, path)
    assert str(model_folder) in refused(
        "weights.not_finite", lambda: import_weights(model_folder, "nnunet", tmp_path / "cache")
    )


def second_fold(folder, name, factor=2.0):
    checkpoint = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    checkpoint["network_weights"] = {
        key: tensor * factor for key, tensor in checkpoint["network_weights"].items()
    }
    (folder / "fold_1").mkdir()
    torch.save(checkpoint, folder / "fold_1" / name)


def test_finished_folds_are_never_averaged_with_unfinished_ones(model_folder, tmp_path):
    second_fold(model_folder, "checkpoint_best.pth")
    mixed = load_checkpoint(import_weights(model_folder, "nnunet", tmp_path / "cache"))
    assert mixed.facts["nnunet"]["folds"] == ["0"]
    (model_folder / "fold_1" / "checkpoint_best.pth").rename(model_folder / "fold_1" / "checkpoint_final.pth")
    both = load_checkpoint(import_weights(model_folder, "nnunet", tmp_path / "cache"))
    assert both.facts["nnunet"]["folds"] == ["0", "1"]
    for fold in (0, 1):
        place = model_folder / f"fold_{fold}"
        (place / "checkpoint_final.pth").rename(place / "checkpoint_best.pth")
    stopped = load_checkpoint(import_weights(model_folder, "nnunet", tmp_path / "cache"))
    assert stopped.facts["nnunet"]["folds"] == ["0", "1"]


def test_a_fold_and_a_checkpoint_are_named_by_their_paths(model_folder, tmp_path):
    second_fold(model_folder, "checkpoint_best.pth")
    for path, fold in (
        (model_folder / "fold_0", "0"),
        (model_folder / "fold_1", "1"),
        (model_folder / "fold_1" / "checkpoint_best.pth", "1"),
    ):
        assert is_model(path)
        named = load_checkpoint(import_weights(path, "nnunet", tmp_path / "cache"))
        assert named.facts["nnunet"]["folds"] == [fold]
    assert not is_model(tmp_path / "weights.pth")
    (model_folder / "fold_2").mkdir()
    refused(
        "nnunet.no_checkpoint", lambda: import_weights(model_folder / "fold_2", "nnunet", tmp_path / "cache")
    )


def test_a_fold_whose_weights_fit_in_part_is_refused_at_once(model_folder, tmp_path):
    second_fold(model_folder, "checkpoint_final.pth")
    path = model_folder / "fold_1" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["network_weights"].pop(next(iter(checkpoint["network_weights"])))
    torch.save(checkpoint, path)
    refused("weights.mismatch", lambda: predictor_of(model_folder, tmp_path / "cache"))


def of_another_kind(folder, channels, labels, order=None, **weights):
    """The fixture's model with other channels or labels, its first or last layer cut to size."""
    edit(folder / "dataset.json", lambda data: data.update(channel_names=channels, labels=labels))
    if order:
        edit(folder / "dataset.json", lambda data: data.update(regions_class_order=order))
    edit(
        folder / "plans.json",
        lambda plans: plan(plans).update(
            normalization_schemes=["ZScoreNormalization"] * len(channels),
            use_mask_for_norm=[False] * len(channels),
        ),
    )
    path = folder / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    state = checkpoint["network_weights"]
    for name, tensor in state.items():
        if tensor.ndim == 4 and tensor.shape[1] == 3 and len(channels) == 1:
            state[name] = tensor[:, :1].clone()
    torch.save(checkpoint, path)


def grey_image(side=24, seed=0):
    plane = np.random.default_rng(seed).integers(0, 256, (1, side, side, 1), np.uint8)
    return np.repeat(plane, 3, axis=3)


class Shown:
    """As much of a sample as the predictor reads."""

    def __init__(self, images):
        self.images = images


def test_a_model_of_one_grey_channel_is_fed_that_channel(model_folder, tmp_path):
    label = load_challenge("cvc_clinicdb").labels[1]
    of_another_kind(model_folder, {"0": "grayscale"}, {"background": 0, label: 1})
    predictor = predictor_of(model_folder, tmp_path / "cache")
    assert predictor.channels == [0]
    image = grey_image()
    (answer,) = predictor.predict(Shown(image)).answers["label_map"]
    np.testing.assert_array_equal(answer, own_answer(predictor, image[..., :1]))
    coloured = image.copy()
    coloured[0, 0, 0] = (255, 0, 0)
    refused("nnunet.channels", lambda: predictor.predict(Shown(coloured)))


def test_a_model_of_regions_writes_the_values_of_its_class_order(model_folder, tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    of_another_kind(model_folder, {"0": "R", "1": "G", "2": "B"}, labels, order=[1, 2])
    predictor = predictor_of(model_folder, tmp_path / "cache", "psfhs")
    assert predictor.table.tolist() == [0, 1, 2]
    image = grey_image(seed=3)
    (answer,) = predictor.predict(Shown(image)).answers["label_map"]
    expected = own_answer(predictor, image)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(answer, expected)


def own_answer(predictor, image):
    """The label map ``(height, width)`` that nnU-Net's own predictor writes for ``(1, h, w, channels)``."""
    channels = np.moveaxis(image[0], -1, 0)[:, None].astype(np.float32)
    labels = predictor.inner.predict_single_npy_array(
        channels, {"spacing": [999.0, 1.0, 1.0]}, None, None, False
    )
    return labels[0]


def regions(whole, core, enhancing, order, names=("whole", "core", "enhancing")):
    labels = dict(zip(names, (whole, core, enhancing), strict=True))
    return {"labels": {"background": 0, **labels}, "regions_class_order": order}


def test_regions_of_other_values_are_refused_and_brats_before_2023_is_mapped():
    """Class indices of BraTS until 2022: 1 necrosis, 2 oedema, 3 enhancing tumour."""
    brats = load_challenge("brats2020")
    table = class_table(regions([1, 2, 3], [1, 3], [3], [2, 1, 3]), brats, "model")
    own = class_table(regions([1, 2, 4], [1, 4], [4], [2, 1, 4]), brats, "model")
    assert table.tolist() == [0, 1, 2, 3]
    assert own.tolist() == [0, 1, 2, 0, 3]
    for order in ([1, 2], [1, 2, 5], None, [1, 1, 2], ["1", "2", "3"]):
        refused(
            "nnunet.regions",
            lambda order=order: class_table(regions([1, 2, 3], [2, 3], [3], order), brats, "model"),
        )


@pytest.mark.parametrize(
    "names",
    [
        ("whole tumor", "tumor core", "enhancing tumor"),
        ("WT", "TC", "ET"),
        ("whole_tumour", "tumour_core", "enhancing_tumour"),
    ],
)
def test_values_of_regions_mean_the_labels_that_lie_in_them(names):
    """nnU-Net's own conversions of BraTS number oedema 1 and necrosis 2; the core without 2 is no oedema."""
    converted = regions([1, 2, 3], [2, 3], [3], [1, 2, 3], names)
    for challenge in ("brats2020", "brats2021", "brats2023_gli"):
        assert class_table(converted, load_challenge(challenge), "model").tolist() == [0, 2, 1, 3]
    other_order = {
        "labels": {"background": 0, names[2]: 3, names[0]: [1, 2, 3], names[1]: [2, 3], "ignore": 4},
        "regions_class_order": [3, 1, 2],
    }
    assert class_table(other_order, load_challenge("brats2023_gli"), "model").tolist() == [0, 2, 1, 3]


def test_regions_that_contradict_the_challenge_are_refused():
    """The core is no part of the whole, so what it writes cannot be told."""
    apart = regions([1, 3], [2, 3], [3], [1, 2, 3], ("WT", "TC", "ET"))
    refused("nnunet.regions", lambda: class_table(apart, load_challenge("brats2023_gli"), "model"))


def test_only_a_grey_channel_stands_for_three_colours():
    cvc = load_challenge("cvc_clinicdb")
    for name in ("US", "ultrasound image", "Grey level", "B-mode", "noNorm", "0", "Luminance"):
        assert channel_order({"channel_names": {"0": name}}, cvc, "model") == [0]
    for name in ("CT", "MRI", "depth", "T1"):
        refused("nnunet.channels", lambda name=name: channel_order({"channel_names": {"0": name}}, cvc, "m"))


def native(folder, fold, change=None, **dataset):
    """A fold whose checkpoint keeps the plans and the data set of its training, as nnU-Net writes them."""
    source = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    plans = json.loads((folder / "plans.json").read_text())
    if change is not None:
        change(plans)
    data = json.loads((folder / "dataset.json").read_text()) | dataset
    source["init_args"] |= {"plans": plans, "dataset_json": data, "fold": fold}
    place = folder / f"fold_{fold}"
    place.mkdir(exist_ok=True)
    torch.save(source, place / "checkpoint_final.pth")


LABEL = load_challenge("cvc_clinicdb").labels[1]
OTHERS = {
    "labels": {"labels": {LABEL: 1, "background": 0}},
    "channel_names": {"channel_names": {"0": "B", "1": "G", "2": "R"}},
    "patch_size": {"change": lambda plans: plan(plans).update(patch_size=[32, 32])},
    "normalization_schemes": {
        "change": lambda plans: plan(plans).update(normalization_schemes=["NoNormalization"] * 3)
    },
    "foreground_intensity_properties_per_channel": {
        "change": lambda plans: plans.update(foreground_intensity_properties_per_channel={"0": {"mean": 1.0}})
    },
}


@pytest.mark.parametrize("part", OTHERS)
def test_folds_of_other_plans_or_data_sets_are_never_averaged(model_folder, tmp_path, part):
    native(model_folder, 0)
    native(model_folder, 1)
    both = load_checkpoint(import_weights(model_folder, "nnunet", tmp_path / "cache"))
    assert both.facts["nnunet"]["folds"] == ["0", "1"]
    native(model_folder, 1, **OTHERS[part])
    told = refused("nnunet.configuration", lambda: import_weights(model_folder, "nnunet", tmp_path / "cache"))
    assert "fold 1" in told
    assert part in told


def test_a_fold_beside_plans_of_another_training_is_refused(model_folder, tmp_path):
    native(model_folder, 0)
    edit(model_folder / "plans.json", lambda plans: plan(plans).update(spacing=[2.0, 1.0]))
    told = refused("nnunet.configuration", lambda: import_weights(model_folder, "nnunet", tmp_path / "cache"))
    assert "spacing" in told


def test_labels_that_were_renamed_in_the_folder_are_no_other_training(model_folder, tmp_path):
    native(model_folder, 0, labels={"background": 0, "polyp or so": 1})
    assert import_weights(model_folder, "nnunet", tmp_path / "cache")


def test_no_label_map_is_made_of_logits_that_are_no_numbers(model_folder, tmp_path, monkeypatch):
    predictor = predictor_of(model_folder, tmp_path / "cache")
    answer = predictor.inner.predict_logits_from_preprocessed_data
    monkeypatch.setattr(
        predictor.inner, "predict_logits_from_preprocessed_data", lambda data: answer(data) * float("nan")
    )
    refused("network.not_finite", lambda: predictor.predict(Shown(grey_image())))


@pytest.fixture(autouse=True)
def _no_rest(tmp_path):
    yield
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


def test_a_folder_of_an_older_nnunet_answers_as_the_same_network_of_today(model_folder, tmp_path):
    """Until 2.3 plans described the network by numbers of a U-Net, not by a class and its arguments."""
    sample = Sample(Case("a", {}), np.random.default_rng(0).integers(0, 255, (1, 20, 24, 3), np.uint8))
    expected = predictor_of(model_folder, tmp_path / "new").predict(sample)["label_map"]
    plans = json.loads((model_folder / "plans.json").read_text())
    configuration = plans["configurations"]["2d"]
    del configuration["architecture"]
    configuration |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 16,
        "n_conv_per_stage_encoder": [2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2],
        "num_pool_per_axis": [2, 2],
        "pool_op_kernel_sizes": [[1, 1], [2, 2], [2, 2]],
        "conv_kernel_sizes": [[3, 3]] * 3,
    }
    (model_folder / "plans.json").write_text(json.dumps(plans))
    older = predictor_of(model_folder, tmp_path / "old")
    np.testing.assert_array_equal(older.predict(sample)["label_map"], expected)


def test_what_is_no_fold_is_no_network(model_folder, tmp_path):
    """Copies that somebody kept beside the folds, and what a Mac leaves, are never averaged with them."""
    own = model_folder / "fold_0" / "checkpoint_final.pth"
    for name in ("fold_0_old", "fold_x", "fold_0 copy"):
        (model_folder / name).mkdir()
        shutil.copy(own, model_folder / name / own.name)
    (model_folder / "fold_1").mkdir()
    (model_folder / "fold_1" / "._checkpoint_final.pth").write_bytes(b"x")
    (model_folder / "fold_2").mkdir()
    shutil.copy(own, model_folder / "fold_2" / "checkpoint_latest.pth")
    (model_folder / "fold_all").mkdir()
    shutil.copy(own, model_folder / "fold_all" / "checkpoint_best.pth")
    checkpoint = load_checkpoint(import_weights(model_folder, "nnunet", tmp_path / "cache"))
    assert checkpoint.facts["nnunet"]["folds"] == ["0"]


def test_descriptions_of_the_first_nnunet_and_without_channels_are_refused_by_name():
    cvc = load_challenge("cvc_clinicdb")
    refused("nnunet.labels", lambda: class_table({"labels": {"0": "background", "1": "polyp"}}, cvc, "m"))
    for data in ({}, {"channel_names": ["R", "G", "B"]}, {"channel_names": {"R": "0"}}):
        refused("nnunet.channels", lambda data=data: channel_order(data, cvc, "m"))
    assert channel_order({"channel_names": {"0": "X-ray"}}, load_challenge("siim_pneumothorax"), "m") == [0]
