"""Answers of networks that are no numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medbench.core.errors import MedbenchError

if TYPE_CHECKING:
    import torch


def refuse_not_finite(answer: torch.Tensor) -> None:
    """Refuse an answer that is no number, of which no label map and no list of boxes may be made.

    Raises:
        MedbenchError: ``network.not_finite``.
    """
    import torch

    if not bool(torch.isfinite(answer).all()):
        raise MedbenchError(
            "network.not_finite",
            "The network's answer holds NaN or infinity.",
            "Use --precision fp32, or other weights.",
        )
