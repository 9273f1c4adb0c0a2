"""Images with boxes as batches whose content depends on seed, epoch and position alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from medbench.core.errors import MedbenchError
from medbench.core.sample import Boxes
from medbench.core.seeds import derived_seed
from medbench.inference.predictor import InputContract
from medbench.training.data import split
from medbench.training.epoch_keys import Key, ShuffledSampler
from medbench.training.training_batches import Batches, SplitData

if TYPE_CHECKING:
    from medbench.core.sample import TrainingBoxes
    from medbench.training.recipes import BoxRecipe

Target = dict[str, torch.Tensor]
Item = tuple[torch.Tensor, Target]
Batch = tuple[torch.Tensor, list[Target]]
LEAST_SIDE = 2.0
"""Boxes of fewer pixels of the network's input along a side are not learnt."""


class BoxedImages(Dataset[Item]):
    """Images and torchvision's targets, addressed by ``(epoch, index)``; epoch −1 is without augmentation."""

    def __init__(self, images: Sequence[TrainingBoxes], recipe: BoxRecipe, contract: InputContract) -> None:
        self.images = images
        self.recipe = recipe
        self.contract = contract
        self.augment = _augmentation(recipe, contract)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        jitters = epoch >= 0 and self.recipe.augmentation == "scale_jitter"
        most = max(1.0, self.recipe.most_scale) if jitters else 1.0
        image = self.images[index].load(round(self.recipe.image_size * most))
        boxes = self.images[index].boxes().resized((1, 1), image.shape[:2])
        if epoch >= 0 and self.augment is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derived_seed(self.recipe.seed, epoch, index))
                image, boxes = _augmented(self.augment, image, boxes)
        tensor = torch.from_numpy(self.contract.prepare(image[np.newaxis])[0])
        return tensor, _target(boxes)


def _augmented(
    augment: torch.nn.Module, image: npt.NDArray[np.uint8], boxes: Boxes
) -> tuple[npt.NDArray[np.uint8], Boxes]:
    """Image and boxes after the augmentation; boxes that it cuts to nothing are gone."""
    from torchvision import tv_tensors

    corners = torch.from_numpy(boxes.corners.astype(np.float32))
    target = {
        "boxes": tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=image.shape[:2]),
        "labels": torch.from_numpy(boxes.classes.astype(np.int64)),
    }
    pixels, target = augment(tv_tensors.Image(image.transpose(2, 0, 1).copy()), target)
    return pixels.numpy().transpose(1, 2, 0), Boxes.of_reference(
        target["boxes"].numpy(), target["labels"].numpy()
    )


def _target(boxes: Boxes) -> Target:
    corners = torch.from_numpy(boxes.corners.astype(np.float32))
    wide = ((corners[:, 2:] - corners[:, :2]) >= LEAST_SIDE).all(dim=1)
    labels = torch.from_numpy(boxes.classes.astype(np.int64))
    return {"boxes": corners[wide], "labels": labels[wide] + 1}


def _augmentation(recipe: BoxRecipe, contract: InputContract) -> torch.nn.Module | None:
    """The recipe's augmentation of an image and its boxes, by torchvision's transforms v2."""
    if recipe.augmentation == "none":
        return None
    from torchvision.transforms import v2

    flip = v2.RandomHorizontalFlip(0.5)
    if recipe.augmentation == "flip":
        return flip
    size = (recipe.image_size, recipe.image_size)
    grey = [round(255 * mean) for mean in contract.mean]
    return v2.Compose(
        [
            flip,
            v2.ScaleJitter(size, (recipe.least_scale, recipe.most_scale), antialias=True),
            v2.RandomCrop(size, pad_if_needed=True, fill=grey),
            v2.SanitizeBoundingBoxes(min_size=LEAST_SIDE),
            v2.ColorJitter(brightness=0.3, contrast=0.3),
        ]
    )


def rarity_chances(classes: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
    """Chances of images to be drawn, in proportion, that make classes of boxes come up more alike.

    Each is the square root of the inverse share of the rarest class that the image shows (arXiv 1908.03195,
    without a threshold); images without boxes are a class of their own.

    Args:
        classes: classes of the boxes of each image.

    >>> rarity_chances([[0], [0, 1], [0], []]).round(3).tolist()
    [1.155, 2.0, 1.155, 2.0]
    """
    class_sets = [set(own) or {-1} for own in classes]
    counts = {label: sum(label in own for own in class_sets) for own in class_sets for label in own}
    return np.array([max((len(class_sets) / counts[label]) ** 0.5 for label in own) for own in class_sets])


class BoxData(Batches):
    """Batches of a challenge's training images with their boxes.

    Raises:
        MedbenchError: ``training.no_labels`` when no image has a box.
    """

    def __init__(
        self,
        images: Sequence[TrainingBoxes],
        recipe: BoxRecipe,
        contract: InputContract,
        *,
        workers: int = 0,
    ) -> None:
        training, validation = split(images, recipe)
        if not any(images[index].classes for index in training):
            raise MedbenchError(
                "training.no_labels", "There is no box to learn from.", "Check the training split."
            )
        classes = [images[index].classes for index in training]
        chances = rarity_chances(classes) if recipe.class_balance == "sampling" else None
        data = SplitData(
            BoxedImages(images, recipe, contract),
            ShuffledSampler(training, recipe.seed, chances),
            training,
            validation,
        )
        super().__init__(data, recipe.batch_size, workers)
        self.collate = collate


def collate(items: Sequence[Item]) -> Batch:
    """Images as one tensor, targets as a list."""
    images, targets = zip(*items, strict=True)
    return torch.stack(images), list(targets)
