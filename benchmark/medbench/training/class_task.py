"""Lightning module for classes of whole images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.data.mixup import Mixup, mixup_target
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassRecall

from medbench.inference.decoding import outputs_by_task
from medbench.training.class_data import drawing
from medbench.training.recipes import ImageClassRecipe
from medbench.training.task import NetworkTask


class ImageClassTask(NetworkTask):
    """Learns classes of whole images, by DeiT's means where the recipe asks for them.

    Args:
        network: whatever returns image logits.
        recipe: how.
        num_classes: image classes.
        total_steps: optimiser steps of the whole training.
        tasks: what the network returns, in its order.
        class_counts: training images of each class.
    """

    validation_score = "validation_balanced_accuracy"
    task = "image_classes"
    recipe: ImageClassRecipe

    def __init__(
        self,
        network: nn.Module,
        recipe: ImageClassRecipe,
        num_classes: int,
        total_steps: int,
        *,
        tasks: Sequence[str] = ("image_classes",),
        class_counts: Sequence[int] = (),
    ) -> None:
        super().__init__(network, recipe, num_classes, total_steps)
        self.tasks = tuple(tasks)
        self.recall = MulticlassRecall(num_classes, average="macro")
        self.mix = (
            Mixup(
                recipe.mixup, recipe.cutmix, label_smoothing=recipe.label_smoothing, num_classes=num_classes
            )
            if recipe.mixup or recipe.cutmix
            else None
        )
        weights = class_weights(class_counts) if recipe.class_balance == "loss" else None
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)

    def logits(self, images: Tensor) -> Tensor:
        """Image logits ``(N, classes)``, or one a label."""
        logits: Tensor = outputs_by_task(self.network(images), self.tasks)[self.task]
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross entropy with mixed and smoothed targets."""
        images, classes = batch
        mixture, targets = self.targets(images, classes)
        loss = functional.cross_entropy(self.logits(mixture), targets, self.class_weights)
        self.log("loss", loss)
        return self.shared(loss, len(images))

    def targets(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images and soft targets ``(N, classes)``; batches of an odd size are not mixed."""
        if self.mix is None or len(images) % 2:
            return images, mixup_target(classes, self.num_classes, 1.0, self.recipe.label_smoothing)
        with drawing(self.step_seed(1)):
            return self.mix(images.clone(), classes)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Mean recall of the classes of all held-out images."""
        images, classes = batch
        if self.counts(batch_idx):
            self.recall.update(self.logits(images), classes)
        self.log(self.validation_score, self.recall, on_step=False, on_epoch=True)

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer and schedule; ``warmup_cosine`` is timm's, by epochs."""
        if self.recipe.schedule != "warmup_cosine":
            return super().configure_optimizers()
        optimizer = torch.optim.AdamW(
            self.parameter_groups(), lr=self.rate(), weight_decay=self.recipe.weight_decay, fused=True
        )
        scheduler = CosineLRScheduler(
            optimizer,
            t_initial=self.trainer.max_epochs or 1,
            lr_min=self.recipe.last_rate,
            warmup_t=self.recipe.warmup_epochs,
            warmup_lr_init=self.recipe.first_rate,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step timm's schedule by the epoch that ends, as the authors' program does."""
        if isinstance(scheduler, CosineLRScheduler):
            scheduler.step(self.current_epoch)
        else:
            super().lr_scheduler_step(scheduler, metric)


def class_weights(counts: Sequence[int]) -> Tensor:
    """Weights by the inverse of each class's size, one on average over the images; 0 for absent classes.

    >>> class_weights([30, 10, 0])
    tensor([0.6667, 2.0000, 0.0000])
    """
    sizes = torch.tensor(counts, dtype=torch.float32)
    present = sizes > 0
    shares = torch.where(present, 1 / sizes.clamp_min(1), 0.0)
    return shares * sizes.sum() / present.sum()
