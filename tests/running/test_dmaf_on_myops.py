"""DMAF-Net on MyoPS 2020: slices one by one, the published lists, and all combinations from the sample."""

import json

import numpy as np
import pytest

import medbench
from golden_files import golden
from medbench.challenges import load_challenge
from medbench.core.files import read_json

pytest.importorskip("lightning", reason="training needs the extra 'training'")

import torch

from medbench.inference.volumes import VolumeContract
from medbench.inference.weights import load_checkpoint
from medbench.running.combinations import run_combinations
from medbench.running.networks import plan_network
from medbench.running.train import outline_training, train
from medbench.training.fit import Hardware
from medbench.training.missing_modalities import patient_masks
from medbench.training.recipes import load_recipe
from medbench.training.volumes import VolumeData

pytestmark = pytest.mark.usefixtures("one_thread")
MYOPS = load_challenge("myops2020")
LISTS = golden("missing_masks.json")
TINY = {"channels": [4, 8], "grid": 2, "blocks": 1}


@pytest.mark.parametrize("name", LISTS["myops2020"])
def test_each_published_list_comes_out_to_the_digit(name):
    entry = LISTS["myops2020"][name]
    rates = dict(zip(("C0", "DE", "T2"), entry["missing_rate_bssfp_lge_t2"], strict=True))
    text = " ".join(f"{modality}={rate}" for modality, rate in reversed(rates.items()))
    patients = list(entry["mask_id_per_case"])
    masks = patient_masks(patients, text, MYOPS.card.modalities, MYOPS.release.listed_modalities)
    expected = [LISTS["mask_by_id_myops"][entry["mask_id_per_case"][patient]] for patient in patients]
    assert masks.astype(int).tolist() == expected
    assert len(patients) == 20


def test_patients_that_no_list_has_and_other_rates_are_drawn():
    listing = MYOPS.release.listed_modalities
    rates = "C0=0.3 DE=0.5 T2=0.7"
    both = patient_masks(["myops_training_104", "stranger"], rates, MYOPS.card.modalities, listing)
    assert both[0].tolist() == [True, False, False]
    assert both[1].any()
    assert listing({"C0": 0.1, "DE": 0.5, "T2": 0.7}) == {}


def test_the_seven_combinations_stand_in_the_papers_order():
    names = [
        tuple(key for key, there in zip(("C0", "DE", "T2"), mask, strict=True) if there)
        for mask in LISTS["mask_by_id_myops"]
    ]
    assert list(MYOPS.card.modality_combinations) == names


def test_the_network_of_slices_has_flat_kernels_and_sees_no_neighbouring_slice():
    network = plan_network("dmaf_net", MYOPS, {})
    assert network.options == {"planar": True, "grid": 16}
    contract = network.input_contract(256)
    assert (contract.window, contract.centre) == ((1, 256, 256), 256)
    torch.manual_seed(0)
    module = medbench.create_model("dmaf_net", in_channels=3, num_classes=6, planar=True, **TINY).eval()
    convolutions = [part for part in module.modules() if isinstance(part, torch.nn.Conv3d)]
    assert {part.kernel_size for part in convolutions} == {(1, 3, 3), (1, 1, 1)}
    assert {part.stride for part in convolutions} == {(1, 1, 1), (1, 2, 2)}
    assert module.fusions[0].cells == (1, 2, 2)
    one = torch.randn(1, 3, 1, 36, 40)
    present = torch.tensor([[True, False, True]])
    with torch.inference_mode():
        expected = module(one, present)
        noise = one.clone()
        noise[:, 1] = torch.randn(1, 1, 36, 40) * 1e3
        assert torch.equal(module(noise, present), expected)
    assert expected.shape == (1, 6, 1, 36, 40)


def test_the_published_form_has_flat_encoders_of_a_third_of_the_weights():
    with torch.device("meta"):
        cube = medbench.create_model("dmaf_net", in_channels=3, num_classes=6)
        flat = medbench.create_model("dmaf_net", in_channels=3, num_classes=6, planar=True, grid=16)
    kernels = [
        sum(part.weight.numel() for part in network.encoders.modules() if isinstance(part, torch.nn.Conv3d))
        for network in (cube, flat)
    ]
    assert kernels[0] == 3 * kernels[1]
    assert flat.fusions[-1].position.shape == (1, 3 * 256, 128)


def test_the_training_is_the_papers(tmp_path):
    plan = outline_training("dmaf_net", "myops2020")
    settings = {name: entry["value"] for name, entry in plan["settings"].items()}
    expected = {
        "optimizer": "adam_amsgrad", "learning_rate": 2e-3, "weight_decay": 1e-4, "epochs": 300,
        "batch_size": 1, "image_size": 256, "missing_rates": "C0=0.3 DE=0.5 T2=0.7", "seed": 1037,
    }  # fmt: skip
    assert {name: settings[name] for name in expected} == expected
    assert plan["recipe"] == "myops2020"


def test_centres_of_slices_are_seen_one_after_the_other(sample, tmp_path):
    """The statistics are of the whole volume; every slice comes up once in as many patches as slices."""
    root = sample("myops2020")
    volumes = MYOPS.exchange.inputs["volume"].examples(root, "train", tmp_path)
    contract = VolumeContract(48, "scaled", "uniform", True, planes=1, centre=64)
    recipe = load_recipe("dmaf_net", "myops2020", image_size=48, augmentation="none", missing_rates="")
    data = VolumeData(volumes, recipe, contract, tmp_path)
    volume, labels = volumes[0].load()
    prepared = contract.prepare(volume)
    depth = labels.shape[0]
    assert prepared.array.shape == (3, depth, 64, 64)
    whole = np.stack([(array - array[array > 0].mean()) / array[array > 0].std() for array in volume.volumes])
    height, width = (side - 64 >> 1 for side in labels.shape[1:])
    centre = whole[:, :, height : height + 64, width : width + 64]
    np.testing.assert_allclose(prepared.array, centre, atol=2e-3)
    patches = [data.dataset[(epoch, number)] for epoch in range(depth) for number in range(4)]
    assert {tuple(patch.shape) for patch, _, _ in patches} == {(3, 1, 48, 48)}
    planes = [
        next(
            z
            for z in range(depth)
            if any(
                np.array_equal(patch[0, 0].numpy(), window)
                for window in np.lib.stride_tricks.sliding_window_view(
                    prepared.array[0, z].astype(np.float16).astype(np.float32), (48, 48)
                ).reshape(-1, 48, 48)
            )
        )
        for patch, _, _ in patches
    ]
    assert planes == [index % depth for index in range(4 * depth)]


@pytest.mark.slow
def test_trained_on_the_sample_and_run_over_all_combinations_into_the_papers_table(sample, tmp_path):
    root = sample("myops2020")
    weights = train(
        "dmaf_net.test", "myops2020", data=root, runs=tmp_path, hardware=Hardware("cpu", 1),
        recipe_changes={"epochs": 2, "image_size": 64, "patches": 2},
    )  # fmt: skip
    facts = load_checkpoint(weights).facts
    assert facts["recipe"]["name"] == "myops2020"
    assert facts["options"] == {"planar": True}
    assert read_json(weights.with_name("training.json"))["history"], "the monitor's report of each epoch"
    combinations = run_combinations(
        "dmaf_net.test", "myops2020", data=root, runs=tmp_path, leaderboards=tmp_path / "boards"
    )
    assert [finished.record.model.weights for finished in combinations.runs] == ["trained"] * 7
    assert combinations.exit_code == 0
    table = (combinations.folder / "table.md").read_text()
    assert "Protocol as papers on missing modalities" in table
    assert table.count("●") == 2 * 12
    values = combinations.values("dice_lv")
    assert len(values) == 7
    assert all(value is not None for value in values)
    assert json.dumps(combinations.as_json())
