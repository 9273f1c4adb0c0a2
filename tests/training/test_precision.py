"""Every recipe takes its steps in every precision; gradients are clipped and counted after unscaling."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

import medbench
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.core.sample import TrainingImage, TrainingVolume
from medbench.inference.predictor import InputContract
from medbench.inference.volumes import VolumeContract
from medbench.models import devices
from medbench.training.data import TrainingData
from medbench.training.division import Division
from medbench.training.fit import Learner, fit
from medbench.training.gradients import BAD_STEPS, SCALED_BAD_STEPS, GradientGuard
from medbench.training.hardware import Hardware, hardware_for, present_hardware
from medbench.training.recipes import FOLDER, Recipe, list_recipes, load_recipe, load_recipe_as
from medbench.training.result_files import training_summary
from medbench.training.sequence_fit import fit_sequences
from medbench.training.sequence_recipe import SequenceRecipe
from medbench.training.task import SegmentationTask
from small_trainings import (
    LoadImage,
    SmallClassifier,
    SmallUNet,
    SmallVolumeNet,
    boxed,
    dmaf,
    load_volume,
    sequence,
)

VOLUMES, SEQUENCES, OWN = (
    ("monai", "monai_swinunetr", "dmaf_net"),
    ("video_summaries",),
    ("nnunet", "constant", "cm_cgns_pretraining"),
)
FAMILIES = sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem not in OWN)
RECIPES = [(family, name) for family in FAMILIES for name in list_recipes(family)]
WITH_PRECISIONS = [(*recipe, "32") for recipe in RECIPES] + [
    pytest.param(
        family, name, "bf16-mixed", marks=[] if name == list_recipes(family)[0] else [pytest.mark.exhaustive]
    )
    for family, name in RECIPES
]
STEPS = 3


def images(count=6):
    return [
        TrainingImage(f"i{k}", f"g{k}", LoadImage(k), True, k % 2, image_labels=(k % 2, k % 3 // 2))
        for k in range(count)
    ]


def volumes():
    return [
        TrainingVolume(f"c{n}", f"p{n}", lambda n=n: load_volume(n), (), (True, n != 1)) for n in range(3)
    ]


def train(family, name, folder, hardware, cache):
    """Three steps by a recipe, as it is but for size, batch and length."""
    short = {"epochs": STEPS, "least_steps": 0}
    if family in SEQUENCES:
        recipe = load_recipe_as(SequenceRecipe, family, name, {**short, "validation": "none"})
        sizes = {"dim": 16, "heads": 4, "encoder_layers": 1, "decoder_layers": 1, "window": 4, "ffn_dim": 32}
        folder.mkdir()
        return fit_sequences(
            lambda: medbench.create_model("fulltransnet", num_classes=1, **sizes),
            [sequence(0)], recipe, folder, {}, hardware=hardware, progress=SilentProgress(),
        )  # fmt: skip
    short["validation"] = "none"
    if family in VOLUMES:
        side = 32 if family == "dmaf_net" else 16
        missing = {"missing_rates": ""} if "missing_rates" in Recipe.__dataclass_fields__ else {}
        recipe = load_recipe(family, name, image_size=side, batch_size=3, patches=1, **short, **missing)
        with_mask = family == "dmaf_net"
        build = dmaf if with_mask else SmallVolumeNet
        learner = Learner(build, VolumeContract(side, "scaled", "uniform", with_mask), 2)
        examples = volumes()
    elif family == "landmarks":
        recipe = load_recipe(family, name, image_size=32, batch_size=6, **short)
        learner = Learner(
            lambda: medbench.create_model("heatmap_unet.test", num_classes=2),
            InputContract(32), 2, ("landmarks",), ("landmarks",),
        )  # fmt: skip
        examples = [
            TrainingImage(
                f"i{k}", f"g{k}", LoadImage(k), False, landmarks=lambda: np.array([[0.3, 0.4], [0.6, 0.7]])
            )
            for k in range(6)
        ]
    elif family == "boxes":
        recipe = load_recipe(family, name, image_size=128, batch_size=6, **short)
        learner = Learner(
            lambda: medbench.create_model("medformer.retinanet.test", num_classes=1),
            InputContract(128, padded=True), 1, ("boxes",), ("boxes",),
        )  # fmt: skip
        examples = [boxed(number) for number in range(6)]
    else:
        recipe = load_recipe(family, name, image_size=16, batch_size=6, **short)
        classes = family in ("image_classes", "image_labels")
        tasks = (family,) if classes else ("label_map", "image_classes")
        build = SmallClassifier if classes else SmallUNet
        learner = Learner(build, InputContract(16), 2, tasks, tasks[:1])
        examples = images()
    return fit(
        learner, examples, recipe, folder, {}, hardware=hardware, progress=SilentProgress(), cache=cache
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("family", "name", "precision"), WITH_PRECISIONS)
def test_every_recipe_takes_three_steps(family, name, precision, tmp_path, cache):
    hardware = Hardware("cpu", 1, 1, precision, 0, force_precision=True)
    weights = train(family, name, tmp_path / "out", hardware, cache)
    summary = training_summary(weights.parent)
    assert summary["steps"] == STEPS
    assert summary["steps_left_out"] == 0
    assert summary["hardware"]["precision"] == precision
    state = torch.load(weights, weights_only=True)["state_dict"]
    assert all(bool(tensor.isfinite().all()) for tensor in state.values() if tensor.is_floating_point())


def stepped(clip, scaler=None, values=(3.0, 4.0)):
    """Gradients of a step and the guard, after it; gradients as a scaler leaves them."""
    weights = [nn.Parameter(torch.zeros(1)) for _ in values]
    optimizer = torch.optim.SGD(weights, lr=1.0, fused=True)
    factor = 1.0 if scaler is None else float(scaler.scale(torch.ones(())))
    for parameter, value in zip(weights, values, strict=True):
        parameter.grad = torch.full((1,), value * factor)
    guard = GradientGuard()
    guard.before_step(optimizer, clip, scaler)
    gradients = [float(parameter.grad) for parameter in weights]
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
    return gradients, [float(parameter.detach()) for parameter in weights], guard


def test_gradients_are_clipped_and_counted_after_unscaling():
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=65536.0)):
        gradients, weights, guard = stepped(1.0, scaler)
        assert gradients == pytest.approx([0.6, 0.8], rel=1e-5)
        assert weights == pytest.approx([-0.6, -0.8], rel=1e-5)
        assert int(guard.left_out) == 0
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=65536.0)):
        _, weights, guard = stepped(1.0, scaler, (3.0, float("inf")))
        assert weights == [0.0, 0.0]
        assert int(guard.left_out) == int(guard.streak) == 1


def test_half_precision_clips_and_skips_through_the_trainer(tmp_path):
    """The path of 16-mixed with a real gradient scaler, whose first scales overflow on purpose."""
    from lightning.pytorch import Trainer
    from lightning.pytorch.plugins import MixedPrecision

    recipe = load_recipe(
        "dssau_net", "default", image_size=16, batch_size=6, validation="none", gradient_clip=1.0
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, growth_interval=1000)
    task = SegmentationTask(SmallUNet(), recipe, 2, 60)
    trainer = Trainer(
        accelerator="cpu", devices=1, max_epochs=40, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=str(tmp_path),
        use_distributed_sampler=False, plugins=[MixedPrecision("16-mixed", "cpu", scaler)],
    )  # fmt: skip
    before = [parameter.detach().clone() for parameter in task.network.parameters()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medbench.training.gradients.SCALED_BAD_STEPS", 1000)
        trainer.fit(task, datamodule=TrainingData(images(), recipe, InputContract(16)))
    assert 0 < int(task.guard.left_out) < 40
    assert scaler.get_scale() < 2.0**40
    after = list(task.network.parameters())
    assert any(not torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert all(bool(parameter.isfinite().all()) for parameter in after)


def test_so_many_bad_steps_in_succession_end_a_training():
    for most, scaler in ((BAD_STEPS, None), (SCALED_BAD_STEPS, torch.amp.GradScaler("cpu"))):
        weight = nn.Parameter(torch.zeros(1))
        optimizer, guard = torch.optim.SGD([weight], lr=1.0, fused=True), GradientGuard()

        def step(weight=weight, optimizer=optimizer, guard=guard, scaler=scaler):
            weight.grad = torch.full((1,), float("nan"))
            guard.before_step(optimizer, 0.0, scaler)
            if scaler is not None:
                scaler.update()

        if scaler is not None:
            scaler.scale(torch.ones(()))
        for _ in range(most - 1):
            step()
        with pytest.raises(MedbenchError) as error:
            step()
        assert error.value.code == "training.diverged"


def test_no_training_step_waits_for_the_device(monkeypatch, tmp_path):
    """Fake tensors have no values: whatever a step would read from the device ends it."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    from medbench.training.class_task import ImageClassTask
    from medbench.training.distillation_task import ModalityDistillationTask
    from medbench.training.host_values import HostValue
    from medbench.training.label_task import ImageLabelTask
    from medbench.training.landmark_task import LandmarkTask

    monkeypatch.setattr(HostValue, "offer", lambda self, number: None)
    labels = torch.randint(0, 2, (4, 16, 16))
    flat = torch.rand(4, 3, 16, 16), labels, torch.tensor([0, -1, 1, 1])
    present = torch.tensor([[True, True], [True, False]])
    deep = torch.rand(2, 2, 32, 32, 32), torch.randint(0, 2, (2, 32, 32, 32)), present
    points = torch.rand(4, 2, 2)
    classes = load_recipe("image_classes", "deit", mixup=0.0, cutmix=0.0)
    tasks = [
        (SegmentationTask(SmallUNet(), load_recipe("dssau_net", "default"), 2, 10), flat),
        (ImageClassTask(SmallClassifier(), classes, 2, 10), (flat[0], torch.tensor([0, 1, 1, 0]))),
        (ModalityDistillationTask(dmaf(), load_recipe("dmaf_net", "quick"), 2, 10), deep),
        (ImageLabelTask(SmallClassifier(), load_recipe("image_labels"), 2, 10), (flat[0], torch.ones(4, 2))),
        *(
            (LandmarkTask(nn.Conv2d(3, 2, 1), load_recipe("landmarks", name), 2, 10), (flat[0], points))
            for name in ("default", "official")
        ),
    ]
    logged = []
    for task, batch in tasks:
        monkeypatch.setattr(task, "log", lambda name, value, **options: logged.append(options))
        places = task.on_before_batch_transfer(batch, 0)
        with FakeTensorMode(allow_non_fake_inputs=False) as mode:
            network = {name: mode.from_tensor(p) for name, p in task.state_dict(keep_vars=True).items()}
            fakes = torch.utils._pytree.tree_map_only(torch.Tensor, mode.from_tensor, places)
            task.load_state_dict(network, strict=True, assign=True)
            task.training_step(fakes, 0).backward()
            optimizer = torch.optim.AdamW(task.network.parameters(), lr=1e-3)
            task.configure_gradient_clipping(optimizer)
    assert len(logged) == len(tasks)
    assert not any(options.get("prog_bar") for options in logged), "a progress bar reads every value"


@pytest.mark.parametrize("model", ["fulltransnet", "baseline/bilstm"])
def test_no_step_of_a_sequence_waits_for_the_device(model, monkeypatch):
    """What is copied to the device is copied behind its work, and nothing is read back."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    from medbench.training.sequence_fit import read_videos, video_loss
    from medbench.training.summary_losses import summary_loss

    sizes = {"dim": 16, "heads": 4, "encoder_layers": 1, "decoder_layers": 1, "window": 4, "ffn_dim": 32}
    network = medbench.create_model(model, num_classes=1, **(sizes if model == "fulltransnet" else {}))
    (video,) = read_videos([sequence(0)], SilentProgress())
    copies, move = [], torch.Tensor.to

    def noted(tensor, *where, **how):
        ours = sys._getframe(1).f_globals["__name__"].startswith("medbench.")
        if ours and where and isinstance(where[0], torch.device):
            copies.append(how)
        return move(tensor, *where, **how)

    monkeypatch.setattr(torch.Tensor, "to", noted)
    with FakeTensorMode(allow_non_fake_inputs=True):
        video_loss(network, video, summary_loss("bce")).backward()
    assert len(copies) >= 2
    assert all(how == {"non_blocking": True} for how in copies)


def test_a_batch_is_shared_evenly_or_by_weight():
    assert Division(4, 0, 2).weight(3, 24) == 1.0
    parts = [Division(2, number, 1).weight(count, 5) for number, count in enumerate((3, 2))]
    assert np.mean(parts) == 1.0
    with pytest.raises(MedbenchError) as error:
        Division(8).check(4)
    assert "batch_size=8" in error.value.hint


@pytest.mark.parametrize(
    ("hardware", "code"),
    [
        (Hardware("cuda:99"), "device.missing"),
        (Hardware("tpu"), "device.unknown"),
        (Hardware("cpu", 1, 1, "16-mixed"), "precision.device"),
        (Hardware("cpu", 1, 1, "64"), "precision.unknown"),
        (Hardware("cpu", 0), "training.devices"),
        (Hardware("cpu", "two"), "training.devices"),
    ],
)
def test_what_this_machine_cannot_do_is_refused(hardware, code):
    with pytest.raises(MedbenchError) as error:
        present_hardware(hardware)
    assert error.value.code == code


def test_an_emulated_precision_is_refused_unless_forced(monkeypatch):
    monkeypatch.setattr(devices, "computes_bf16", lambda: False)
    with pytest.raises(MedbenchError) as error:
        present_hardware(Hardware("cpu", 1, 1, "bf16-mixed"))
    assert error.value.code == "precision.emulated"
    assert "--force-precision" in error.value.hint
    assert present_hardware(Hardware("cpu", 1, 1, "bf16-mixed", force_precision=True)).deterministic
    monkeypatch.setattr(devices, "computes_bf16", lambda: True)
    assert present_hardware(Hardware("cpu", 1, 1, "bf16-mixed")).devices == 1


def test_hardware_of_a_gpu_machine(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    every = present_hardware(Hardware())
    assert (every.accelerator, every.devices, every.deterministic) == ("cuda", 8, False)
    assert every.workers > 0
    facts = every.facts(24)
    assert facts["effective_batch"] == 24
    assert facts["tf32"]
    assert "over 8 devices" in every.describe(24)
    exact = present_hardware(Hardware(deterministic=True, devices=2, precision="bf16-mixed"))
    assert not exact.facts(24)["tf32"]
    assert exact.facts(24) != facts
    assert present_hardware(Hardware("cuda:3")).devices == 1
    assert [hardware_for(Hardware(), batch).devices for batch in (24, 8, 3, 1)] == [8, 8, 3, 1]
    assert hardware_for(Hardware(nodes=2, passes=2), 24).devices == 6
    assert hardware_for(Hardware(devices=8), 2).devices == 8, "what is asked for is refused, not changed"
    with pytest.raises(MedbenchError):
        present_hardware(Hardware("cuda", 9))
