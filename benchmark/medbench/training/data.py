"""Batches of training images, whose content depends on seed, epoch and position alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from medbench.core.errors import MedbenchError
from medbench.core.seeds import derived_seed
from medbench.inference.predictor import InputContract
from medbench.training.epoch_keys import EpochKeys, Key, plain_keys
from medbench.training.image_augmentation import augmentation
from medbench.training.training_batches import Batches, SplitData

if TYPE_CHECKING:
    from medbench.core.sample import TrainingBoxes, TrainingImage, TrainingVolume
    from medbench.training.recipes import Recipe

IGNORED_LABEL = 255
NO_IMAGE_CLASS = -1

Item = tuple[torch.Tensor, torch.Tensor, int]


class TrainingImages(Dataset[Item]):
    """Training images by ``(epoch, index)``; epoch −1 is without augmentation."""

    def __init__(self, images: Sequence[TrainingImage], recipe: Recipe, contract: InputContract) -> None:
        self.images = images
        self.recipe = recipe
        self.contract = contract
        self.augment = augmentation(recipe.augmentation)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        source = self.images[index]
        image, labels = source.load(self.recipe.image_size)
        if labels is None:
            labels = np.full(image.shape[:2], IGNORED_LABEL, np.uint8)
        if epoch >= 0 and self.augment is not None:
            image, labels = self._augmented(image, labels, epoch, index)
        image_class = NO_IMAGE_CLASS if source.image_class is None else source.image_class
        pixels = self.contract.prepare(image[np.newaxis])[0]
        return torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64)), image_class

    def _augmented(
        self, image: np.ndarray, labels: np.ndarray, epoch: int, index: int
    ) -> tuple[np.ndarray, np.ndarray]:
        from torchvision import tv_tensors

        assert self.augment is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.recipe.seed, epoch, index))
            tensor, mask = self.augment(
                tv_tensors.Image(image.transpose(2, 0, 1).copy()), tv_tensors.Mask(labels.copy())
            )
        return tensor.numpy().transpose(1, 2, 0), mask.numpy()


class EpochSampler(EpochKeys):
    """Keys of an epoch: each labelled image once, and unlabelled images drawn to balance the image classes.

    Args:
        images: all images.
        indices: indices of those to train on.
        recipe: gives the seed, and the number of unlabelled images per labelled one.
    """

    def __init__(self, images: Sequence[TrainingImage], indices: Sequence[int], recipe: Recipe) -> None:
        super().__init__(recipe.seed)
        self.labelled = np.array([index for index in indices if images[index].labelled], int)
        by_class: dict[int | None, list[int]] = {}
        for index in indices:
            if not images[index].labelled:
                by_class.setdefault(images[index].image_class, []).append(index)
        classes = [images[index].image_class for index in self.labelled]
        total = len(self.labelled) + round(recipe.unlabelled_ratio * len(self.labelled))
        share = total / max(1, len({*classes, *by_class}))
        self.draws = [
            (np.array(pool, int), min(len(pool), max(0, round(share) - classes.count(image_class))))
            for image_class, pool in by_class.items()
        ]

    def __len__(self) -> int:
        return len(self.labelled) + sum(count for _, count in self.draws)

    def drawn(self, generator: np.random.Generator) -> npt.NDArray[np.int_]:
        """Labelled images and the unlabelled ones of this epoch, shuffled."""
        extra = [generator.choice(pool, count, replace=False) for pool, count in self.draws]
        return generator.permutation(np.concatenate([self.labelled, *extra]))


class TrainingData(Batches):
    """Batches of a challenge's training images."""

    def __init__(
        self, images: Sequence[TrainingImage], recipe: Recipe, contract: InputContract, *, workers: int = 0
    ) -> None:
        training, validation = split(images, recipe)
        if not any(images[index].labelled for index in training):
            raise MedbenchError(
                "training.no_labels",
                "There is no labelled image to learn from.",
                "Check the training split.",
            )
        data = SplitData(
            TrainingImages(images, recipe, contract),
            EpochSampler(images, training, recipe),
            training,
            validation,
            plain_keys(index for index in validation if images[index].labelled),
        )
        super().__init__(data, recipe.batch_size, workers)


def split(
    images: Sequence[TrainingImage] | Sequence[TrainingBoxes] | Sequence[TrainingVolume], recipe: Recipe
) -> tuple[list[int], list[int]]:
    """Indices for training and for validation, which takes a fifth of the groups (or images)."""
    if recipe.validation == "none":
        return list(range(len(images))), []
    unit = [image.group if recipe.validation == "by_group" else image.id for image in images]
    units = sorted(set(unit))
    numbers = np.random.default_rng([recipe.seed, 1]).permutation(len(units))[: max(1, len(units) // 5)]
    held_out = {units[index] for index in numbers}
    training = [index for index, name in enumerate(unit) if name not in held_out]
    return training, [index for index, name in enumerate(unit) if name in held_out]
