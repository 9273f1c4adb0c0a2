"""Work in batches, by threads or by the workers of an executor; what fails never loses others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

from medbench.running.call_engine import Done, Lost, in_turn, spread

MOST_TOGETHER, SHARES = 64, 12
"""Things that travel to a worker together, at most, and the share of what is left that one batch takes."""

W = TypeVar("W")
R = TypeVar("R")


def in_batches(
    call: Callable[[Sequence[W]], R], works: Sequence[W], workers: int | Executor, most: int = MOST_TOGETHER
) -> Iterator[Done[Sequence[W], R]]:
    """Results of batches, as they come; what is in a batch whose worker dies goes again one by one.

    Batches become smaller towards the end, so that no worker waits long for the last one.

    Args:
        call: at the top of a module, or a partial of such a function, so that it travels by name.
        works: things to work on, small values with paths; may be made when they are asked for.
        workers: number of threads, or an executor.
        most: things in a batch, at most.
    """
    due: Iterable[Sequence[W]] = _batches(works, most)
    if workers == 1:
        yield from in_turn(call, due)
        return
    with ThreadPoolExecutor(workers) if isinstance(workers, int) else contextlib.nullcontext(workers) as own:
        while due:
            again: list[Sequence[W]] = []
            for batch in spread(call, due, own):
                if isinstance(batch.result, Lost) and len(batch.order) > 1:
                    again += [[work] for work in batch.order]
                else:
                    yield batch
            due = again


def _batches(works: Sequence[W], most: int) -> Iterator[Sequence[W]]:
    start = 0
    while start < len(works):
        size = max(1, min(most, (len(works) - start) // SHARES))
        yield works[start : start + size]
        start += size
