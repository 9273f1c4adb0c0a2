"""Dynamic training monitoring of DMAF-Net (arXiv 2506.11691), as reconstructed.

The paper says that distillation gaps are tracked, losses weighed and gradients scaled. The rule for gates and
preferences is that of Jun-Jie-Shi/PASSION@fd308b5, on gaps of ours; the scale of the gradients is ours too,
and multiplies the learning rate of a modality's encoder, because AdamW divides a constant factor on its
gradients out again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

MEMORY = 0.9
PREFERENCE_BOUNDS = (0.1, 4.0)
SCALE_BOUNDS = (0.5, 2.0)
STEP = 0.01
STEP_GROWTH = 1.5
GROWTH_EPOCHS = (0, 100, 200)


class ModalityMonitor(nn.Module):
    """Distillation gaps of ``M`` modalities, and the weights and learning rates that follow from them.

    The state is in buffers, so that checkpoints hold it.

    Args:
        rarity: weight ω of each modality's losses: samples of an epoch over samples that show the modality.

    Attributes:
        rarity: ω, ``(M,)``.
        preference: β, ``(M,)``; starts at 1, and its norm stays √M.
        gap: G, ``(M,)``: the distillation losses, each divided by its running mean over the modalities,
            summed and averaged over steps with the memory 0.9; 0 until a sample shows the modality.
    """

    rarity: Tensor
    preference: Tensor
    gap: Tensor
    seen: Tensor
    usual: Tensor
    steps: Tensor
    epochs: Tensor
    gap_sum: Tensor
    open_sum: Tensor
    samples: Tensor
    showings: Tensor

    def __init__(self, rarity: Sequence[float]) -> None:
        super().__init__()
        number = len(rarity)
        self.register_buffer("rarity", torch.tensor(rarity, dtype=torch.float32))
        self.register_buffer("preference", torch.ones(number))
        self.register_buffer("gap", torch.zeros(number))
        self.register_buffer("seen", torch.zeros(number, dtype=torch.bool))
        self.register_buffer("usual", torch.zeros(3))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))
        for name in ("gap_sum", "open_sum", "samples", "showings"):
            self.register_buffer(name, torch.zeros(number))

    @torch.no_grad()
    def observe(self, terms: Tensor, counts: Tensor) -> Tensor:
        """Update the gaps by a step's distillation losses; the gate ρ of each modality, 0 or 1.

        A gate is 1 for a modality whose gap is above the mean over the modalities of the step, and for a
        modality that is alone in the step.

        Args:
            terms: covariance, attention and prototype loss of each modality ``(3, M)``, means over the
                samples that have it; values below 0, which only rounding gives, count as 0.
            counts: number of samples that have each modality, ``(M,)``.
        """
        here = counts > 0
        terms = torch.where(here, terms.detach().float().clamp(min=0), 0.0)
        there = here.sum().clamp(min=1)
        mean = terms.sum(dim=1) / there
        self.usual.copy_(torch.where(self.steps > 0, MEMORY * self.usual + (1 - MEMORY) * mean, mean))
        gap = (terms / self.usual.clamp(min=1e-12)[:, None]).sum(dim=0)
        smooth = torch.where(self.seen, MEMORY * self.gap + (1 - MEMORY) * gap, gap)
        self.gap.copy_(torch.where(here, smooth, self.gap))
        self.seen.logical_or_(here)
        above = gap > gap.sum() / there
        gates = (here & (above | (there == 1))).float()
        self.gap_sum += torch.where(here, self.gap * counts, 0.0)
        self.open_sum += gates
        self.samples += counts
        self.showings += here
        self.steps += 1
        return gates

    @property
    def rate_scale(self) -> Tensor:
        """Factor s of the learning rate of each modality's encoder, ``(M,)``: its gap over the mean gap."""
        mean = torch.where(self.seen, self.gap, 0.0).sum() / self.seen.sum()
        return torch.where(self.seen, (self.gap / mean).clamp(*SCALE_BOUNDS), 1.0)

    @torch.no_grad()
    def end_epoch(self) -> dict[str, list[float]]:
        """Raise the preferences of lagging modalities, reset the sums of the epoch, and report its state.

        β ← clip(β − η·RP, 0.1, 4), then scaled to the norm √M; RP = (mean gap − gap) / mean gap of the epoch;
        η = 0.01, and half as much again from the epochs 0, 100 and 200 on. Scaling comes last, so that a
        modality's β may come to lie below 0.1 where another's is far above it.
        """
        growths = sum(int(self.epochs) >= epoch for epoch in GROWTH_EPOCHS)
        step = STEP * STEP_GROWTH**growths
        present = self.samples > 0
        gaps = self.gap_sum / self.samples.clamp(min=1)
        if bool(present.any()):
            mean = gaps[present].mean()
            lead = torch.where(present, (mean - gaps) / mean.clamp(min=1e-12), 0.0)
            preference = (self.preference - step * lead).clamp(*PREFERENCE_BOUNDS)
            self.preference.copy_(math.sqrt(len(preference)) * preference / preference.norm())
        state = {
            "gap": gaps,
            "preference": self.preference,
            "open_gates": self.open_sum / self.showings.clamp(min=1),
            "rate_scale": self.rate_scale,
            "rarity": self.rarity,
        }
        report = {name: [round(value, 6) for value in tensor.tolist()] for name, tensor in state.items()}
        for tensor in (self.gap_sum, self.open_sum, self.samples, self.showings):
            tensor.zero_()
        self.epochs += 1
        return report
