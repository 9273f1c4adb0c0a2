"""Batches of nnU-Net that depend on seed, epoch and step alone, whatever the number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Seed = Callable[..., None]
_CACHED = 2
_WAIT_S = 0.002


class SeededBatches:
    """A loader that seeds every batch by its place in the epoch; of several processes each makes its own.

    Args:
        loader: nnU-Net's own loader.
        seed: seeds every generator that the loader draws from.
        parts: seed, fold and epoch.
        processes: number of processes among which the batches go round.
    """

    def __init__(self, loader: Any, seed: Seed, parts: tuple[int, ...], processes: int) -> None:
        self.loader, self.seed, self.parts = loader, seed, parts
        self.place, self.stride = 0, max(1, processes)

    def set_thread_id(self, number: int) -> None:
        """Take the batches of one process; the augmenter calls this in it."""
        self.loader.set_thread_id(number)
        self.place = number

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.seed(*self.parts, self.place)
        self.place += self.stride
        return next(self.loader)


def ordered(augmenter: Any, seed: Seed, parts: tuple[int, ...]) -> Any:
    """An augmenter in the place of nnU-Net's own, whose batches begin anew and come in their order.

    nnU-Net takes the batch that is ready first, from processes that run on from epoch to epoch.

    Args:
        augmenter: nnU-Net's, or what this function gave for the epoch before.
        seed: seeds every generator that the loader draws from.
        parts: seed, fold and epoch.
    """
    from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
    from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter

    processes = getattr(augmenter, "num_processes", 0)
    source = augmenter.generator if processes else augmenter.data_loader
    loader = source.loader if isinstance(source, SeededBatches) else source
    batches = SeededBatches(loader, seed, parts, processes)
    if not processes:
        return SingleThreadedAugmenter(batches, None)
    augmenter._finish()
    return MultiThreadedAugmenter(
        batches,
        None,
        processes,
        _CACHED,
        seeds=[0] * processes,
        pin_memory=augmenter.pin_memory,
        wait_time=_WAIT_S,
    )
