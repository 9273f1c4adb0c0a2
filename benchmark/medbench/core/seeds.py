"""Seeds and shares that depend on what they are for, not on the order of the draws."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def derived_seed(*parts: int) -> int:
    """A 63-bit seed from non-negative integers, the same on every machine.

    >>> derived_seed(0, 1) == derived_seed(0, 1) != derived_seed(1, 0)
    True
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def hashed_share(name: str) -> float:
    """A number from 0 up to 1 that depends on a name alone: the first 32 bits of its SHA-256.

    >>> round(hashed_share("42/ISIC_0000000"), 4)
    0.7365
    """
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32


def hashed_part(name: str, ends: Sequence[tuple[str, float]]) -> str:
    """The part whose share a name falls into by :func:`hashed_share`.

    Args:
        name: what is hashed.
        ends: part and where its share ends, ascending; the last ends at 1.

    >>> hashed_part("42/ISIC_0000000", (("test", 0.2), ("val", 0.3), ("train", 1.0)))
    'train'
    """
    position = hashed_share(name)
    return next(part for part, end in ends if position < end)
