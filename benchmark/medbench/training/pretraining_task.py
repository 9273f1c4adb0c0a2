"""Lightning module for a stage of the pre-training on images and reports."""

from __future__ import annotations

import random
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from medbench.core.seeds import derived_seed
from medbench.models.blocks.gathering import SharedBatchNorm2d, process_count, process_number
from medbench.models.cm_cgns.pretraining_network import PairLosses, Pairs, PretrainingNetwork
from medbench.training.gradients import GradientGuard
from medbench.training.pretraining_recipe import PretrainingRecipe

MASKS, CLUSTERS = 1, 2


class PretrainingTask(LightningModule):
    """Trains a stage: 1 aligns images and reports, 2 also reconstructs masked images.

    Random numbers of a step depend on the seed, the stage and the step alone, and masks on the place of a
    pair in the batch of all devices: so a resumed training equals an uninterrupted one, and several devices
    compute what one would on their joint batch, save for dropout.

    Args:
        network: the network.
        recipe: how.
        stage: 1 or 2.
        epochs: of the stage.
        steps_per_epoch: optimiser steps of an epoch.
    """

    validation_score = "validation_fit"

    def __init__(
        self,
        network: PretrainingNetwork,
        recipe: PretrainingRecipe,
        stage: int,
        epochs: int,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.recipe, self.stage = recipe, stage
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.guard = GradientGuard()
        SharedBatchNorm2d.replace_in(network)
        freeze_unused(network, stage)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step."""
        seed = derived_seed(self.recipe.seed, self.stage, self.global_step)
        torch.manual_seed(seed)
        self.network.alignment.draw_first = random.Random(derived_seed(seed, CLUSTERS)).randrange

    def losses(self, batch: Any, seed: int) -> PairLosses:
        """Losses of a batch of this device."""
        pairs = Pairs(*batch)
        mask = step_mask(self.network, len(pairs.images), seed) if self.stage == 2 else None
        losses: PairLosses = self.network(pairs, None if mask is None else mask.to(pairs.images.device))
        return losses

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Sum of the losses of one batch."""
        losses = self.losses(batch, derived_seed(self.recipe.seed, self.stage, self.global_step, MASKS))
        loss = torch.stack([part.float() for part in losses]).sum()
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """The exponential of the negative loss on pairs that are held out, so that more is better."""
        losses = self.losses(batch, derived_seed(self.recipe.seed, self.stage, batch_idx, MASKS))
        loss = torch.stack([part.float() for part in losses]).sum()
        size = len(batch[0])
        self.log("validation_loss", loss, batch_size=size, sync_dist=True)
        self.log(self.validation_score, torch.exp(-loss), batch_size=size, sync_dist=True)

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip nothing, and leave the step out where gradients are not finite.

        Raises:
            MedbenchError: ``training.diverged``.
        """
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self.guard.before_step(getattr(optimizer, "optimizer", optimizer), scaler=scaler)

    def configure_optimizers(self) -> Any:
        """Adam, whose rate rises for an epoch and falls as half a cosine, step by step."""
        optimizer = torch.optim.Adam(
            [parameter for parameter in self.network.parameters() if parameter.requires_grad],
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            fused=True,
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.recipe.rate_at(step, self.steps_per_epoch, self.epochs)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def step_mask(network: PretrainingNetwork, batch: int, seed: int) -> Tensor:
    """The mask of this process's pairs, cut from that of the joint batch.

    Args:
        network: the network, with an image decoder.
        batch: pairs of each process.
        seed: of the joint mask.
    """
    assert network.image_decoder is not None
    width = network.local_image_projection.out_features
    joint = network.image_decoder.draw_mask(batch * process_count(), width, seed)
    first = batch * process_number()
    return joint[first : first + batch]


def freeze_unused(network: PretrainingNetwork, stage: int) -> None:
    """Leave gradients only to what a stage computes with, as processes of a training agree on."""
    network.requires_grad_(True)
    network.text_encoder.freeze_pooler()
    if network.image_decoder is not None:
        network.image_decoder.requires_grad_(stage == 2)
    if network.alignment.guidance == "none":
        network.alignment.cross_attention.requires_grad_(False)
        network.alignment.predictor.requires_grad_(False)
        network.local_image_projection.requires_grad_(False)
