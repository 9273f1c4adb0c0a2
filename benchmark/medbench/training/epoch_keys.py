"""Keys of an epoch's examples, and their division into the batches of steps and of processes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from medbench.training.division import Division

Key = tuple[int, int]
"""Epoch and number of an example."""
PLAIN = -1
"""Epoch whose examples are not augmented."""


def plain_keys(numbers: Iterable[int]) -> list[Key]:
    """Keys of examples that are not augmented."""
    return [(PLAIN, number) for number in numbers]


class EpochKeys(Sampler[Key], ABC):
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

    @abstractmethod
    def drawn(self, generator: np.random.Generator) -> npt.NDArray[np.int_]:
        """Numbers of the epoch's examples in their order."""


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
