"""Batches of a training and of its validation, which Lightning draws."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from medbench.training.division import Division
from medbench.training.epoch_keys import EpochKeys, HeldOutBatches, Key, StepBatches, plain_keys


@dataclass(frozen=True, slots=True, eq=False)
class SplitData:
    """A data set with keys ``(epoch, index)``, split into what is learnt from and what is held out.

    Attributes:
        dataset: the data set.
        sampler: keys of a training epoch.
        training: indices of the training examples.
        validation: indices of the validation examples.
        keys: of the validation epoch; those of all validation examples if ``None``.
    """

    dataset: Dataset[Any]
    sampler: EpochKeys
    training: Sequence[int]
    validation: Sequence[int]
    keys: Sequence[Key] | None = None

    @property
    def held_out(self) -> Sequence[Key]:
        """Keys of the validation epoch."""
        return plain_keys(self.validation) if self.keys is None else self.keys


class Batches(LightningDataModule):
    """Training and validation batches of a data set.

    Args:
        data: the data set.
        batch_size: examples of an optimizer step.
        workers: number of reading processes.

    Attributes:
        collate: makes a batch of examples; torch's own if ``None``.
        division: processes and passes that share a step's batch; one of each until the trainer is made.
        pinned: whether batches are copied to memory that a device reads by itself.
    """

    collate: Callable[[Any], Any] | None = None

    def __init__(self, data: SplitData, batch_size: int, workers: int) -> None:
        super().__init__()
        self.dataset, self.sampler, self.held_out = data.dataset, data.sampler, data.held_out
        self.training, self.validation = data.training, data.validation
        self.batch_size = batch_size
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
            self.sampler.set_epoch(epochs.processed)
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
