"""Batches of training images, whose content depends on seed, epoch and position alone."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from medbench.core.errors import MedbenchError
from medbench.core.seeds import derived_seed
from medbench.inference.predictor import InputContract
from medbench.training.division import Division

if TYPE_CHECKING:
    from medbench.core.sample import TrainingBoxes, TrainingImage, TrainingVolume
    from medbench.training.recipes import Recipe

IGNORED_LABEL = 255
NO_IMAGE_CLASS = -1
REACH = 0.3
"""Share of a side that a square, scaled by 0.9 and turned by 45 degrees, shows beyond its edge: 0.286."""

Key = tuple[int, int]
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


class _BlackSquares(torch.nn.Module):
    """Eight black squares of 8 × 8 pixels anywhere in an image; its labels stay as they are."""

    def forward(self, image: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        image = image.clone()
        height, width = image.shape[-2:]
        for _ in range(8):
            top = int(torch.randint(max(1, height - 7), ()))
            left = int(torch.randint(max(1, width - 7), ()))
            image[..., top : top + 8, left : left + 8] = 0
        return image, labels


class _ReflectedAffine(torch.nn.Module):
    """Rotation by up to 45 degrees and scaling by 0.9 to 1.1, reflections beyond the edges."""

    def forward(self, image: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        from torchvision.transforms import InterpolationMode, v2

        sides = image.shape[-2:]
        reach = [min(side - 1, round(REACH * side)) for side in reversed(sides)]
        affine = v2.RandomAffine(45, scale=(0.9, 1.1), interpolation=InterpolationMode.BILINEAR)
        pair: tuple[torch.Tensor, torch.Tensor] = v2.Compose(
            [v2.Pad(reach, padding_mode="reflect"), affine, v2.CenterCrop(sides)]
        )(image, labels)
        return pair


def augmentation(name: str) -> torch.nn.Module | None:
    """The augmentation of that name, of an image and its labels; ``None`` for none."""
    if name == "none":
        return None
    from torchvision.transforms import InterpolationMode, v2

    if name == "affine_gain":
        affine = v2.RandomAffine(
            15, translate=(0.12, 0.08), scale=(0.85, 1.15), interpolation=InterpolationMode.BILINEAR
        )
        return v2.Compose([affine, v2.ColorJitter(brightness=0.4, contrast=0.4)])
    if name == "stain":
        from medbench.training.stain import stain_augmentation

        return stain_augmentation()
    if name == "flip_scale_drop":
        flips = [v2.RandomHorizontalFlip(0.25), v2.RandomVerticalFlip(0.25)]
        further = [v2.RandomApply([_ReflectedAffine()], 0.25), v2.RandomApply([_BlackSquares()], 0.5)]
        return v2.Compose([*flips, *further])
    if name == "scale_rotate":
        affine = v2.RandomAffine(10, scale=(0.9, 1.1), interpolation=InterpolationMode.BILINEAR)
        return v2.RandomApply([affine], 0.5)
    rotation = v2.RandomRotation(30, interpolation=InterpolationMode.NEAREST)
    return v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandomApply([rotation], 0.5)])


class EpochKeys(Sampler[Key]):
    """Keys of an epoch; order and draw depend on seed and epoch alone.

    Args:
        seed: of order and draw.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the trainer calls this before each."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Key]:
        numbers = self.drawn(np.random.default_rng([self.seed, self.epoch]))
        return iter([(self.epoch, int(number)) for number in numbers])

    def drawn(self, generator: np.random.Generator) -> npt.NDArray[np.int_]:
        """Numbers of the epoch's examples in their order."""
        raise NotImplementedError


class ShuffledSampler(EpochKeys):
    """Keys of an epoch: every example once, or as many drawn by their chances.

    Args:
        numbers: of the examples to train on.
        seed: of order and draw.
        chances: of each of them, in proportion; ``None`` takes every example once.
    """

    def __init__(
        self, numbers: Sequence[int], seed: int, chances: npt.NDArray[np.float64] | None = None
    ) -> None:
        super().__init__(seed)
        self.numbers = np.array(numbers, int)
        self.chances = None if chances is None else chances / chances.sum()

    def __len__(self) -> int:
        return len(self.numbers)

    def drawn(self, generator: np.random.Generator) -> npt.NDArray[np.int_]:
        """Every number once, or as many by their chances."""
        if self.chances is None:
            return generator.permutation(self.numbers)
        return generator.choice(self.numbers, len(self.numbers), p=self.chances)


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


class StepBatches(Sampler[list[Key]]):
    """Batches of one process: its part of every optimizer step's batch.

    A step's batch is ``recipe.batch_size`` keys of the epoch in their order, whatever the number of devices;
    a last incomplete batch is left out where there are others. Its keys are dealt out to the processes, and
    to the passes whose gradients one process adds up.

    Args:
        sampler: keys of an epoch.
        batch_size: keys of a step.
        division: processes and passes that share a step.

    Attributes:
        step_size: keys that a step has in fact: fewer than ``batch_size`` where the epoch has fewer.
        steps: optimizer steps of an epoch.
    """

    def __init__(self, sampler: Sampler[Key], batch_size: int, division: Division) -> None:
        self.sampler = sampler
        self.division = division
        keys = len(sampler)  # type: ignore[arg-type]
        self.step_size = min(batch_size, keys)
        self.steps = max(1, keys // batch_size)

    def __len__(self) -> int:
        return self.steps * self.division.passes

    def __iter__(self) -> Iterator[list[Key]]:
        keys, division = list(self.sampler), self.division
        for start in range(0, self.steps * self.step_size, self.step_size):
            step = keys[start : start + self.step_size]
            for number in range(division.passes):
                yield step[number * division.processes + division.process :: division.parts]


class HeldOutBatches(Sampler[list[Key]]):
    """Batches of held-out keys, dealt out to the processes whole and evenly.

    Processes that would have one batch less than others repeat the last batch, which :meth:`counts` tells
    from the others: every process makes as many forward passes, and every batch counts once.
    """

    def __init__(self, keys: Sequence[Key], batch_size: int, division: Division) -> None:
        self.batches = [list(keys[start : start + batch_size]) for start in range(0, len(keys), batch_size)]
        self.division = division

    def __len__(self) -> int:
        return math.ceil(len(self.batches) / self.division.processes)

    def __iter__(self) -> Iterator[list[Key]]:
        last = len(self.batches) - 1
        for number in range(len(self)):
            yield self.batches[min(self._place(number), last)]

    def counts(self, number: int) -> bool:
        """Whether the process's batch of that number is its own."""
        return self._place(number) < len(self.batches)

    def _place(self, number: int) -> int:
        return number * self.division.processes + self.division.process


class Batches(LightningDataModule):
    """Training and validation batches of a data set with keys ``(epoch, index)``.

    Args:
        dataset: the data set.
        sampler: keys of a training epoch.
        recipe: gives the batch size.
        training: indices of the training examples.
        validation: indices of the validation examples.
        held_out: keys of the validation epoch.
        workers: number of reading processes.

    Attributes:
        collate: makes a batch of examples; torch's own if ``None``.
        division: processes and passes that share a step's batch; one of each until the trainer is made.
        pinned: whether batches are copied to memory that a device reads by itself.
    """

    collate: Callable[[Any], Any] | None = None

    def __init__(
        self,
        dataset: Dataset[Any],
        sampler: Sampler[Key],
        recipe: Recipe,
        training: Sequence[int],
        validation: Sequence[int],
        held_out: Sequence[Key],
        workers: int,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.sampler = sampler
        self.batch_size = recipe.batch_size
        self.training, self.validation = training, validation
        self.held_out = held_out
        self.workers = workers
        self.division = Division()
        self.pinned = False

    def setup(self, stage: str) -> None:
        """Learn from the trainer how a step's batch is shared and where it goes; the trainer calls this."""
        assert self.trainer is not None
        trainer = self.trainer
        self.division = Division(trainer.world_size, trainer.global_rank, trainer.accumulate_grad_batches)
        self.pinned = trainer.strategy.root_device.type == "cuda"

    def step_batches(self) -> StepBatches:
        """Batches of this process's training epoch."""
        return StepBatches(self.sampler, self.batch_size, self.division)

    def held_out_batches(self) -> HeldOutBatches:
        """Batches of this process's validation."""
        return HeldOutBatches(self.held_out, self.batch_size, self.division)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled, augmented batches, from the trainer's epoch on.

        The trainer draws the first batches before it tells the sampler the epoch, so that a resumed training
        would begin with those of epoch 0.
        """
        if self.trainer is not None:
            epochs: Any = self.trainer.fit_loop.epoch_progress.current
            self.sampler.set_epoch(epochs.processed)  # type: ignore[attr-defined]
        return self._loader(self.step_batches())

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Validation batches, without augmentation."""
        return self._loader(self.held_out_batches()) if self.held_out else []

    def _loader(self, batches: Sampler[list[Key]]) -> DataLoader[Any]:
        """A loader whose processes read ahead, outlive the epoch, and leave an interruption to this one."""
        reading: dict[str, Any] = {}
        if self.workers:
            reading = {"persistent_workers": True, "prefetch_factor": 4, "worker_init_fn": _ignore_interrupts}
        return DataLoader(
            self.dataset,
            batch_sampler=batches,
            num_workers=self.workers,
            pin_memory=self.pinned,
            collate_fn=self.collate,
            **reading,
        )


def _ignore_interrupts(worker: int) -> None:
    """Let a reading process end with its parent, not by the terminal's Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
        super().__init__(
            TrainingImages(images, recipe, contract),
            EpochSampler(images, training, recipe),
            recipe,
            training,
            validation,
            [(-1, index) for index in validation if images[index].labelled],
            workers,
        )


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
