"""Random state of torch, NumPy and Python in a block: drawn from by one thread at a time, and put back."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator

import numpy as np

_TURN = threading.RLock()


@contextlib.contextmanager
def kept_random_state() -> Iterator[None]:
    """Put the random state back after a block; other threads that enter such a block wait for their turn.

    The state belongs to the whole process: two trainings in threads would draw from each other's.
    """
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with _TURN, torch.random.fork_rng(devices=list(devices)):
        states = random.getstate(), np.random.get_state()
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's random state for a block, as :func:`kept_random_state` keeps it."""
    import torch

    with kept_random_state():
        torch.manual_seed(seed)
        yield
