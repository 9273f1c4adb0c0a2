"""The Lightning module of DMAF-Net: its total, where gradients go, and training that resumes."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import medbench
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.core.sample import TrainingVolume, VolumeSample
from medbench.inference.volumes import VolumeContract
from medbench.training.distillation_task import ModalityDistillationTask
from medbench.training.fit import Hardware, Learner, fit
from medbench.training.modality_distillation import (
    class_shares,
    deep_supervision,
    prototype_loss,
    relation_losses,
    weighted_cross_entropy_dice,
)
from medbench.training.recipes import list_recipes, load_recipe
from medbench.training.result_files import RESUME, SUMMARY, training_summary
from medbench.training.volumes import VolumeData

SIDE = 32
NAMES = ("one", "two")


def network():
    torch.manual_seed(0)
    return medbench.create_model("dmaf_net.test", in_channels=2, num_classes=2, channels=[4, 4, 8, 8, 16])


def task(rarity=(1.0, 1.0), **changes):
    recipe = load_recipe("dmaf_net", "quick", schedule="constant", **changes)
    return ModalityDistillationTask(network(), recipe, 2, 10, rarity=rarity)


def batch(*present):
    generator = torch.Generator().manual_seed(3)
    labels = torch.zeros(len(present), SIDE, SIDE, SIDE, dtype=torch.int64)
    labels[:, 4:20, 8:24, 6:22] = 1
    mask = torch.tensor(present)
    patches = torch.randn(len(present), 2, SIDE, SIDE, SIDE, generator=generator) * 0.5
    patches[:, 0] += 2 * labels
    patches[:, 1] -= labels
    return patches * mask[:, :, None, None, None], labels, mask


def reached(module):
    return {name for name, p in module.named_parameters() if p.grad is not None and bool(p.grad.any())}


def test_total_is_the_stated_sum():
    learner = task(rarity=(1.5, 3.0)).eval()
    monitor = learner.monitor
    monitor.preference.copy_(torch.tensor([0.8, 1.1661904]))
    patches, labels, present = batch((True, True), (True, False))
    with torch.no_grad():
        found = learner.total_loss(patches, labels, present)
        paths = learner.network.paths(patches, present)
        shares = class_shares(labels, 2, paths.joint.shape[2:])
        expected = weighted_cross_entropy_dice(paths.logits, labels).sum()
        expected += deep_supervision(paths.deep, labels).sum()
        gates = monitor.open_sum.tolist()
        assert sorted(gates) == [0.0, 1.0]
        for number in range(2):
            here = present[:, number]
            student, teacher = paths.modalities[number][here], paths.joint[here]
            spread, attended = relation_losses(learner.network.relation, student, teacher)
            beta, omega = float(monitor.preference[number]), (1.5, 3.0)[number]
            alone = weighted_cross_entropy_dice(paths.separate[number], labels[here]).sum()
            prototype = prototype_loss(student, teacher, shares[here]).sum()
            relation = 0.5 * beta * (spread + attended).sum()
            expected += omega * (gates[number] * (beta * alone + 0.1 * prototype) + relation)
    torch.testing.assert_close(found, expected)


def test_mixed_precision_changes_the_total_a_little():
    learner, other = task().eval(), task().eval()
    with torch.no_grad():
        expected = learner.total_loss(*batch((True, True), (True, False)))
        with torch.autocast("cpu", torch.bfloat16):
            found = other.total_loss(*batch((True, True), (True, False)))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(expected), rel=0.02)


def test_gaps_that_the_monitor_sees_are_means_over_the_samples_that_have_the_modality():
    one, two = task().eval(), task().eval()
    patches, labels, present = batch((True, True), (True, True))
    with torch.no_grad():
        one.total_loss(patches[:1], labels[:1], present[:1])
        two.total_loss(patches[:1].repeat(2, 1, 1, 1, 1), labels[:1].repeat(2, 1, 1, 1), present)
    torch.testing.assert_close(one.monitor.usual, two.monitor.usual)
    assert two.monitor.samples.tolist() == [2.0, 2.0]


def test_distillation_does_not_move_the_fusion():
    learner = task()
    patches, labels, present = batch((True, True))
    paths = learner.network.paths(patches, present)
    relation = relation_losses(learner.network.relation, paths.modalities[0], paths.joint)
    shares = class_shares(labels, 2, paths.joint.shape[2:])
    (sum(relation) + prototype_loss(paths.modalities[0], paths.joint, shares)).sum().backward()
    parts = {name.split(".")[0] for name in reached(learner.network)}
    assert parts == {"encoders", "relation"}
    assert reached(learner.network.encoders[0])
    assert not reached(learner.network.encoders[1])


def test_a_modality_alone_reaches_its_encoder_and_the_shared_decoder():
    learner = task()
    patches, labels, present = batch((True, True))
    weighted_cross_entropy_dice(learner.network.paths(patches, present).separate[1], labels).sum().backward()
    assert {name.split(".")[0] for name in reached(learner.network)} == {"encoders", "shared_decoder"}
    assert not reached(learner.network.encoders[0])


def test_a_missing_modality_gets_no_gradient_from_the_total():
    learner = task()
    learner.total_loss(*batch((True, False))).backward()
    assert reached(learner.network.encoders[0])
    assert not reached(learner.network.encoders[1])
    gradients = [parameter.grad for parameter in learner.network.encoders[1].parameters()]
    assert all(gradient is not None for gradient in gradients)


def test_no_structure_in_the_patch_is_no_problem():
    learner = task()
    patches, labels, present = batch((True, True))
    loss = learner.total_loss(patches, torch.zeros_like(labels), present)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in learner.network.parameters())


def test_rates_of_the_encoders_are_scaled_for_the_step_alone():
    learner = task(learning_rate=0.25)
    optimizer = learner.configure_optimizers()
    groups = optimizer.param_groups
    assert [len(group["params"]) for group in groups[:2]] == [
        len(list(encoder.parameters())) for encoder in learner.network.encoders
    ]
    assert sum(len(group["params"]) for group in groups) == len(list(learner.network.parameters()))
    monitor = learner.monitor
    monitor.observe(torch.tensor([[1.0, 3.0]] * 3), torch.ones(2))
    used = []

    class Recorder:
        param_groups = groups

        def step(self, closure=None):
            used.extend(group["lr"] for group in groups)

    learner.optimizer_step(0, 0, Recorder(), None)
    assert used == pytest.approx([0.25 * 0.5, 0.25 * 1.5, 0.25])
    assert [group["lr"] for group in groups] == [0.25] * 3


def test_every_parameter_decays_or_matrices_alone_as_the_recipe_says():
    for name in ("default", "complete", "myops2020", "quick"):
        assert load_recipe("dmaf_net", name).decay == "all", "PASSION's AdamW decays every parameter"
    learner = task(decay="matrices", weight_decay=0.5)
    decays = {
        id(parameter): group["weight_decay"]
        for group in learner.configure_optimizers().param_groups
        for parameter in group["params"]
    }
    of_network = list(learner.network.parameters())
    assert {id(parameter) for parameter in of_network} == decays.keys()
    assert all(decays[id(parameter)] == (0.5 if parameter.ndim > 1 else 0.0) for parameter in of_network)
    for number, encoder in enumerate(learner.network.encoders):
        numbers = {
            group.get("modality")
            for group in learner.configure_optimizers().param_groups
            if {id(p) for p in group["params"]} & {id(p) for p in encoder.parameters()}
        }
        assert numbers == {number}


def test_losses_fall_on_two_cases():
    learner = task(learning_rate=4e-3)
    optimizer = learner.configure_optimizers()
    patches, labels, present = batch((True, True), (True, False))
    losses = []
    for step in range(8):
        torch.manual_seed(step)
        optimizer.zero_grad()
        learner.term_sums.zero_()
        learner.total_loss(patches, labels, present).backward()
        optimizer.step()
        losses.append(learner.term_sums[:6].clone())
    first, last = losses[0], losses[-1]
    for number, name in ((0, "fused"), (1, "deep"), (2, "alone"), (4, "attention")):
        assert last[number] < 0.9 * first[number], name


def test_a_network_without_paths_is_refused():
    with pytest.raises(MedbenchError) as error:
        ModalityDistillationTask(nn.Conv3d(2, 2, 1), load_recipe("dmaf_net", "quick"), 2, 10)
    assert error.value.code == "recipe.loss"


def training_volumes(count=3):
    def load(number):
        generator = np.random.default_rng(number)
        labels = np.zeros((34, 36, 40), np.uint8)
        corner = generator.integers(3, 15, 3)
        labels[tuple(slice(at, at + 12) for at in corner)] = 1
        array = np.zeros((2, *labels.shape), np.float32)
        array[:, 1:-1, 1:-1, 1:-1] = 100 + 10 * generator.standard_normal((2, 32, 34, 38))
        array[0] += 40 * labels
        sample = VolumeSample(Case(f"c{number}", {}, {}, f"p{number}"), NAMES, array, (True, True))
        return sample, labels

    return [TrainingVolume(f"c{n}", f"p{n}", lambda n=n: load(n), (), (True, n != 1)) for n in range(count)]


CONTRACT = VolumeContract(SIDE, "scaled", "uniform", True)


def recipe(**changes):
    return load_recipe(
        "dmaf_net", "quick", **{"epochs": 2, "patches": 1, "hide_sequences": False, "seed": 5, **changes}
    )


def test_patches_show_what_their_volume_may(tmp_path):
    data = VolumeData(training_volumes(), recipe(), CONTRACT, tmp_path)
    assert data.rarity() == [1.0, 1.5]
    for epoch in range(3):
        patch, _, present = data.dataset[epoch, 1]
        assert present.tolist() == [True, False]
        assert not patch[1].any()
        assert patch[0].any()
    assert data.dataset[-1, 1][2].tolist() == [True, True]
    hidden = VolumeData(training_volumes(), recipe(hide_sequences=True), CONTRACT, tmp_path)
    assert hidden.rarity() == pytest.approx([3 / (2 / 3 + 1 + 2 / 3), 3 / (2 / 3 + 2 / 3)])
    shown = {tuple(hidden.dataset[epoch, 0][2].tolist()) for epoch in range(30)}
    assert shown == {(True, True), (True, False), (False, True)}


def test_volumes_are_prepared_once(tmp_path):
    volumes = training_volumes(1)
    first = VolumeData(volumes, recipe(), CONTRACT, tmp_path).dataset[2, 0]
    unreadable = [dataclasses.replace(volume, load=None) for volume in volumes]
    again = VolumeData(unreadable, recipe(), CONTRACT, tmp_path).dataset[2, 0]
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_share_of_patches_on_a_structure(tmp_path, share):
    data = VolumeData(
        training_volumes(),
        recipe(structure_share=share, image_size=8, augmentation="none"),
        CONTRACT,
        tmp_path,
    )
    hits = [bool(data.dataset[epoch, 0][1][4, 4, 4] == 1) for epoch in range(20)]
    assert all(hits) if share == 1 else sum(hits) < 12


def train(folder, epochs, cache):
    fit(
        Learner(network, CONTRACT, 2),
        training_volumes(2),
        recipe(epochs=epochs, schedule="constant"),
        folder,
        {"model": "dmaf_net.test"},
        hardware=Hardware("cpu", 1),
        progress=SilentProgress(),
        cache=cache,
    )
    return training_summary(folder), torch.load(folder / "weights.pt", weights_only=True)


def test_interrupted_training_ends_with_the_same_weights_and_the_same_history(tmp_path, monkeypatch):
    whole, expected = train(tmp_path / "whole", 2, tmp_path / "cache")

    class Stopped(Exception):
        pass

    start = ModalityDistillationTask.on_train_epoch_start

    def stop_at_the_second_epoch(self):
        if self.current_epoch == 1:
            raise Stopped
        start(self)

    with monkeypatch.context() as patched:
        patched.setattr(ModalityDistillationTask, "on_train_epoch_start", stop_at_the_second_epoch)
        with pytest.raises(Stopped):
            train(tmp_path / "halves", 2, tmp_path / "cache")
    assert (tmp_path / "halves" / RESUME).exists()
    assert not (tmp_path / "halves" / SUMMARY).exists()
    resumed, found = train(tmp_path / "halves", 2, tmp_path / "cache")
    assert resumed["resumed"]
    assert not whole["resumed"]
    assert len(whole["history"]) == 2
    assert resumed["history"] == whole["history"]
    states = [
        next(v for v in kept.values() if isinstance(v, dict) and "decoder.head.weight" in v)
        for kept in (expected, found)
    ]
    assert states[0].keys() == states[1].keys()
    for key, tensor in states[0].items():
        assert torch.equal(tensor, states[1][key]), key


@pytest.mark.parametrize("name", ["default", "complete", "quick"])
def test_recipes(name):
    assert name in list_recipes("dmaf_net")
    settings = load_recipe("dmaf_net", name)
    learner = ModalityDistillationTask(network(), settings, 2, 10)
    assert learner.configure_optimizers()["optimizer"].defaults["amsgrad"]
    if name == "default":
        assert settings.missing_rates == "t1=0.2 t1ce=0.4 flair=0.6 t2=0.8"
        assert (settings.image_size, settings.epochs, settings.learning_rate) == (80, 300, 2e-4)


def test_patches_of_nothing_but_background_are_drawn_again(tmp_path):
    def load():
        array = np.zeros((2, 64, 64, 64), np.float32)
        array[:, 20:26, 2:62, 2:62] = 100 + np.random.default_rng(0).standard_normal((2, 6, 60, 60))
        array[:, 40:64, 63, 63] = 50
        array[:, 0, 0, 0] = 50
        labels = np.zeros((64, 64, 64), np.uint8)
        return VolumeSample(Case("c", {}, {}, "p"), NAMES, array, (True, True)), labels

    volume = TrainingVolume("c", "p", load, (), (True, True))
    settings = recipe(image_size=8, augmentation="none")
    data = VolumeData([volume], settings, VolumeContract(8, "scaled", "uniform", True), tmp_path)
    for epoch in range(30):
        patch = data.dataset[epoch, 0][0]
        assert (patch.amax(dim=(1, 2, 3)) > patch.amin(dim=(1, 2, 3))).all()


def test_a_step_without_finite_gradients_is_left_out_and_ten_end_the_training():
    learner = task()
    optimizer = optimizer_of(learner)
    parameters = list(learner.network.parameters())

    def step(value):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        parameters[0].grad.fill_(value)
        learner.configure_gradient_clipping(optimizer)
        optimizer.step()
        return [parameter.detach().clone() for parameter in parameters]

    before = step(1.0)
    for number in range(1, 10):
        after = step(float("inf"))
        assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
        assert int(learner.guard.streak) == int(learner.guard.left_out) == number
    with pytest.raises(MedbenchError) as error:
        step(float("nan"))
    assert error.value.code == "training.diverged"


def optimizer_of(learner):
    settings = learner.configure_optimizers()
    return settings if isinstance(settings, torch.optim.Optimizer) else settings["optimizer"]


def test_a_step_that_is_left_out_moves_no_weight():
    learner, undisturbed = task(), task()
    kinds = [optimizer_of(each) for each in (learner, undisturbed)]

    def step(each, optimizer, value):
        parameters = list(each.network.parameters())
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, value)
        each.configure_gradient_clipping(optimizer)
        optimizer.step()
        return [parameter.detach().clone() for parameter in parameters]

    first = step(learner, kinds[0], 1.0)
    second = step(learner, kinds[0], float("nan"))
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    third = step(learner, kinds[0], 1.0)
    assert not all(torch.equal(one, two) for one, two in zip(first, third, strict=True))
    step(undisturbed, kinds[1], 1.0)
    alike = step(undisturbed, kinds[1], 1.0)
    assert all(torch.equal(one, two) for one, two in zip(third, alike, strict=True))
    assert int(learner.guard.streak) == 0


def test_a_case_of_constant_volumes_is_named_once(tmp_path, caplog):
    def load():
        array = np.zeros((2, 16, 16, 16), np.float32)
        array[0] = np.random.default_rng(0).standard_normal((16, 16, 16))
        labels = np.zeros((16, 16, 16), np.uint8)
        return VolumeSample(Case("flat", {}, {}, "p"), NAMES, array, (True, True)), labels

    volume = TrainingVolume("flat", "p", load, (), (True, True))
    settings = recipe(image_size=8, augmentation="none")
    data = VolumeData([volume], settings, VolumeContract(8, "scaled", "uniform", True), tmp_path)
    for epoch in range(3):
        data.dataset[epoch, 0]
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("flat: 50 patches in succession were constant")
