"""Images with a class each as batches whose content depends on seed, epoch and position alone."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
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
from medbench.training.image_augmentation import augmentation
from medbench.training.training_batches import Batches, SplitData

if TYPE_CHECKING:
    from medbench.core.sample import TrainingImage
    from medbench.training.recipes import ImageClassRecipe

Item = tuple[torch.Tensor, int | torch.Tensor]
Pixels = npt.NDArray[np.uint8]

CROP_MARGIN = 8 / 7
"""Images that crops are taken from are larger than the crops by this, as in the authors' evaluation."""


@contextlib.contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Seed the generators of Python, NumPy and torch for a block, and put them back."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


class ClassedImages(Dataset[Item]):
    """Images and their classes, addressed by ``(epoch, index)``; epoch −1 means without augmentation."""

    def __init__(
        self, images: Sequence[TrainingImage], recipe: ImageClassRecipe, contract: InputContract
    ) -> None:
        self.images = images
        self.recipe = recipe
        self.contract = contract
        self.crops = _Crops(recipe, contract) if recipe.augmentation == "random_crop" else None
        self.augment = None if self.crops else augmentation(recipe.augmentation)
        self.erase = _erasing(recipe.erasing)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        source = self.images[index]
        if epoch < 0:
            whole = self._prepared(source.load(self.recipe.image_size)[0])
            return torch.from_numpy(whole), self.target(source)
        with drawing(derived_seed(self.recipe.seed, epoch, index)):
            tensor = torch.from_numpy(self._prepared(self._augmented(source)))
            return self.erase(tensor) if self.erase is not None else tensor, self.target(source)

    @staticmethod
    def target(source: TrainingImage) -> int | torch.Tensor:
        """Training target of an image: its class."""
        assert source.image_class is not None
        return source.image_class

    def _prepared(self, image: Pixels) -> npt.NDArray[np.float32]:
        return self.contract.prepare(image[np.newaxis])[0]

    def _augmented(self, source: TrainingImage) -> Pixels:
        if self.crops is not None:
            return self.crops(source.load(round(self.recipe.image_size * CROP_MARGIN))[0])
        image = source.load(self.recipe.image_size)[0]
        if self.augment is None:
            return image
        from torchvision import tv_tensors

        nothing = tv_tensors.Mask(np.zeros(image.shape[:2], np.uint8))
        output, _ = self.augment(tv_tensors.Image(image.transpose(2, 0, 1).copy()), nothing)
        pixels: Pixels = output.numpy().transpose(1, 2, 0)
        return pixels


class _Crops:
    """DeiT's augmentation by timm's own parts: a random crop, a flip, RandAugment."""

    def __init__(self, recipe: ImageClassRecipe, contract: InputContract) -> None:
        from timm.data.auto_augment import rand_augment_transform
        from timm.data.transforms import RandomResizedCropAndInterpolation
        from torchvision import transforms

        size = recipe.image_size
        parts = [
            RandomResizedCropAndInterpolation(size, interpolation="bicubic"),
            transforms.RandomHorizontalFlip(),
        ]
        if recipe.rand_augment:
            grey = tuple(min(255, round(255 * mean)) for mean in contract.mean)
            settings = {"translate_const": int(size * 0.45), "img_mean": grey}
            parts.append(rand_augment_transform(recipe.rand_augment, settings))
        self.transform = transforms.Compose(parts)

    def __call__(self, image: Pixels) -> Pixels:
        from PIL import Image

        return np.asarray(self.transform(Image.fromarray(image)))


def _erasing(chance: float) -> torch.nn.Module | None:
    """Noise in place of a part of a prepared image, as DeiT has it."""
    if not chance:
        return None
    from timm.data.random_erasing import RandomErasing

    class Erasing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.erase = RandomErasing(chance, mode="pixel", device="cpu")

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.erase(image.clone())
            return output

    return Erasing()


def even_chances(classes: Sequence[int]) -> npt.NDArray[np.float64]:
    """Chances of images to be drawn, in proportion, that make their classes come up alike.

    >>> even_chances([0, 0, 0, 1]).round(2).tolist()
    [0.33, 0.33, 0.33, 1.0]
    """
    counts = np.bincount(classes)
    chances: npt.NDArray[np.float64] = 1 / counts[np.array(classes)]
    return chances


class ImageClassData(Batches):
    """Batches of a challenge's training images with their classes.

    Attributes:
        class_counts: training images of each class.

    Raises:
        MedbenchError: ``training.no_labels`` when no image has a class.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        recipe: ImageClassRecipe,
        contract: InputContract,
        num_classes: int,
        *,
        workers: int = 0,
    ) -> None:
        training, validation = split(images, recipe)
        training = [index for index in training if images[index].image_class is not None]
        validation = [index for index in validation if images[index].image_class is not None]
        if not training:
            raise MedbenchError(
                "training.no_labels",
                "There is no image with a class to learn from.",
                "Check the training split.",
            )
        classes = [images[index].image_class or 0 for index in training]
        self.class_counts = np.bincount(classes, minlength=num_classes).tolist()
        chances = even_chances(classes) if recipe.class_balance == "sampling" else None
        data = SplitData(
            ClassedImages(images, recipe, contract),
            ShuffledSampler(training, recipe.seed, chances),
            training,
            validation,
        )
        super().__init__(data, recipe.batch_size, workers)
