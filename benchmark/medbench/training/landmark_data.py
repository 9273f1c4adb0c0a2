"""Images with landmarks as batches whose content depends on seed, epoch and position alone."""

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
from medbench.training.data import split
from medbench.training.epoch_keys import Key, ShuffledSampler
from medbench.training.training_batches import Batches, SplitData

if TYPE_CHECKING:
    from medbench.core.sample import TrainingImage
    from medbench.training.recipes import LandmarkRecipe

Item = tuple[torch.Tensor, torch.Tensor]
Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

TURN_DEGREES, SHIFT_X, SHIFT_Y, SCALE, GAIN = 15.0, 0.12, 0.08, 0.15, 0.4


class LandmarkImages(Dataset[Item]):
    """Images and their landmarks by ``(epoch, index)``; epoch −1 is without augmentation."""

    def __init__(
        self, images: Sequence[TrainingImage], recipe: LandmarkRecipe, contract: InputContract
    ) -> None:
        if recipe.augmentation not in ("none", "affine_gain"):
            raise MedbenchError(
                "recipe.setting",
                f"There is no augmentation '{recipe.augmentation}' of images with landmarks.",
                "Known: none, affine_gain.",
            )
        self.images = images
        self.recipe = recipe
        self.contract = contract

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        source = self.images[index]
        assert source.landmarks is not None
        image, points = source.load(self.recipe.image_size)[0], source.landmarks()
        if epoch >= 0 and self.recipe.augmentation == "affine_gain":
            generator = np.random.default_rng(derived_seed(self.recipe.seed, epoch, index))
            image, points = moved(image, points, generator)
        pixels = self.contract.prepare(image[np.newaxis])[0]
        return torch.from_numpy(pixels), torch.from_numpy(points.astype(np.float32))


def moved(image: Pixels, points: Points, generator: np.random.Generator) -> tuple[Pixels, Points]:
    """An image turned, shifted, scaled and changed in brightness and contrast, with its landmarks.

    Args:
        image: ``(side, side, 3)``, 8 bit.
        points: ``(landmarks, 2)``, x and y as shares of the sides.
        generator: source of everything random.
    """
    import cv2

    side = image.shape[0]
    turn, scale = generator.uniform(-TURN_DEGREES, TURN_DEGREES), 1 + generator.uniform(-SCALE, SCALE)
    centre = (side - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), turn, scale)
    matrix[:, 2] += side * generator.uniform(-1, 1, 2) * (SHIFT_X, SHIFT_Y)
    brightness, contrast = 1 + generator.uniform(-GAIN, GAIN, 2)
    warp = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR).astype(np.float32)
    bright = warp * brightness
    grey = np.clip((bright - bright.mean()) * contrast + bright.mean(), 0, 255)
    pixels = points * side - 0.5
    places = pixels @ matrix[:, :2].T + matrix[:, 2]
    return np.rint(grey).astype(np.uint8), (places + 0.5) / side


class LandmarkData(Batches):
    """Batches of a challenge's training images with their landmarks.

    Raises:
        MedbenchError: ``training.no_labels`` when no image has landmarks.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        recipe: LandmarkRecipe,
        contract: InputContract,
        *,
        workers: int = 0,
    ) -> None:
        images = [image for image in images if image.landmarks is not None]
        training, validation = split(images, recipe) if images else ([], [])
        if not training:
            raise MedbenchError(
                "training.no_labels",
                "There is no image with landmarks to learn from.",
                "Check the training split.",
            )
        data = SplitData(
            LandmarkImages(images, recipe, contract),
            ShuffledSampler(training, recipe.seed),
            training,
            validation,
        )
        super().__init__(data, recipe.batch_size, workers)
