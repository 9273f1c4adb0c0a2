"""The published split of SIIM-ACR pneumothorax, by rows of the table: pieces of one mask lie in two splits.

The paper's program (violet-42/CM-CGNS@4e75806, ``cgns/preprocess/siim.py``) calls scikit-learn's
``train_test_split`` twice with the seed 0. Its training takes as many images without a pneumothorax as with
one, by a draw that its program cannot repeat; here all are there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

HELD_OUT = 0.15


def leaking_places(count: int) -> Mapping[str, Sequence[int]]:
    """Places of a table's rows, from 0 on, in each of the leaking splits.

    Args:
        count: rows of the table.

    >>> {split: list(places) for split, places in leaking_places(7).items()}
    {'leaking_train': [3, 0, 5, 4], 'leaking_test': [6], 'leaking_val': [1, 2]}
    """
    train, held_out = _split(list(range(count)), 2 * HELD_OUT)
    test, val = _split(held_out, 0.5)
    return {"leaking_train": train, "leaking_test": test, "leaking_val": val}


def _split(places: Sequence[int], share: float) -> tuple[list[int], list[int]]:
    """What scikit-learn's ``train_test_split`` gives with the seed 0: the rest, and the share."""
    order = np.random.RandomState(0).permutation(len(places)).tolist()
    count = math.ceil(share * len(places))
    return [places[place] for place in order[count:]], [places[place] for place in order[:count]]
