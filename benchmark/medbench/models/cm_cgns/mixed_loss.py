"""The loss of the segmentation networks: ten times the focal loss, less the logarithm of the soft Dice."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

FOCAL_WEIGHT = 10.0
FOCUS = 2.0
SMOOTH = 1.0


class MixedLoss(nn.Module):
    """The focal loss weighs 10; the Dice is of the whole batch, with 1 added above and below."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of logits of the foreground and labels 0 and 1, of one shape."""
        labels = labels.to(logits.dtype)
        return FOCAL_WEIGHT * focal_loss(logits, labels) - soft_dice(logits, labels).log()


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy, each pixel weighed by the square of the share that the wrong class has."""
    entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return ((1 - torch.exp(-entropy)) ** FOCUS * entropy).mean()


def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Dice of probabilities over a whole batch, with 1 added above and below."""
    shares = logits.sigmoid()
    return (2 * (shares * labels).sum() + SMOOTH) / (shares.sum() + labels.sum() + SMOOTH)
