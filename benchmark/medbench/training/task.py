"""What Lightning trains: any network by a recipe, and segmentation joint with classes of whole images."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional

from medbench.core.seeds import derived_seed
from medbench.training.data import IGNORED_LABEL, NO_IMAGE_CLASS
from medbench.training.losses import SegmentationLoss, batch_dice, segmentation_loss
from medbench.training.recipes import Recipe


class NetworkTask(LightningModule):
    """Trains a network by a recipe, whatever it learns.

    Random numbers of a step (drop path) depend on the seed and the step's number only, so that a resumed
    training equals an uninterrupted one.

    Attributes:
        validation_score: name of the figure that chooses the best epoch; more is better.
    """

    validation_score: ClassVar[str]

    def __init__(self, network: nn.Module, recipe: Recipe, num_classes: int, total_steps: int) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.num_classes = num_classes
        self.total_steps = total_steps

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step."""
        torch.manual_seed(derived_seed(self.recipe.seed, self.global_step))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One-dimensional parameters (norms, biases) do not decay unless the recipe is official."""
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        if self.recipe.name == "official":
            return [{"params": parameters}]
        return [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def rate(self) -> float:
        """Peak rate of the optimizer."""
        return self.recipe.learning_rate

    def make_optimizer(self) -> torch.optim.Optimizer:
        """The recipe's optimizer."""
        recipe, groups = self.recipe, self.parameter_groups()
        settings: dict[str, Any] = {
            "lr": self.rate(),
            "weight_decay": recipe.weight_decay,
            "fused": True,
        }
        if recipe.optimizer == "sgd":
            return torch.optim.SGD(groups, momentum=0.9, **settings)
        kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
        return kind(groups, amsgrad=recipe.optimizer == "adamw_amsgrad", **settings)

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer and schedule."""
        recipe, optimizer = self.recipe, self.make_optimizer()
        if recipe.schedule == "constant":
            return optimizer
        scheduler: torch.optim.lr_scheduler.LRScheduler
        if recipe.schedule == "cosine":
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.total_steps)
        elif recipe.schedule == "polynomial":
            scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, self.total_steps, power=0.9)
        else:
            scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=self.rate(), total_steps=self.total_steps, pct_start=0.2
            )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class SegmentationTask(NetworkTask):
    """Learns label maps, and classes of whole images beside them.

    Images without labels count for the image-level loss alone, images without a class for the segmentation
    loss alone.
    """

    validation_score = "validation_dice"

    def __init__(self, network: nn.Module, recipe: Recipe, num_classes: int, total_steps: int) -> None:
        super().__init__(network, recipe, num_classes, total_steps)
        self.loss = self.make_loss()

    def make_loss(self) -> SegmentationLoss:
        """The recipe's segmentation loss."""
        return segmentation_loss(self.recipe.loss, self.num_classes)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch by the recipe."""
        images, labels, image_classes = batch
        output = self.network(images)
        logits, image_logits = output if isinstance(output, tuple) else (output, None)
        loss = logits.sum() * 0.0
        labelled = (labels != IGNORED_LABEL).flatten(1).all(dim=1)
        if labelled.any():
            loss = loss + self.loss(logits[labelled], labels[labelled])
        classified = image_classes != NO_IMAGE_CLASS
        if image_logits is not None and classified.any():
            image_loss = functional.cross_entropy(image_logits[classified], image_classes[classified])
            loss = loss + self.recipe.image_class_weight * image_loss
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Mean Dice of the structures on held-out images."""
        images, labels, _ = batch
        output = self.network(images)
        logits = output[0] if isinstance(output, tuple) else output
        self.log("validation_dice", batch_dice(logits, labels, self.num_classes), batch_size=len(images))
