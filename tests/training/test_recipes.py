"""Recipes by model family and challenge, where each setting comes from, and values that are refused."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medbench.challenges import load_challenge
from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.inference.weights import Checkpoint
from medbench.models import model_entries
from medbench.running.networks import plan_network, recipe_for
from medbench.running.train import outline_training
from medbench.running.weights import Weights, fit_to_weights
from medbench.training.recipes import FOLDER, list_recipes, load_recipe, load_recipe_as, recipe_document

COLUMNS = (
    *("optimizer", "learning_rate", "weight_decay", "schedule", "loss"),
    *("image_size", "batch_size", "epochs", "augmentation"),
)
SQUARED, BCE_DICE = "cross_entropy_squared_dice", "cross_entropy_dice"
DEIT = ("adamw", 5e-4, 0.05, "warmup_cosine", "cross_entropy", 224, 90, 300, "random_crop")
CVC_PROGRAM = ("batch_dice", 256, 8, 200, "flip_scale_drop")
SYNAPSE = ("sgd", 0.05, 1e-4, "polynomial", SQUARED, 224, 24, 400, "flip_rotate")
VIDEOS = ("adam", 1e-3, 1e-4, "constant", "bce", "whole videos", "1 video", 300, "none")
PAIRS = {
    ("dssau_net", "iugc2024"): ("adamw", 1e-4, 0.1, "constant", BCE_DICE, 256, 20, 10, "flip_rotate"),
    ("brau_net", "psfhs"): ("adam", 1e-3, 0.0, "polynomial", SQUARED, 256, 4, 100, "flip_rotate"),
    ("brau_net_pp", "synapse"): SYNAPSE,
    ("brau_net_pp", "isic2018"): ("adam", 5e-4, 0.0, "cosine", *CVC_PROGRAM),
    ("brau_net_pp", "cvc_clinicdb"): ("adam", 5e-4, 0.0, "cosine", *CVC_PROGRAM),
    ("brau_net_pp.isic", "synapse"): SYNAPSE,
    ("mslau_net", "synapse"): SYNAPSE,
    ("mslau_net", "cvc_clinicdb"): ("adamw", 1e-4, 1e-4, "cosine", *CVC_PROGRAM),
    ("mslau_net", "isic2018"): ("adamw", 1e-4, 1e-4, "cosine", *CVC_PROGRAM),
    ("medformer_small", "isic2018"): (
        *("adam", 1e-4, 0.0, "cosine", "batch_dice"),
        *(256, 16, 200, "flip_scale_drop"),
    ),
    ("medformer_small", "cvc_clinicdb"): (
        *("adam", 5e-4, 0.0, "cosine", "batch_dice"),
        *(256, 16, 200, "flip_scale_drop"),
    ),
    ("medformer_base", "synapse"): ("adamw", 1e-3, 1e-4, "cosine", SQUARED, 224, 24, 400, "flip_rotate"),
    ("medformer_base", "cvc_clinicdb"): (
        *("adam", 5e-4, 0.0, "cosine", "batch_dice"),
        *(256, 16, 200, "flip_scale_drop"),
    ),
    ("medformer_base.classifier", "isic2018_task3"): DEIT,
    ("medformer_base.classifier", "colonpath"): DEIT,
    ("medformer_base.classifier", "brain_tumor_mri"): DEIT,
    ("dmaf_net", "brats2020"): (
        *("adamw_amsgrad", 2e-4, 1e-4, "polynomial", "modality_distillation"),
        *(80, 1, 300, "turn_mirror"),
    ),
    ("fulltransnet", "tvsum"): VIDEOS,
    ("fulltransnet.published", "summe"): VIDEOS,
}
"""Model and challenge -> the paper's or its program's settings, in the order of the columns."""


@pytest.mark.parametrize(("model", "challenge"), PAIRS)
def test_a_training_takes_the_papers_recipe_on_the_papers_data(model, challenge):
    plan = outline_training(model, challenge)
    settings = plan["settings"]
    assert tuple(settings[name]["value"] for name in COLUMNS) == PAIRS[model, challenge]
    told = ("optimizer", "learning_rate", "weight_decay", "schedule", "image_size", "batch_size", "epochs")
    documents = {settings[name]["source"] for name in told}
    assert len(documents) == 1
    assert "@" in documents.pop(), "names the program at its commit"
    assert plan["start"]["value"] == "fresh weights"


HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INPUTS = {
    ("brau_net_pp", "synapse"): (224, *HALF, 7),
    ("brau_net_pp", "isic2018"): (256, *IMAGENET, 8),
    ("brau_net_pp", "cvc_clinicdb"): (256, *IMAGENET, 8),
    ("brau_net_pp.isic", "isic2018"): (256, *IMAGENET, 8),
    ("brau_net_pp.isic", "synapse"): (224, *HALF, 7),
    ("mslau_net", "synapse"): (224, *HALF, None),
    ("mslau_net", "cvc_clinicdb"): (256, *IMAGENET, None),
    ("mslau_net", "isic2018"): (256, *IMAGENET, None),
    ("medformer_tiny", "isic2018"): (256, *IMAGENET, 8),
    ("medformer_small", "isic2018"): (256, *IMAGENET, 8),
    ("medformer_small", "cvc_clinicdb"): (256, *IMAGENET, 8),
    ("medformer_small", "synapse"): (224, *HALF, 7),
    ("medformer_base", "synapse"): (224, *HALF, 7),
    ("medformer_base", "isic2018"): (256, *IMAGENET, 8),
    ("medformer_base", "cvc_clinicdb"): (256, *IMAGENET, 8),
}
"""Model and challenge -> size, mean, deviation and regions a side in the program of that data set."""


@pytest.mark.parametrize(("model", "challenge"), INPUTS)
def test_a_network_sees_the_input_of_the_authors_program_for_the_data_set(model, challenge):
    network = plan_network(model, load_challenge(challenge), {})
    contract = network.contract()
    options = {name: option.default for name, option in network.entry.options.items()} | network.all_options
    assert (contract.size, contract.mean, contract.std, options.get("n_win")) == INPUTS[model, challenge]
    assert (contract.scale, contract.channel_order) == (255.0, "RGB")
    assert recipe_for(load_challenge(challenge), network, None).image_size == contract.size


@pytest.mark.parametrize(
    ("model", "learnt", "target", "facts"),
    [
        ("mslau_net", "cvc_clinicdb", "acdc", IMAGENET),
        ("mslau_net", "acdc", "cvc_clinicdb", HALF),
        ("mslau_net", "isic2018", "cvc_clinicdb", IMAGENET),
        ("brau_net_pp", "data_of_ones_own", "isic2018", HALF),
        ("smp/unet", "cvc_clinicdb", "isic2018", None),
    ],
)
def test_weights_see_images_on_other_data_as_they_learnt_them(model, learnt, target, facts):
    network = plan_network(model, load_challenge(target), {})
    checkpoint = Checkpoint({}, {"model": model, "challenge": learnt})
    contract = fit_to_weights(network, Weights("file", Path("w.pt"), checkpoint)).contract()
    plain = network.contract()
    assert (contract.mean, contract.std) == (facts or (plain.mean, plain.std))
    foreign = fit_to_weights(network, Weights("file", Path("w.pt"), Checkpoint({})))
    assert foreign.contract() == plain, "the authors' weights are for the data set's own program"


def test_a_trainer_of_nnunets_decides_what_the_recipe_does_not():
    plan = outline_training("nnunet", "synapse", recipe_changes={"trainer": "nnUNet_Primus_M_Trainer"})
    settings = {name: entry["value"] for name, entry in plan["settings"].items()}
    of_trainer = ("optimizer", "learning_rate", "weight_decay", "schedule", "loss", "augmentation")
    assert {settings[name] for name in of_trainer} == {"as nnUNet_Primus_M_Trainer has it"}
    assert outline_training("nnunet", "synapse")["settings"]["optimizer"]["value"].startswith("SGD")


def test_the_cards_own_recipe_serves_where_the_family_has_none_for_a_challenge():
    assert outline_training("brau_net_pp.isic", "psfhs")["recipe"] == "isic"
    assert outline_training("brau_net_pp", "psfhs")["recipe"] == "default"
    published = outline_training("fulltransnet.published", "tvsum")
    assert (published["recipe"], published["chosen_by"]) == (
        "published",
        "the card of fulltransnet.published",
    )
    assert published["settings"]["validation"]["value"] == "test_split"
    assert outline_training("timm/test_resnet", "isic2018_task3")["recipe"] == "default"


def test_each_setting_names_where_it_comes_from():
    plan = outline_training("mslau_net", "cvc_clinicdb", recipe_changes={"epochs": 3})
    sources = {name: entry["source"] for name, entry in plan["settings"].items()}
    program = "arXiv 2505.18823; Monsoon49/MSLAU-Net@efdb058, cvc_train.py"
    assert sources["epochs"] == "--recipe-set"
    assert sources["loss"] == sources["batch_size"] == program
    assert sources["validation"] == "medbench"
    assert "best.pth" in plan["start"]["authors"]
    stained = outline_training("smp/unet", "kpis_patch")["settings"]["augmentation"]
    assert stained == {"value": "stain", "source": "card of kpis_patch"}
    assert outline_training("smp/unet", "kpis_patch")["settings"]["epochs"]["source"] == "medbench"


def test_recipes_of_published_programs_name_them():
    for family, name, program in (
        ("boxes", "retinanet", "references/detection"),
        ("landmarks", "official", "IUGC2025@bc8fce2"),
        ("image_labels", "linear_probe", "CM-CGNS@4e75806"),
    ):
        document = recipe_document(family, name)
        assert program in document.of("learning_rate")
        assert document.of("validation") == "medbench"
    for family in ("image_classes", "image_labels"):
        probe = load_recipe(family, "linear_probe")
        assert (probe.seed, probe.decay, probe.optimizer, probe.weight_decay) == (43, "all", "adamw", 1e-6)


def test_every_recipe_that_a_card_or_a_family_names_is_there():
    for entry in model_entries():
        assert entry.default_recipe in list_recipes(entry.recipe_family), entry.name
    for path in FOLDER.glob("*.toml"):
        table = tomllib.loads(path.read_text())
        for challenge, name in table.get("challenges", {}).items():
            assert load_challenge(challenge).name == challenge
            assert name in list_recipes(path.stem)
        for name in list_recipes(path.stem):
            named = {key for key in table[name] if key not in ("source", "ours", "authors_start")}
            assert set(table[name].get("ours", ())) <= named | {"image_size", "seed"}, (path, name)


def test_the_dry_run_prints_the_plan_and_draws_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path / "cache"))
    command = ["train", "-m", "brau_net", "-c", "psfhs", "--dry-run"]
    answer = CliRunner().invoke(app, [*command, "--json"])
    assert answer.exit_code == 0
    plan = json.loads(answer.stdout)
    assert plan["settings"]["learning_rate"] == {
        "value": 1e-3,
        "source": "arXiv 2310.00289; Caipengzhou/BRAU-Net@7a35eb4, training program",
    }
    assert "adam" in CliRunner().invoke(app, command).stdout
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("challenge", ["psfhs", "tvsum"])
def test_a_fit_of_constant_answers_has_no_steps(challenge):
    """Field case: its outline had nnU-Net's optimizer and augmentation."""
    assert set(outline_training("baseline/constant", challenge)["settings"]) == {
        "image_size", "volume_size", "examples", "seed",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-m", "dssau_net.test", "-c", "psfhs", "--data", "nowhere"), "data.missing"),
        (("-m", "dssau_net.test", "-c", "psfhs", "--device", "cuda:99"), "device.missing"),
        (("-m", "dssau_net.test", "-c", "psfhs", "--device", "cpu", "--devices", "999"), "training.devices"),
        (("-m", "dssau_net.test", "-c", "psfhs", "--runs", "file/x"), "output.unwritable"),
        (("-m", "baseline/constant", "-c", "psfhs", "--devices", "2"), "training.devices"),
        (("-m", "fulltransnet", "-c", "tvsum", "--device", "cpu", "--devices", "2"), "training.devices"),
        (("-m", "baseline/uniform", "-c", "tvsum"), "training.nothing"),
        (("-m", "nnunet", "-c", "psfhs", "--accumulate", "2"), "nnunet.hardware"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[1::2]),
)
def test_the_dry_run_refuses_what_the_training_refuses(words, code, tmp_path, monkeypatch, command):
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    dry, real = command("train", *words, "--dry-run"), command("train", *words)
    assert (dry.code, real.code) == (2, 2)
    assert dry.err.splitlines()[-2:] == real.err.splitlines()[-2:]
    assert f"[{code}]" in dry.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    ("changes", "nearest"),
    [
        ({"optimizer": "SGD"}, "sgd"),
        ({"schedule": "poly"}, "polynomial"),
        ({"schedule": "Constant"}, "constant"),
        ({"augmentation": "flip"}, "flip_rotate"),
        ({"validation": "bygroup"}, "by_group"),
        ({"loss": "cross_entropy_dise"}, "cross_entropy_dice"),
        ({"decay": "everything"}, "matrices"),
        ({"learnin_rate": 1e-3}, "learning_rate"),
        ({"optimiser": "sgd"}, "optimizer"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest_name(changes, nearest):
    with pytest.raises(MedbenchError) as caught:
        outline_training("smp/unet", "psfhs", recipe_changes=changes)
    assert caught.value.code == "recipe.setting"
    assert nearest in caught.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": "ten"},
        {"epochs": 0},
        {"batch_size": 2.5},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"hide_sequences": 1},
        {"structure_share": 2.0},
        {"epochs": True},
        {"patches": 2},
        {"augmentation": "mirror"},
        {"schedule": "warmup_cosine"},
        {"loss": "modality_distillation"},
    ],
)
def test_a_value_that_a_training_would_not_follow_is_refused(changes):
    with pytest.raises(MedbenchError) as caught:
        outline_training("smp/unet", "psfhs", recipe_changes=changes)
    assert caught.value.code == "recipe.setting"
    assert next(iter(changes)) in caught.value.message


def test_values_of_other_kinds_of_recipes_are_checked_too():
    for model, challenge, changes in (
        ("monai/unet", "brats2020", {"augmentation": "flip_rotate"}),
        ("timm/test_resnet", "colonpath", {"optimizer": "sgd"}),
        ("timm/test_resnet", "colonpath", {"class_balance": "los"}),
        ("fulltransnet", "tvsum", {"loss": "bcee"}),
        ("nnunet", "psfhs", {"planner": "ResEncN"}),
        ("nnunet", "psfhs", {"epochs": 0}),
        ("nnunet", "psfhs", {"folds": []}),
        ("nnunet", "psfhs", {"folds": 1.5}),
        ("nnunet", "psfhs", {"folds": True}),
        ("nnunet", "psfhs", {"folds": [0, "1"]}),
        ("smp/unet", "psfhs", {"name": "quick"}),
        ("smp/unet", "psfhs", {"family": "generic"}),
        ("torchvision/retinanet_resnet18_fpn", "cvc_clinicdb_boxes", {"least_scale": 3.0}),
    ):
        with pytest.raises(MedbenchError) as caught:
            outline_training(model, challenge, recipe_changes=changes)
        assert caught.value.code == "recipe.setting"


@pytest.mark.parametrize(
    ("model", "challenge", "changes", "code", "words"),
    [
        ("dmaf_net", "brats2020", {"missing_rates": "t1=0.2 t1ce=0.4 flar=0.6 t2=0.8"}, "modality", "flair"),
        ("dmaf_net", "brats2020", {"missing_rates": "t1=0.2 t1ce=0.4 flair=0.6"}, "missing", "t2f"),
        ("dmaf_net", "brats2020", {"missing_rates": "t1=0.2 t1ce=0.4 flair=x t2=0.8"}, "missing", "t2f"),
        ("dmaf_net", "myops2020", {"missing_rates": "C0=0.3 DE=1.5 T2=0.7"}, "missing", "below 1"),
        ("medformer_base.classifier", "colonpath", {"rand_augment": "rand-m9-mtsd0.5"}, "setting", "mstd"),
        ("medformer_base.classifier", "colonpath", {"rand_augment": "rnd-m9"}, "setting", "rand"),
        ("medformer_base.classifier", "colonpath", {"rand_augment": "rand-m9-inc"}, "setting", "inc"),
        ("medformer_base.classifier", "colonpath", {"warmup_epochs": 3, "schedule": "cosine"}, "setting",
         "warmup_cosine"),
        ("fulltransnet", "tvsum", {"smooth": 10.0}, "setting", "jaccard"),
        ("smp/unet", "psfhs", {"learning_rate": float("inf")}, "setting", "finite"),
    ],
)  # fmt: skip
def test_what_is_wrong_inside_a_setting_is_refused_before_data_are_drawn(
    model, challenge, changes, code, words
):
    with pytest.raises(MedbenchError) as caught:
        outline_training(model, challenge, recipe_changes=changes)
    assert code in caught.value.code
    assert words in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--set", "encoder=resnt18"), "encoder.unknown"),
        (("--set", "encodr=resnet18"), "model.option"),
        (("--precision", "bf16"), "precision.unknown"),
        (("--devices", "two"), "training.devices"),
        (("--devices", "0"), "training.devices"),
        (("--split", "trian"), "split.unknown"),
        (("--recipe-set", "epochs=3", "--recipe-set", "epochs=5"), "option.malformed"),
    ],
)
def test_the_plan_is_refused_where_the_training_would_be(words, code):
    result = CliRunner().invoke(app, ["train", "-m", "smp/unet", "-c", "psfhs", "--dry-run", *words])
    assert result.exception.code == code


def test_a_rate_of_zero_is_a_rate():
    challenge = load_challenge("psfhs")
    network = plan_network("smp/unet", challenge, {})
    assert recipe_for(challenge, network, None, {"learning_rate": 0}).learning_rate == 0


def test_recipes_of_one_name_are_of_one_kind():
    from medbench.nnunet.recipe import NnunetRecipe

    assert load_recipe_as(NnunetRecipe, "nnunet", "default", {}).batch_size == 0
    assert load_recipe("medformer", "official").decay == "all"
