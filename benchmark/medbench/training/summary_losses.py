"""Losses between predicted and chosen frames, as FullTransNet's program defines them, from sums over parts.

Every loss is a function of a few sums over all entries, so that a matrix of summary frames by frames is never
held as a whole. Source: ``ziadtarek12/FullTransNet@9ace789``, read for facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from medbench.core.registry import unknown_name

_FOCAL_WEIGHTS = 0.25 + 0.75
_POWER = 1.4


@dataclass(frozen=True, slots=True)
class SummaryLoss:
    """A loss in two steps.

    Attributes:
        sums: probabilities and targets of some entries, both of one shape, to sums ``(k,)``.
        value: sums over all entries, and their number, to the loss.
    """

    sums: Callable[[Tensor, Tensor], Tensor]
    value: Callable[[Tensor, int], Tensor]

    def __call__(self, probabilities: Tensor, targets: Tensor) -> Tensor:
        """The loss of entries that are all there."""
        return self.value(self.sums(probabilities, targets), targets.numel())


def summary_loss(name: str, smooth: float = 100.0) -> SummaryLoss:
    """The loss of that name.

    ``bce`` and ``mse`` are means over the entries; ``focal`` has γ = 2 and weights that add up to one, over
    the number of chosen entries; ``jaccard``, ``power_jaccard`` (exponent 1.4), ``tversky`` (both weights
    0.5) and ``focal_tversky`` (0.1 for missed, 0.9 for wrongly chosen entries, squared) are smoothed and
    scaled by ``smooth``, which is fixed at 100 for the last three.

    Args:
        name: of the loss.
        smooth: of ``jaccard``.

    Raises:
        MedbenchError: ``loss.unknown``.
    """
    losses: dict[str, SummaryLoss] = {
        "bce": SummaryLoss(_cross_entropies, _mean),
        "mse": SummaryLoss(_squares, _mean),
        "focal": SummaryLoss(_focal, lambda sums, count: sums[0] / sums[1]),
        "jaccard": SummaryLoss(_overlaps, lambda sums, count: _jaccard(sums, smooth)),
        "power_jaccard": SummaryLoss(
            lambda p, y: _overlaps(p, y, _POWER), lambda sums, count: _jaccard(sums, 100.0)
        ),
        "tversky": SummaryLoss(_mistakes, lambda sums, count: (1 - _tversky(sums, 0.5, 0.5)) * 100.0),
        "focal_tversky": SummaryLoss(
            _mistakes, lambda sums, count: (1 - _tversky(sums, 0.1, 0.9)) ** 2 * 100.0
        ),
    }
    if name not in losses:
        raise unknown_name("loss", name, losses)
    return losses[name]


def _mean(sums: Tensor, count: int) -> Tensor:
    return sums[0] / count


def _cross_entropies(p: Tensor, y: Tensor) -> Tensor:
    return functional.binary_cross_entropy(p, y, reduction="sum")[None]


def _squares(p: Tensor, y: Tensor) -> Tensor:
    return ((p - y) ** 2).sum()[None]


def _focal(p: Tensor, y: Tensor) -> Tensor:
    right = torch.where(y > 0, p, 1 - p)
    return torch.stack([-_FOCAL_WEIGHTS * ((1 - right) ** 2 * right.log()).sum(), y.sum()])


def _overlaps(p: Tensor, y: Tensor, power: float = 1.0) -> Tensor:
    """``Σ y p``, ``Σ y^power`` and ``Σ p^power``."""
    return torch.stack([(y * p).sum(), (y**power).sum(), (p**power).sum()])


def _mistakes(p: Tensor, y: Tensor) -> Tensor:
    """``Σ y p``, ``Σ (1 - y) p`` and ``Σ y (1 - p)``."""
    return torch.stack([(y * p).sum(), ((1 - y) * p).sum(), (y * (1 - p)).sum()])


def _jaccard(sums: Tensor, smooth: float) -> Tensor:
    overlap, reference, prediction = sums
    return (1 - (overlap + smooth) / (reference + prediction - overlap + smooth)) * smooth


def _tversky(sums: Tensor, miss_weight: float, wrong: float) -> Tensor:
    overlap, wrongly, left_out = sums
    return (overlap + 100.0) / (overlap + wrong * wrongly + miss_weight * left_out + 100.0)
