"""Lightning module for boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medbench.core.sample import Boxes
from medbench.metrics.tasks.detection import coco_map
from medbench.training.box_data import Batch, Target
from medbench.training.recipes import BoxRecipe
from medbench.training.task import NetworkTask

Pair = tuple[Boxes, Boxes]


class BoxTask(NetworkTask):
    """Learns boxes by the losses that a detector of torchvision's interface returns.

    Args:
        network: returns a dictionary of losses in training, else a dictionary of ``boxes``, ``labels`` and
            ``scores`` for each image.
        recipe: settings of the training.
        num_classes: classes of boxes.
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of an epoch, which a warm-up does not exceed.
    """

    validation_score = "validation_map"
    recipe: BoxRecipe

    def __init__(
        self,
        network: nn.Module,
        recipe: BoxRecipe,
        num_classes: int,
        total_steps: int,
        *,
        steps_per_epoch: int = 1,
    ) -> None:
        super().__init__(network, recipe, num_classes, total_steps)
        self.steps_per_epoch = steps_per_epoch
        self.held_out: list[Pair] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum of the detector's losses."""
        images, targets = batch
        losses: dict[str, Tensor] = self.network(images, targets)
        loss = torch.stack([*losses.values()]).sum()
        self.log("loss", loss, batch_size=len(images))
        return self.shared(loss, len(images))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep detections on held-out images with their references."""
        images, targets = batch
        if not self.counts(batch_idx):
            return
        detections = self.network(images)
        for target, detection in zip(targets, detections, strict=True):
            self.held_out.append((_boxes(target), _boxes(detection)))

    def on_validation_epoch_end(self) -> None:
        """COCO's mean average precision on held-out images, of all processes together."""
        pairs, self.held_out = self.held_out, []
        if self.trainer.world_size > 1:
            everywhere: list[list[Pair] | None] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(everywhere, pairs)
            pairs = [pair for part in everywhere for pair in part or ()]
        value = coco_map([truth for truth, _ in pairs], [guess for _, guess in pairs])
        self.log(self.validation_score, 0.0 if value is None else value)

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer and schedule."""
        if self.recipe.schedule != "warmup_steps":
            return super().configure_optimizers()
        optimizer = self.make_optimizer()
        warmup = max(1, min(self.recipe.warmup_steps, self.steps_per_epoch - 1))

        def factor(step: int) -> float:
            rise = min(1.0, (step + 1) / warmup)
            falls = sum(step >= self.total_steps * share / 13 for share in (8, 11))
            return rise * 0.1**falls

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _boxes(image: Target) -> Boxes:
    corners = image["boxes"].float().cpu().numpy().astype(np.float64).reshape(-1, 4)
    scores = image.get("scores")
    return Boxes(
        corners,
        np.ones(len(corners)) if scores is None else scores.float().cpu().numpy().astype(np.float64),
        image["labels"].cpu().numpy().astype(np.int64),
    )
