"""Clipping of gradients, and steps that are left out because their gradients are not finite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from medbench.core.errors import MedbenchError
from medbench.training.host_values import HostValue

BAD_STEPS = 10
SCALED_BAD_STEPS = BAD_STEPS + 17
"""With a gradient scaler: its scale falls from 65536 below 1 in 17 steps, which tell nothing of the net."""


class GradientGuard(nn.Module):
    """Clips a step's gradients, and leaves the step out where they are not finite.

    Weights and the optimizer's averages stay as they are in a step that is left out. The counts are in
    buffers, so that checkpoints hold them; they are read without waiting for the device.

    Attributes:
        streak: steps left out in succession.
        left_out: steps left out so far.
    """

    streak: Tensor
    left_out: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("streak", torch.zeros((), dtype=torch.int64))
        self.register_buffer("left_out", torch.zeros((), dtype=torch.int64))
        self.seen = HostValue()

    def before_step(
        self, optimizer: torch.optim.Optimizer, clip: float = 0.0, scaler: torch.amp.GradScaler | None = None
    ) -> None:
        """Unscale, clip and count the gradients of an optimizer that is about to step.

        Args:
            optimizer: a fused one, which leaves a step out by its own ``found_inf``.
            clip: largest norm of the whole gradient; 0 does not clip.
            scaler: of the loss, in half precision; it leaves bad steps out by itself.

        Raises:
            MedbenchError: ``training.diverged`` after ten steps left out in succession.
        """
        if scaler is not None:
            scaler.unscale_(optimizer)
        parameters = list(_with_gradient(optimizer))
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if clip:
            nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        bad = ~norm.isfinite()
        self.streak.copy_((self.streak + 1) * bad)
        self.left_out += bad
        if scaler is None:
            optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        self._stop_if_diverged(BAD_STEPS if scaler is None else SCALED_BAD_STEPS)

    def _stop_if_diverged(self, most: int) -> None:
        self.seen.offer(self.streak)
        if self.seen.value >= most:
            raise MedbenchError(
                "training.diverged",
                f"The gradients of {most} steps in succession are not finite.",
                "Lower the learning rate, or look for constant images in the data.",
            )


def _with_gradient(optimizer: Any) -> Iterable[nn.Parameter]:
    return (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
