"""Batches of images and reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from medbench.core.errors import MedbenchError
from medbench.core.sample import TrainingPair
from medbench.core.text import counted
from medbench.models.cm_cgns.pretraining_network import Pairs
from medbench.training.epoch_keys import PLAIN, HeldOutBatches, Key, ShuffledSampler, StepBatches
from medbench.training.pretraining_recipe import PretrainingRecipe
from medbench.training.report_tokens import ReportTokens
from medbench.training.training_batches import Batches, SplitData

MEMORY_BYTES = 1 << 30


class PairImages(Dataset[tuple[torch.Tensor, ...]]):
    """Images and tokens of pairs by keys ``(epoch, index)``.

    A crop depends on seed, epoch and index alone; in epoch -1 it is the middle.

    Args:
        pairs: images and reports.
        tokens: of each report.
        recipe: gives sizes and seed.
        padding: token id that fills short reports.
    """

    def __init__(
        self,
        pairs: Sequence[TrainingPair],
        tokens: Sequence[ReportTokens],
        recipe: PretrainingRecipe,
        padding: int,
    ) -> None:
        self.pairs, self.tokens, self.recipe, self.padding = pairs, tokens, recipe, padding
        self.kept: dict[int, npt.NDArray[np.uint8]] = {}
        self.may_keep = len(pairs) * recipe.framed_size**2 <= MEMORY_BYTES
        self.length = min(recipe.max_tokens, max((len(report.ids) for report in tokens), default=1))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: Key) -> tuple[torch.Tensor, ...]:
        epoch, index = key
        side = self.recipe.image_size
        frame = self._framed(index)
        slack = len(frame) - side
        top = left = slack // 2
        if epoch != PLAIN:
            top, left = np.random.default_rng([self.recipe.seed, epoch, index]).integers(0, slack + 1, 2)
        grey = torch.from_numpy(frame[top : top + side, left : left + side].copy())
        image = (grey.float() / 127.5 - 1).expand(3, side, side)
        ids = torch.full((self.length,), self.padding, dtype=torch.long)
        numbers = torch.full((self.length,), -1, dtype=torch.long)
        report = self.tokens[index]
        ids[: len(report.ids)] = torch.tensor(report.ids)
        numbers[: len(report.ids)] = torch.tensor(report.sentence_index)
        present = (torch.arange(self.length) < len(report.ids)).long()
        return image, ids, present, numbers

    def _framed(self, index: int) -> npt.NDArray[np.uint8]:
        if index in self.kept:
            return self.kept[index]
        frame = self.pairs[index].load(self.recipe.framed_size)
        if self.may_keep:
            self.kept[index] = frame
        return frame


class PairSteps(StepBatches):
    """Batches of one process: neighbouring pairs of every step's batch.

    Rows that are gathered from all processes then stand in the order of the joint batch.
    """

    def __iter__(self) -> Iterator[list[Key]]:
        keys, processes = list(self.sampler), self.division.processes
        each = self.step_size // processes
        for start in range(0, self.steps * self.step_size, self.step_size):
            first = start + self.division.process * each
            yield keys[first : first + each]


class HeldOutPairs(HeldOutBatches):
    """Held-out batches of one process: neighbouring pairs of every batch, as many as each other process has.

    What a batch has beyond a multiple of the processes is left out.
    """

    def __len__(self) -> int:
        return sum(len(batch) >= self.division.processes for batch in self.batches)

    def __iter__(self) -> Iterator[list[Key]]:
        for batch in self.batches:
            each = len(batch) // self.division.processes
            if each:
                first = self.division.process * each
                yield batch[first : first + each]


class PairBatches(Batches):
    """Batches of pairs that all processes of a training share evenly, for they compare the pairs of all."""

    def step_batches(self) -> StepBatches:
        """This process's pairs of the training epoch.

        Raises:
            MedbenchError: ``training.devices`` for a batch that the devices cannot share evenly.
        """
        steps = PairSteps(self.sampler, self.batch_size, self.division)
        if steps.step_size % self.division.processes or self.division.passes > 1:
            raise MedbenchError(
                "training.devices",
                f"{counted(self.division.processes, 'device')} cannot share a batch of "
                f"{counted(steps.step_size, 'pair')} evenly in one pass.",
                "Use a number of devices that divides the batch, or another batch_size.",
            )
        return steps

    def held_out_batches(self) -> HeldOutBatches:
        """This process's pairs of the validation."""
        return HeldOutPairs(self.held_out, self.batch_size, self.division)


def pair_batches(
    dataset: PairImages, training: Sequence[int], validation: Sequence[int], workers: int
) -> PairBatches:
    """Batches of the pairs with these indices.

    Args:
        dataset: all pairs.
        training: indices to learn from.
        validation: indices that choose the epoch.
        workers: processes that read images.
    """
    recipe = dataset.recipe
    data = SplitData(dataset, ShuffledSampler(training, recipe.seed), training, validation)
    return PairBatches(data, recipe.batch_size, workers)


def collate(dataset: PairImages, indices: Sequence[int]) -> Pairs:
    """One batch of the pairs with these indices, without augmentation."""
    rows = [dataset[PLAIN, index] for index in indices]
    return Pairs(*(torch.stack(part) for part in zip(*rows, strict=True)))
