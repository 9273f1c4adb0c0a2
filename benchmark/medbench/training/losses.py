"""Segmentation losses, by the names that recipes use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from medbench.core.errors import MedbenchError

SegmentationLoss = Callable[[Tensor, Tensor], Tensor]


def segmentation_loss(name: str, num_classes: int) -> SegmentationLoss:
    """The loss of a recipe's setting, for logits ``(N, classes, H, W)`` and labels ``(N, H, W)``.

    ``cross_entropy_dice``: half cross entropy, half soft Dice over the structures (not the background).
    ``cross_entropy_argmax_dice``: what the DSSAU-Net training program computes: its Dice is taken on the
    one-hot argmax, summed over the batch and averaged over the structures, so it changes the value
    reported but has no gradient.
    ``cross_entropy_squared_dice``: 0.4 cross entropy and 0.6 soft Dice with squares in its denominator,
    summed over the batch and averaged over all labels with the background: what the training programs of
    BRAU-Net, BRAU-Net++ and MSLAU-Net compute.
    ``batch_dice``: one less the soft Dice of the structures, pooled over the whole batch, 1 added to its
    numerator and denominator; with two labels what MedFormer's training programs for ISIC-2018 and
    CVC-ClinicDB compute with the sigmoid of a single logit, which is the softmax of two that differ by it.
    ``focal_log_dice``: ten times the focal loss, less the logarithm of the soft Dice of the whole batch: what
    CM-CGNS's program computes with one logit, the difference of two here; for one structure.

    Raises:
        MedbenchError: ``recipe.setting`` for ``focal_log_dice`` with several structures.
    """
    return _LOSSES[name](num_classes)


def _cross_entropy_dice(num_classes: int) -> SegmentationLoss:
    from segmentation_models_pytorch.losses import DiceLoss

    class StructureDice(DiceLoss):
        """Soft Dice over the structures; the library's own choice of classes would wait for the device."""

        def aggregate_loss(self, loss: Tensor) -> Tensor:
            return loss[1:].mean()

    soft_dice = StructureDice(mode="multiclass", from_logits=True)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return 0.5 * functional.cross_entropy(logits, labels) + 0.5 * soft_dice(logits, labels)

    return loss


def _cross_entropy_argmax_dice(num_classes: int) -> SegmentationLoss:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        answer = functional.one_hot(logits.argmax(dim=1), num_classes)[..., 1:].float()
        truth = functional.one_hot(labels, num_classes)[..., 1:].float()
        overlap = (answer * truth).sum(dim=(0, 1, 2))
        size = answer.sum(dim=(0, 1, 2)) + truth.sum(dim=(0, 1, 2))
        dice = ((2 * overlap + 1e-6) / (size + 1e-6)).mean()
        return 0.5 * functional.cross_entropy(logits, labels) + 0.5 * (1 - dice)

    return loss


def _cross_entropy_squared_dice(num_classes: int) -> SegmentationLoss:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        probability = logits.softmax(dim=1)
        truth = functional.one_hot(labels, num_classes).movedim(-1, 1).to(probability.dtype)
        overlap = (probability * truth).sum(dim=(0, 2, 3))
        size = probability.square().sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
        dice = ((2 * overlap + 1e-5) / (size + 1e-5)).mean()
        return 0.4 * functional.cross_entropy(logits, labels) + 0.6 * (1 - dice)

    return loss


def _batch_dice(num_classes: int) -> SegmentationLoss:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        probability = logits.softmax(dim=1)[:, 1:]
        truth = functional.one_hot(labels, num_classes).movedim(-1, 1)[:, 1:].to(probability.dtype)
        overlap = (probability * truth).sum()
        return 1 - (2 * overlap + 1) / (probability.sum() + truth.sum() + 1)

    return loss


def _focal_log_dice(num_classes: int) -> SegmentationLoss:
    from medbench.models.cm_cgns.mixed_loss import MixedLoss

    if num_classes != 2:
        raise MedbenchError(
            "recipe.setting",
            f"loss=focal_log_dice is for one structure; there are {num_classes - 1}.",
            "Choose another recipe, or --recipe-set loss=cross_entropy_dice.",
        )
    mixture = MixedLoss()

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        value: Tensor = mixture((logits[:, 1] - logits[:, 0]).float(), labels)
        return value

    return loss


_LOSSES: Mapping[str, Callable[[int], SegmentationLoss]] = {
    "cross_entropy_dice": _cross_entropy_dice,
    "cross_entropy_argmax_dice": _cross_entropy_argmax_dice,
    "cross_entropy_squared_dice": _cross_entropy_squared_dice,
    "batch_dice": _batch_dice,
    "focal_log_dice": _focal_log_dice,
}


def held_out_dice(logits: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Mean over the structures of the Dice over all pixels of a batch; selects the best epoch."""
    classes = logits.argmax(dim=1)
    scores = []
    for label in range(1, num_classes):
        answer, truth = classes == label, labels == label
        size = answer.sum() + truth.sum()
        if size > 0:
            scores.append(2.0 * (answer & truth).sum() / size)
    return torch.stack(scores).mean() if scores else torch.ones(())
