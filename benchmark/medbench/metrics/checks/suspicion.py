"""Label maps that would score much higher mirrored, transposed, inverted or with exchanged labels.

A wrong order of axes, an inverted mask or a swapped pair of labels is a mistake of whoever saved the file,
not of the model. It is scored as it is, and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.result_table import FLAGS

MARGIN = 0.3
MOST_LABELS = 64

Labels = npt.NDArray[Any]


def flags(reference: Labels, prediction: Labels) -> Mapping[str, list[str]]:
    """The entry ``flags`` of a row's evidence; nothing where nothing is suspicious.

    Args:
        reference: label map of two or three axes.
        prediction: the same shape.
    """
    told = suspicions(reference, prediction)
    return {FLAGS: told} if told else {}


def suspicions(reference: Labels, prediction: Labels) -> list[str]:
    """What would raise the mean Dice of the reference's labels by more than 0.3, the largest gain first.

    >>> mask = np.zeros((8, 8), int)
    >>> mask[:, :3] = 1
    >>> suspicions(mask, mask[:, ::-1])[0]
    'mirrored along axis 1: mean Dice 0.00 would be 1.00'
    """
    one, other = np.asarray(reference), np.asarray(prediction)
    marked = np.flatnonzero((one != 0) | (other != 0))
    sides = [np.unique(array.reshape(-1)[marked]) for array in (one, other)]
    values = np.union1d(*sides).astype(np.int64)
    if one.ndim not in (2, 3) or not 0 < len(values) <= MOST_LABELS or values[0] < 0 or not other.any():
        return []
    values = np.union1d([0], values)
    table = np.zeros(values[-1] + 1, np.uint8)
    table[values] = np.arange(len(values))
    wanted = np.flatnonzero(np.isin(values, sides[0]) & (values != 0)).tolist()
    one_marked, other_marked = (table[array.reshape(-1)[marked]] for array in (one, other))
    own = _mean_dice(_pairs(one_marked, other_marked, len(values)), wanted)
    if not wanted or own > 1 - MARGIN:
        return []
    first, second = table[one], table[other]
    counts = _pairs(first, second, len(values))
    gains = [(_mean_dice(_pairs(first, moved, len(values)), wanted), what) for what, moved in _moved(second)]
    if len(values) == 2:
        gains.append((_mean_dice(counts[:, ::-1], wanted), "inverted"))
    gains.append(_exchanged(counts, wanted, values))
    large = sorted((gain for gain in gains if gain[0] - own > MARGIN), key=lambda gain: -gain[0])
    return [f"{what}: mean Dice {own:.2f} would be {dice:.2f}" for dice, what in large[:3]]


def _pairs(reference: Labels, prediction: Labels, n_labels: int) -> npt.NDArray[np.int64]:
    """How often each label of the reference meets each of the prediction."""
    joint = reference.astype(np.int32) * n_labels + prediction
    return np.bincount(joint.ravel(), minlength=n_labels**2).reshape(n_labels, n_labels)


def _dice(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Dice of every label of the reference with every label of the prediction."""
    total = counts.sum(axis=1)[:, np.newaxis] + counts.sum(axis=0)[np.newaxis]
    return np.asarray(2 * counts / np.maximum(total, 1))


def _mean_dice(counts: npt.NDArray[np.int64], wanted: list[int]) -> float:
    return float(np.diag(_dice(counts))[wanted].mean()) if wanted else 0.0


def _moved(prediction: Labels) -> Iterator[tuple[str, Labels]]:
    axes = range(prediction.ndim)
    for count in axes:
        for chosen in combinations(axes, count + 1):
            yield f"mirrored along axis {' and '.join(map(str, chosen))}", np.flip(prediction, chosen)
    for one, other in combinations(axes, 2):
        if prediction.shape[one] == prediction.shape[other]:
            yield f"with axes {one} and {other} transposed", np.swapaxes(prediction, one, other)


def _exchanged(
    counts: npt.NDArray[np.int64], wanted: list[int], values: npt.NDArray[Any]
) -> tuple[float, str]:
    """The best assignment of the prediction's labels to those of the reference."""
    from scipy.optimize import linear_sum_assignment

    dice = _dice(counts)
    foreground = [index for index in range(len(values)) if values[index] != 0]
    rows, columns = linear_sum_assignment(-dice[np.ix_(wanted, foreground)])
    pairs = [(wanted[row], foreground[column]) for row, column in zip(rows, columns, strict=True)]
    names = ", ".join(f"{values[theirs]:g} for {values[ours]:g}" for ours, theirs in pairs if ours != theirs)
    return float(
        sum(dice[ours, theirs] for ours, theirs in pairs) / len(wanted)
    ), f"with labels exchanged ({names})"
