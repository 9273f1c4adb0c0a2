"""The Lightning module of DMAF-Net: segmentation, distillation between modalities, and their monitoring.

The total is that of PASSION with our distillation losses (arXiv 2506.11691 states none):
L = L_fused + L_deep + Σ over the modalities m that are there of ω [ρ β L_alone + 0.5 β (L_covariance +
L_attention) + 0.1 ρ L_prototype], every term summed over the batch. ω, β, ρ and the scale of the learning
rates are those of :class:`medbench.training.modality_monitor.ModalityMonitor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medbench.core.errors import MedbenchError
from medbench.training.losses import SegmentationLoss
from medbench.training.modality_distillation import (
    class_shares,
    deep_supervision,
    prototype_loss,
    relation_losses,
    weighted_cross_entropy_dice,
)
from medbench.training.modality_monitor import ModalityMonitor
from medbench.training.recipes import Recipe
from medbench.training.volumes import VolumeTask

RELATION_WEIGHT = 0.5
PROTOTYPE_WEIGHT = 0.1
_TERMS = ("fused", "deep", "alone", "covariance", "attention", "prototype")


class ModalityDistillationTask(VolumeTask):
    """Trains a network that fuses modalities and also gives outputs of every modality alone.

    Args:
        network: as :class:`medbench.models.dmaf_net.DMAFNet`: with ``paths``, ``encoders`` and ``relation``.
        recipe: settings of the training.
        num_classes: segmentation classes, with the background.
        total_steps: length of the schedule.
        rarity: for each modality, samples of an epoch over samples that show it; ``None`` where all do.

    Attributes:
        history: for every epoch the monitor's report and the mean of every loss term; kept in checkpoints.

    Raises:
        MedbenchError: ``recipe.loss`` for a network without those parts.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        num_classes: int,
        total_steps: int,
        *,
        rarity: Sequence[float] | None = None,
    ) -> None:
        if not hasattr(network, "paths"):
            raise MedbenchError(
                "recipe.loss",
                f"{type(network).__name__} has no paths of single modalities to distil.",
                "Choose dmaf_net, or another loss.",
            )
        super().__init__(network, recipe, num_classes, total_steps, with_mask=True)
        self.monitor = ModalityMonitor(rarity or [1.0] * len(network.encoders))  # type: ignore[arg-type]
        self.history: list[dict[str, list[float]]] = []
        self.register_buffer("term_sums", torch.zeros(len(_TERMS) + 1))
        self.term_sums: Tensor

    def make_loss(self) -> SegmentationLoss:
        """The segmentation loss of the total, summed over the batch."""
        return lambda logits, labels: weighted_cross_entropy_dice(logits, labels).sum()

    def on_train_epoch_start(self) -> None:
        """Add the epoch before to the history: not at its end, where the state to resume from is written."""
        self._close_epoch()

    def on_train_end(self) -> None:
        """Add the last epoch to the history."""
        self._close_epoch()

    def _close_epoch(self) -> None:
        *sums, samples = self.term_sums.tolist()
        if samples:
            self.term_sums.zero_()
            means = {name: [round(total / samples, 6)] for name, total in zip(_TERMS, sums, strict=True)}
            self.history.append({**self.monitor.end_epoch(), **means})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the history in the checkpoint."""
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the history from the checkpoint."""
        self.history = checkpoint["history"]

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Find the samples that have each modality while they are on the CPU, so that no step waits."""
        return (*batch, _samples_with(batch[2]))

    def training_step(self, batch: tuple[Any, ...], batch_idx: int) -> Tensor:
        """Total loss of one batch of patches."""
        loss = self.total_loss(*batch)
        self.log("loss", loss)
        return loss * self.division.parts if self.division.parts > 1 else loss

    def total_loss(
        self, patches: Tensor, labels: Tensor, present: Tensor, samples: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Total loss in full precision of outputs in mixed precision; distillation losses go to the monitor.

        Args:
            patches: ``(N, modalities, depth, height, width)``.
            labels: ``(N, depth, height, width)``.
            present: boolean ``(N, modalities)``.
            samples: for each modality the samples that have it; found from ``present`` if not given.
        """
        samples = _samples_with(present) if samples is None else samples
        paths = self.network.paths(patches, present, samples)  # type: ignore[operator]
        with torch.autocast(patches.device.type, enabled=False):
            return self._weighed(paths, labels, present, samples)

    def _weighed(self, paths: Any, labels: Tensor, present: Tensor, samples: Sequence[Tensor]) -> Tensor:
        relation: Any = self.network.relation
        joint = self.loss(paths.logits, labels)
        deep = deep_supervision(paths.deep, labels).sum()
        shares = class_shares(labels, self.num_classes, paths.joint.shape[2:])
        alone, distillation = [], []
        for number, here in enumerate(samples):
            logits, truth = paths.separate[number], labels[here]
            student, teacher = paths.modalities[number][here], paths.joint[here]
            alone.append(self.loss(logits, truth))
            terms = (
                *relation_losses(relation, student, teacher),
                prototype_loss(student, teacher, shares[here]),
            )
            distillation.append(torch.stack([term.sum() for term in terms]))
        separate, parts = torch.stack(alone), torch.stack(distillation, dim=1)
        gates = self._observed(parts.detach(), present.sum(dim=0))
        sums = [joint, deep, separate.sum(), *parts.sum(dim=1), torch.full_like(joint, len(labels))]
        self.term_sums += torch.stack(sums).detach()
        monitor = self.monitor
        separate_loss = gates * monitor.preference * separate
        separate_loss = separate_loss + RELATION_WEIGHT * monitor.preference * (parts[0] + parts[1])
        separate_loss = separate_loss + PROTOTYPE_WEIGHT * gates * parts[2]
        total: Tensor = joint + deep + (monitor.rarity * separate_loss).sum()
        return total

    def _observed(self, sums: Tensor, counts: Tensor) -> Tensor:
        """Gates of the modalities; processes of a distributed training share their distillation losses."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            totals = torch.cat([sums.flatten(), counts.to(sums.dtype)])
            torch.distributed.all_reduce(totals)
            sums, counts = totals[: sums.numel()].view_as(sums), totals[sums.numel() :]
        return self.monitor.observe(sums / counts.clamp(min=1), counts)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups by ``decay`` of each modality's encoder, whose rate the monitor scales, and of the rest."""
        encoders: Any = self.network.encoders
        own = {id(parameter) for parameter in encoders.parameters()}
        rest = [parameter for parameter in self.network.parameters() if id(parameter) not in own]
        of_encoders = [
            {**group, "modality": number}
            for number, encoder in enumerate(encoders)
            for group in self.decay_groups(encoder.parameters())
        ]
        return of_encoders + self.decay_groups(rest)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Step at the learning rates that the monitor scaled, then restore those of the schedule."""
        groups = [group for group in optimizer.param_groups if "modality" in group]
        rates = [group["lr"] for group in groups]
        scales: Any = self.monitor.rate_scale
        scales = scales if scales.is_cuda else scales.tolist()
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * scales[group["modality"]]
        try:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        finally:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate


def _samples_with(present: Tensor) -> list[Tensor]:
    """For each modality the places of the samples that have it, from ``(N, modalities)``."""
    return [here.nonzero().flatten() for here in present.T]
