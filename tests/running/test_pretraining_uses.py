"""What judges a pre-training: probes, frozen and tuned encoders for classes, labels, masks and boxes."""

import pytest
import torch

from medbench.challenges.mimic_cxr.sample import write_sample as write_pairs
from medbench.core.files import read_json
from medbench.inference.start_weights import start_weights
from medbench.inference.weights import load_checkpoint
from medbench.models import create_model
from medbench.running.pretrain import PretrainRequest, pretrain
from medbench.running.run import run as run_model
from medbench.running.train import train
from medbench.training.hardware import Hardware
from medbench.training.recipes import load_recipe

CPU = Hardware("cpu", 1)
SIZES = {"widths": [4, 4, 8, 8], "depths": [1, 1, 1, 1]}
HEADS = {"head_widths": [8, 8, 8]}
SHORT = {"image_size": 32, "batch_size": 4, "max_steps": 1}
AGAIN = pytest.mark.exhaustive  # the same network and recipe as in the line before, on other data
USES = [
    ("cm_cgns.classifier", "chexpert", "linear_probe", "encoder.backbone.", {}),
    pytest.param(
        "cm_cgns.classifier", "rsna_pneumonia", "linear_probe", "encoder.backbone.", {}, marks=AGAIN
    ),
    ("cm_cgns", "rsna_pneumonia_masks", "official", "encoder.model.", {}),
    pytest.param("cm_cgns", "siim_pneumothorax", "official", "encoder.model.", {}, marks=AGAIN),
    ("cm_cgns.yolo", "rsna_pneumonia_boxes", "yolo", "backbone.", HEADS),
    pytest.param("cm_cgns.yolo", "object_cxr", "yolo", "backbone.", HEADS, marks=AGAIN),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory, one_thread):
    """The folder of a pre-training."""
    folder = tmp_path_factory.mktemp("pretraining")
    write_pairs(folder / "pairs", {"train": 16, "validate": 8, "test": 8})
    asked = PretrainRequest(data=folder / "pairs", recipe="test", runs=folder / "runs")
    return pretrain(asked, CPU).parent


def backbone(state):
    beginning = "image_encoder.backbone."
    return {
        name.removeprefix(beginning): value for name, value in state.items() if name.startswith(beginning)
    }


def part(state, beginning):
    return {
        name.removeprefix(beginning): value for name, value in state.items() if name.startswith(beginning)
    }


@pytest.mark.slow
@pytest.mark.parametrize(("model", "challenge", "recipe", "beginning", "options"), USES)
def test_encoders_of_a_pretraining_stay_frozen_or_are_tuned(
    run, unmarked, tmp_path, model, challenge, recipe, beginning, options
):
    pretrained = backbone(load_checkpoint(run / "weights.pt").state)
    own = {**SIZES, **options}
    asked = {
        "recipe": recipe, "recipe_changes": SHORT, "data": unmarked(challenge), "split": "train_10",
        "runs": tmp_path / "runs", "hardware": CPU,
    }  # fmt: skip
    name = beginning.split(".")[0]
    frozen = train(model, challenge, options=own, init=str(run), freeze=[name], **asked)
    kept = part(load_checkpoint(frozen).state, beginning)
    assert kept.keys() == pretrained.keys()
    assert all(torch.equal(kept[key], value) for key, value in pretrained.items())
    summary = read_json(frozen.with_name("training.json"))
    assert summary["start"]["frozen"] == [name]
    assert not [key for key in summary["start_parameters"]["missing"] if key.startswith(beginning)]
    counts = run_model(
        model, challenge, data=unmarked(challenge), split="val", weights=str(frozen), runs=tmp_path / "runs",
        leaderboards=tmp_path / "boards",
    ).record.counts  # fmt: skip
    assert counts.ok == counts.total > 0
    tuned = part(
        load_checkpoint(train(model, challenge, options=own, init=str(run), **asked)).state, beginning
    )
    moved = [
        key for key, value in pretrained.items() if value.ndim == 4 and not torch.equal(tuned[key], value)
    ]
    assert len(moved) == sum(value.ndim == 4 for value in pretrained.values())
    assert max(float((tuned[key] - pretrained[key]).abs().max()) for key in moved) < 0.1, "one step away"


@pytest.mark.slow
def test_setr_takes_a_pretrained_transformer(unmarked, tmp_path):
    write_pairs(tmp_path / "pairs", {"train": 8, "validate": 8, "test": 8})
    sizes = {"embed_dim": 16, "depth": 1, "num_heads": 2}
    asked = PretrainRequest(
        data=tmp_path / "pairs", recipe="test", runs=tmp_path / "runs", recipe_changes={"second_epochs": 0},
        options={"encoder": "vit_base", "decoder_widths": [8, 8, 8], **sizes},
    )  # fmt: skip
    pretrained = backbone(load_checkpoint(pretrain(asked, CPU)).state)
    (run,) = (tmp_path / "runs/pretraining/cm_cgns").iterdir()
    options = {**sizes, "image_size": 32, "decoder_channels": [8, 8, 8, 8]}
    weights = train(
        "cm_cgns.setr", "siim_pneumothorax", recipe="official", recipe_changes=SHORT, options=options,
        data=unmarked("siim_pneumothorax"), split="train_10", init=str(run), freeze=["encoder"],
        runs=tmp_path / "runs", hardware=CPU,
    )  # fmt: skip
    kept = part(load_checkpoint(weights).state, "encoder.")
    assert kept.keys() == pretrained.keys()
    assert all(torch.equal(kept[key], value) for key, value in pretrained.items())


@pytest.mark.slow
def test_random_weights_and_a_file_of_imagenets_layout_stand_beside_it(unmarked, tmp_path):
    fresh = create_model("cm_cgns.classifier", num_classes=1000, **SIZES)
    state = part(fresh.state_dict(), "encoder.backbone.")
    torch.save(
        {**state, "fc.weight": torch.zeros(1000, 32), "fc.bias": torch.zeros(1000)}, tmp_path / "r50.pth"
    )
    asked = {
        "recipe": "official", "recipe_changes": SHORT, "data": unmarked("siim_pneumothorax"),
        "split": "train_10", "options": SIZES, "runs": tmp_path / "runs", "hardware": CPU,
    }  # fmt: skip
    from_file = train(
        "cm_cgns", "siim_pneumothorax", init=str(tmp_path / "r50.pth"), freeze=["encoder"], **asked
    )
    kept = part(load_checkpoint(from_file).state, "encoder.model.")
    assert all(torch.equal(kept[key], value) for key, value in state.items())
    refused = read_json(from_file.with_name("training.json"))["start_parameters"]["refused"]
    assert set(refused) == {"fc.weight", "fc.bias"}
    random = train("cm_cgns", "siim_pneumothorax", **asked)
    assert "start" not in read_json(random.with_name("training.json"))
    assert random.parent != from_file.parent


def test_published_sizes_take_torchvisions_names_and_setr_the_transformer():
    with torch.device("meta"):
        unet = create_model("cm_cgns", num_classes=2).state_dict()
        yolo = create_model("cm_cgns.yolo").state_dict()
        encoder = create_model("cm_cgns.image_encoder").state_dict()
        setr = create_model("cm_cgns.test", num_classes=2).state_dict()
        vit = {"image_size": 64, "embed_dim": 48, "depth": 2, "num_heads": 3}
        transformer = create_model("cm_cgns.image_encoder", encoder="vit_base", **vit).state_dict()
    for own, name in ((unet, "encoder."), (yolo, "backbone.")):
        fit = start_weights(own, {f"image_encoder.{key}": value for key, value in encoder.items()}, "run")
        assert not [key for key in fit.missing if key.startswith(name)]
    fit = start_weights(setr, {f"image_encoder.{key}": value for key, value in transformer.items()}, "run")
    assert not [key for key in fit.missing if key.startswith("encoder.")]


def test_recipes_are_those_of_the_program():
    for family, name, due in (
        ("cm_cgns", "official", (224, 16, 50, 1e-3, 0.05, "cosine", "focal_log_dice", "scale_rotate")),
        ("boxes", "yolo", (224, 16, 50, 1e-3, 1e-6, "cosine", "detection", "none")),
        (
            "image_labels",
            "linear_probe",
            (224, 48, 100, 5e-4, 1e-6, "cosine", "binary_cross_entropy", "none"),
        ),
        ("image_classes", "linear_probe", (224, 48, 100, 5e-4, 1e-6, "cosine", "cross_entropy", "none")),
    ):
        recipe = load_recipe(family, name)
        assert due == (
            recipe.image_size, recipe.batch_size, recipe.epochs, recipe.learning_rate, recipe.weight_decay,
            recipe.schedule, recipe.loss, recipe.augmentation,
        )  # fmt: skip


@pytest.mark.slow
def test_the_detector_learns_by_its_own_loss(one_thread):
    torch.manual_seed(0)
    network = create_model("cm_cgns.yolo", widths=[8, 8, 8, 8], depths=[1, 1, 1, 1], head_widths=[16, 16, 16])
    images, targets = torch.zeros(4, 3, 64, 64), []
    for image, (left, top, side) in zip(
        images, ((6, 10, 24), (30, 30, 28), (20, 4, 32), (2, 34, 20)), strict=True
    ):
        image[:, top : top + side, left : left + side] = 1
        box = torch.tensor([[left, top, left + side, top + side]], dtype=torch.float32)
        targets.append({"boxes": box, "labels": torch.ones(1, dtype=torch.int64)})
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        torch.stack([*network(images, targets).values()]).sum().backward()
        optimizer.step()
    from torchvision.ops import box_iou

    with torch.inference_mode():
        network.train(False)
        answers = network(images)
    for answer, target in zip(answers, targets, strict=True):
        assert len(answer["boxes"])
        best = answer["boxes"][answer["scores"].argmax()][None]
        assert float(box_iou(best, target["boxes"])) > 0.6
        assert set(answer["labels"].tolist()) == {1}


STUDY = """
title = "What a pre-training brings"
models = [
  {model = "cm_cgns.classifier", set = OPTIONS, init = "RUN", freeze = ["encoder"], name = "frozen"},
  {model = "cm_cgns.classifier", set = OPTIONS, name = "random"},
]
recipes = ["linear_probe"]
[budget]
steps = 1
[[data]]
challenge = "chexpert"
folder = "DATA"
training = ["train_1", "train"]
"""


@pytest.mark.slow
def test_a_study_compares_starts_at_every_fraction_of_the_cases(run, unmarked, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from medbench.core.progress import SilentProgress
    from medbench.studies.study import Conditions, StudyPlan, plan_study, run_study

    options = "{widths = [4, 4, 8, 8], depths = [1, 1, 1, 1], image_size = 32}"
    text = (
        STUDY.replace("OPTIONS", options).replace("RUN", str(run)).replace("DATA", str(unmarked("chexpert")))
    )
    (tmp_path / "study.toml").write_text(text.replace("steps = 1", "epochs = 1"))
    quiet = SilentProgress()
    plan = plan_study(tmp_path / "study.toml", quiet)
    assert [(cell.training_split, cell.name) for cell in plan.cells] == [
        ("train_1", "frozen"), ("train", "frozen"),
        ("train_1", "random"), ("train", "random"),
    ]  # fmt: skip
    assert [cost.samples for cost in plan.costs] == [5, 96, 5, 96]
    with ThreadPoolExecutor(1) as pool:
        board = run_study(plan, tmp_path / "out", Conditions(), quiet, pool)
    assert board.exit_code == 0, [outcome.reason for outcome in board.outcomes]
    assert [(one.training, len(one.lines)) for one in board.populations] == [("train_1", 2), ("train", 2)]
    text = (tmp_path / "out/board.md").read_text()
    assert "chexpert, split test, learnt from train_1" in text
    assert "cm_cgns.classifier frozen (linear_probe)" in text
    starts = {}
    for weights in tmp_path.glob("out/runs/chexpert/*/training/*/weights.pt"):
        summary = read_json(weights.with_name("training.json"))
        kept = part(load_checkpoint(weights).state, "encoder.backbone.")
        pretrained = backbone(load_checkpoint(run / "weights.pt").state)
        starts[summary["split"], "start" in summary] = all(
            torch.equal(kept[k], v) for k, v in pretrained.items()
        )
    assert starts == {
        (split, started): started for split in ("train_1", "train") for started in (True, False)
    }
    assert StudyPlan.read(tmp_path / "out").sha256 == plan.sha256
