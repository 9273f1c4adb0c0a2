"""Losses of DMAF-Net (arXiv 2506.11691) as reconstructed: segmentation, relation and prototype distillation.

The segmentation losses are those of Jun-Jie-Shi/PASSION@fd308b5 and dyh127/RFNet@1e475fa. Of the two
distillations the paper gives names and inputs: *covariance consistency* and *masked attention alignment* (the
relation), and *prototypes* of the classes; the formulas are ours. Student is one modality's deepest features,
teacher the fused ones, from which no gradient comes back, as in PASSION: without that a student could pull
the fusion towards itself. Every function gives one value a sample; a sample that lacks the modality is left
out by the caller, who also switches mixed precision off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from medbench.models.blocks.modality_fusion import RelationLayers

_LEAST_PROBABILITY = 0.005


def weighted_cross_entropy_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy with greater weights of rare classes, plus soft Dice with the background; ``(N,)``.

    A class with the share s of a sample's voxels has the weight 1 − s; probabilities are at least 0.005. Dice
    has no squares.

    Args:
        logits: ``(N, classes, *sides)``.
        labels: ``(N, *sides)`` class indices.
    """
    probability = logits.float().softmax(dim=1).flatten(2)
    truth = functional.one_hot(labels.flatten(1), logits.shape[1]).transpose(1, 2).to(probability.dtype)
    share = truth.mean(dim=2)
    surprise = -(truth * probability.clamp(min=_LEAST_PROBABILITY, max=1).log()).mean(dim=2)
    overlap = (truth * probability).sum(dim=2)
    size = truth.sum(dim=2) + probability.sum(dim=2)
    return ((1 - share) * surprise).sum(dim=1) + 1 - (2 * overlap / (size + 1e-7)).mean(dim=1)


def deep_supervision(deep: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Segmentation loss of the coarser logits at full size; the i-th finest has the weight 2 to the −i.

    Args:
        deep: ``(N, classes, *coarse sides)``, finest first.
        labels: ``(N, *sides)``.
    """
    total = torch.zeros(len(labels), device=labels.device)
    for place, logits in enumerate(deep, start=1):
        full_size = functional.interpolate(
            logits.float(), labels.shape[1:], mode="trilinear", align_corners=True
        )
        total = total + weighted_cross_entropy_dice(full_size, labels) / 2**place
    return total


def covariance(tokens: Tensor) -> Tensor:
    """Covariance of the channels over the tokens: ``(N, T, C)`` to ``(N, C, C)``, divided by T − 1."""
    deviations = tokens - tokens.mean(dim=1, keepdim=True)
    return deviations.transpose(1, 2) @ deviations / max(1, tokens.shape[1] - 1)


def relation_losses(relation: RelationLayers, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance consistency and masked attention alignment, each ``(N,)``.

    Mean squared differences: between the covariances of the student's tokens after a linear map and of the
    teacher's tokens; and between the attention of the student's tokens to the teacher's and the teacher's
    tokens.

    Args:
        relation: relation layers of the network.
        student: ``(N, C, *sides)`` of one modality.
        teacher: ``(N, C, *sides)`` of all; gets no gradient.
    """
    ours = student.flatten(2).transpose(1, 2).float()
    theirs = teacher.detach().flatten(2).transpose(1, 2).float()
    spread = (covariance(relation.map(ours)) - covariance(theirs)).square().mean(dim=(1, 2))
    alignment = (relation.attend(ours, theirs) - theirs).square().mean(dim=(1, 2))
    return spread, alignment


def prototypes(features: Tensor, shares: Tensor) -> Tensor:
    """Mean features of every class ``(N, classes, C)``, from features and :func:`class_shares`."""
    weights = shares.flatten(2)
    total = weights @ features.float().flatten(2).transpose(1, 2)
    return total / (weights.sum(dim=2, keepdim=True) + 1e-6)


def class_shares(labels: Tensor, num_classes: int, sides: Sequence[int]) -> Tensor:
    """Share of every class in each coarse voxel: labels ``(N, *sides)`` to ``(N, classes, *sides)``."""
    truth = functional.one_hot(labels, num_classes).movedim(-1, 1).float()
    return functional.adaptive_avg_pool3d(truth, list(sides))  # type: ignore[arg-type]


def prototype_loss(student: Tensor, teacher: Tensor, shares: Tensor) -> Tensor:
    """One less the cosine of student's and teacher's prototypes, mean over the present classes; ``(N,)``.

    Args:
        student: ``(N, C, *sides)`` of one modality.
        teacher: ``(N, C, *sides)`` of all; no gradient comes back to it.
        shares: ``(N, classes, *sides)`` of :func:`class_shares`.
    """
    cosine = functional.cosine_similarity(
        prototypes(student, shares), prototypes(teacher.detach(), shares), dim=2
    )
    there = (shares.flatten(2).sum(dim=2) > 0).to(cosine.dtype)
    return ((1 - cosine) * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
