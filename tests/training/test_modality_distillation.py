"""Losses between modalities: their values in known cases, and where their gradients go."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from medbench.models.blocks.modality_fusion import RelationLayers
from medbench.training.modality_distillation import (
    class_shares,
    covariance,
    deep_supervision,
    prototype_loss,
    prototypes,
    relation_losses,
    weighted_cross_entropy_dice,
)


def features(seed, channels=8, side=3, n=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, channels, side, side, side, generator=generator, requires_grad=True)


def labels(side=6, n=2):
    return torch.randint(0, 3, (n, side, side, side), generator=torch.Generator().manual_seed(7))


@pytest.fixture
def relation():
    torch.manual_seed(0)
    return RelationLayers(8)


def test_segmentation_loss_by_hand():
    truth = torch.tensor([[0, 0, 0, 1]])
    probability = torch.tensor([[[0.9, 0.6, 0.5, 0.001], [0.1, 0.4, 0.5, 0.999]]])
    entropy = -(0.25 * (math.log(0.9) + math.log(0.6) + math.log(0.5)) + 0.75 * math.log(0.999)) / 4
    dice = (2 * 2.0 / (3 + 2.001) + 2 * 0.999 / (1 + 1.999)) / 2
    found = weighted_cross_entropy_dice(probability.log(), truth)
    assert found.tolist() == pytest.approx([entropy + 1 - dice], rel=1e-5)


def test_improbable_classes_count_as_a_two_hundredth():
    truth = torch.tensor([[0, 1]])
    worse = weighted_cross_entropy_dice(torch.tensor([[[0.0, 30.0], [0.0, -30.0]]]), truth)
    entropy = -0.5 * (math.log(0.5) + math.log(0.005)) / 2
    dice = (2 * 0.5 / 2.5 + 0 / 1.5) / 2
    assert worse.tolist() == pytest.approx([entropy + 1 - dice], rel=1e-5)


def test_a_perfect_answer_with_one_class_costs_what_the_absent_ones_do():
    truth = torch.zeros(1, 4, 4, 4, dtype=torch.int64)
    logits = functional.one_hot(truth, 3).movedim(-1, 1) * 100.0
    assert weighted_cross_entropy_dice(logits, truth).tolist() == pytest.approx([2 / 3], abs=1e-6)


def test_coarser_logits_weigh_half_of_the_finer():
    truth = labels()
    coarse = [torch.zeros(2, 3, side, side, side) for side in (3, 2)]
    flat = weighted_cross_entropy_dice(torch.zeros(2, 3, 6, 6, 6), truth)
    torch.testing.assert_close(deep_supervision(coarse, truth), flat * (1 / 2 + 1 / 4))


def test_covariance_is_numpy_s():
    tokens = torch.randn(1, 27, 8)
    torch.testing.assert_close(covariance(tokens)[0], torch.cov(tokens[0].T))


def test_equal_features_behind_the_identity_have_one_covariance(relation):
    nn.init.eye_(relation.map.weight)
    same = features(1)
    assert relation_losses(relation, same, same)[0].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert (relation_losses(relation, 2 * same, same)[0] > 0.1).all()


def test_relation_sends_gradients_to_student_and_layers_only(relation):
    student, teacher = features(1), features(2)
    spread, found = relation_losses(relation, student, teacher)
    assert spread.shape == found.shape == (2,)
    spread.sum().backward(retain_graph=True)
    assert student.grad.any()
    assert teacher.grad is None
    reached = {name for name, parameter in relation.named_parameters() if parameter.grad is not None}
    assert reached <= {"map.weight", "map.bias"}
    assert "map.weight" in reached
    student.grad = None
    relation.zero_grad()
    found.sum().backward()
    assert student.grad.any()
    assert teacher.grad is None
    reached = {name.split(".")[0] for name, p in relation.named_parameters() if p.grad is not None}
    assert reached == {"query", "key", "value", "output"}


def test_prototypes_are_means_over_the_classes():
    truth = labels(side=3)
    shares = class_shares(truth, 3, (3, 3, 3))
    values = features(3)
    found = prototypes(values, shares)
    for number in range(3):
        inside = values[1].flatten(1)[:, truth[1].flatten() == number]
        torch.testing.assert_close(found[1, number], inside.mean(dim=1), rtol=1e-4, atol=1e-5)


def test_shares_keep_what_a_nearest_label_would_lose():
    truth = torch.zeros(1, 8, 8, 8, dtype=torch.int64)
    truth[0, 1, 1, 1] = 2
    shares = class_shares(truth, 3, (2, 2, 2))
    assert shares[0, 2].sum() == pytest.approx(1 / 64)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(1, 2, 2, 2))


def test_prototype_loss_is_zero_for_equal_features_at_any_scale():
    shares = class_shares(labels(), 3, (3, 3, 3))
    same = features(4)
    assert prototype_loss(same, same, shares).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert prototype_loss(5 * same, same, shares).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert prototype_loss(-same, same, shares).tolist() == pytest.approx([2, 2], abs=1e-5)


def test_classes_that_are_not_there_do_not_count():
    student, teacher = features(5), features(6)
    few = class_shares(labels().clamp(max=1), 2, (3, 3, 3))
    many = class_shares(labels().clamp(max=1), 5, (3, 3, 3))
    torch.testing.assert_close(prototype_loss(student, teacher, few), prototype_loss(student, teacher, many))
    background = class_shares(torch.zeros_like(labels()), 3, (3, 3, 3))
    assert prototype_loss(student, teacher, background).isfinite().all()


def test_prototype_loss_sends_gradients_to_the_student_only():
    student, teacher = features(5), features(6)
    prototype_loss(student, teacher, class_shares(labels(), 3, (3, 3, 3))).sum().backward()
    assert student.grad.any()
    assert teacher.grad is None


def test_no_sample_with_the_modality_costs_nothing(relation):
    nothing, truth = features(1, n=0), labels(n=0)
    values = [
        *relation_losses(relation, nothing, nothing),
        prototype_loss(nothing, nothing, class_shares(truth, 3, (3, 3, 3))),
        weighted_cross_entropy_dice(torch.zeros(0, 3, 6, 6, 6), truth),
    ]
    assert [value.sum().item() for value in values] == [0.0] * 4


@pytest.mark.parametrize("number", range(3), ids=["covariance", "attention", "prototype"])
def test_each_distillation_draws_the_student_to_the_teacher(relation, number):
    student, teacher = features(1), features(2)
    shares = class_shares(labels(), 3, (3, 3, 3))

    def losses():
        return (
            *relation_losses(relation, student, teacher),
            prototype_loss(student, teacher, shares),
        )[number].sum()

    optimizer = torch.optim.Adam([student, *relation.parameters()], lr=0.03)
    first = losses().detach()
    for _ in range(10):
        optimizer.zero_grad()
        losses().backward()
        optimizer.step()
    assert losses() < 0.9 * first
