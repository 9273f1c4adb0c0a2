"""Learning of labels of whole images, several of which an image may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MultilabelAUROC

from medbench.core.errors import MedbenchError
from medbench.inference.predictor import InputContract
from medbench.training.class_data import ClassedImages
from medbench.training.class_task import ImageClassTask
from medbench.training.data import split
from medbench.training.epoch_keys import ShuffledSampler
from medbench.training.recipes import ImageClassRecipe
from medbench.training.training_batches import Batches, SplitData

if TYPE_CHECKING:
    from medbench.core.sample import TrainingImage


class LabelledImages(ClassedImages):
    """Images and their labels, addressed by ``(epoch, index)``; epoch −1 means without augmentation."""

    @staticmethod
    def target(source: TrainingImage) -> Tensor:
        """The labels ``(labels,)``, 0 and 1."""
        return torch.tensor(source.image_labels, dtype=torch.float32)


class ImageLabelData(Batches):
    """Batches of a challenge's training images with their labels.

    Raises:
        MedbenchError: ``training.no_labels`` when no image has labels.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        recipe: ImageClassRecipe,
        contract: InputContract,
        *,
        workers: int = 0,
    ) -> None:
        training, validation = split(images, recipe)
        training = [index for index in training if images[index].image_labels]
        validation = [index for index in validation if images[index].image_labels]
        if not training:
            raise MedbenchError(
                "training.no_labels", "There is no image with labels to learn.", "Check the training split."
            )
        data = SplitData(
            LabelledImages(images, recipe, contract),
            ShuffledSampler(training, recipe.seed),
            training,
            validation,
        )
        super().__init__(data, recipe.batch_size, workers)


class ImageLabelTask(ImageClassTask):
    """Learns labels of whole images by the binary cross entropy of each.

    Args:
        network: whatever returns logits, one a label.
        recipe: how.
        num_classes: labels.
        total_steps: optimiser steps of the whole training.
        tasks: what the network returns, in its order.
    """

    validation_score = "validation_auc"
    task = "image_labels"

    def __init__(
        self,
        network: nn.Module,
        recipe: ImageClassRecipe,
        num_classes: int,
        total_steps: int,
        *,
        tasks: Sequence[str] = ("image_labels",),
    ) -> None:
        super().__init__(network, recipe, num_classes, total_steps, tasks=tasks)
        self.auc = MultilabelAUROC(num_classes, average="macro")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean binary cross entropy of all labels."""
        images, labels = batch
        loss = functional.binary_cross_entropy_with_logits(self.logits(images), labels)
        self.log("loss", loss)
        return self.shared(loss, len(images))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Mean area under the ROC curve of the labels of all held-out images."""
        images, labels = batch
        if self.counts(batch_idx):
            self.auc.update(self.logits(images).sigmoid(), labels.long())
        score: Any = self.auc
        self.log(self.validation_score, score, on_step=False, on_epoch=True)
