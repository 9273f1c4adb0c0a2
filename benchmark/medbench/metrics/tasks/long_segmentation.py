"""Kernel temporal segmentation of long videos: the same optimum in memory that grows with the length.

The kernel is taken a few columns at a time, and of the scatter only the column of the frame just read is
kept. Two bounds leave out what cannot be part of the optimum: a number of changes whose penalty alone costs
more than some segmentation costs altogether; and a beginning of the last segment that a later one beats by
more than rounding, since splitting a segment never adds scatter (the inequality of PELT, Killick et al. 2012,
which holds for kernels too).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.metrics.arguments import numbers
from medbench.metrics.tasks.temporal_segmentation import best_segmentations_of, change_penalties

_COLUMNS, _COARSE_FRAMES, _COARSE_CHANGES, _PRUNE_EVERY = 128, 1000, 250, 8
_UNREACHABLE = 1e101

Array = npt.NDArray[np.float64]


def segment_features(
    features: npt.ArrayLike, max_changes: int | None = None, *, penalty: float = 1.0
) -> npt.NDArray[np.int64]:
    """Where the shots of a video change: :func:`kernel_temporal_segmentation` of ``features @ features.T``.

    Args:
        features: of the frames, shape ``(n, channels)``.
        max_changes: the most that are tried, n - 1 if ``None``.
        penalty: weight of the penalty on the number of changes.

    Returns:
        First frames of the shots after the first, ascending.

    Raises:
        MedbenchError: ``metric.shape``, ``metric.not_finite``.

    >>> segment_features(np.repeat(np.eye(3), [4, 2, 5], axis=0), penalty=0.1)
    array([4, 6])
    """
    frames = np.asarray(numbers(features, "array of features", finite=True), np.float64)
    if frames.ndim != 2 or frames.size == 0:
        raise MedbenchError(
            "metric.shape", f"Features have the shape (frames, channels), not {frames.shape}."
        )
    n = len(frames)
    most = n - 1 if max_changes is None else min(max_changes, n - 1)
    penalties = change_penalties(n, most, penalty)
    limit = _cost_bound(frames, penalties)
    within = np.flatnonzero(penalties <= limit)
    changes = int(within[-1]) if len(within) else 0
    least, back = _forward(frames, changes)
    count = int(np.argmin(least / n + penalties[: changes + 1]))
    places = np.zeros(count, np.int64)
    end = n
    for k in range(count, 0, -1):
        end = places[k - 1] = back[k, end]
    return places


def _cost_bound(frames: Array, penalties: Array) -> float:
    """Upper bound of the best segmentation's cost: the best one whose shots begin at every so many frames."""
    n = len(frames)
    step = -(-n // _COARSE_FRAMES)
    starts = np.arange(0, n, step)
    sums = np.add.reduceat(frames, starts, axis=0)
    own = np.concatenate([[0.0], np.add.reduceat((frames**2).sum(axis=1), starts).cumsum()])
    borders = np.append(starts, n)
    total = np.zeros((len(starts) + 1, len(starts) + 1))
    total[1:, 1:] = (sums @ sums.T).cumsum(0).cumsum(1)
    corner = np.diag(total)
    block = corner[None, 1:] + corner[:-1, None] - total[:-1, 1:] - total[1:, :-1].T
    lengths = np.maximum(borders[None, 1:] - borders[:-1, None], 1)
    scatter = np.triu(own[None, 1:] - own[:-1, None] - block / lengths)
    changes = min(len(starts) - 1, _COARSE_CHANGES, len(penalties) - 1)
    scatters = best_segmentations_of(scatter, changes).scatter
    return float((scatters / n + penalties[: changes + 1]).min()) * (1 + 1e-9) + 1e-12


def _forward(frames: Array, changes: int) -> tuple[Array, npt.NDArray[np.int32]]:
    """Least scatter of the whole with 0 … ``changes`` changes, and where the last segments begin."""
    n = len(frames)
    own = (frames**2).sum(axis=1)
    before = np.concatenate([[0.0], own.cumsum()])
    slack = 1e-9 * max(before[-1], 1e-300)
    least = np.full((changes + 1, n + 1), _UNREACHABLE)
    back = np.zeros((changes + 1, n + 1), np.int32)
    groups = [(low, min(2 * low, changes + 1)) for low in _powers(changes)]
    lowest = [0] * len(groups)
    blocks, lengths = np.zeros(n), np.arange(n, 0, -1, dtype=np.float64)
    for first in range(0, n, _COLUMNS):
        columns = frames[: first + _COLUMNS] @ frames[first : first + _COLUMNS].T
        for offset in range(columns.shape[1]):
            last = first + offset
            blocks[: last + 1] += 2 * columns[last::-1, offset].cumsum()[::-1] - own[last]
            column = before[last + 1] - before[: last + 1] - blocks[: last + 1] / lengths[n - last - 1 :]
            least[0, last + 1] = column[0]
            for place, (low, high) in enumerate(groups):
                if low > last:
                    break
                begin = lowest[place]
                totals = least[low - 1 : high - 1, begin : last + 1] + column[begin:]
                beginnings = totals.argmin(axis=1)
                levels = np.arange(high - low)
                least[low:high, last + 1] = np.minimum(totals[levels, beginnings], _UNREACHABLE)
                back[low:high, last + 1] = begin + beginnings
                if last % _PRUNE_EVERY == 0:
                    beaten = totals > least[low - 1 : high - 1, last + 1, None] + slack
                    lowest[place] = begin + int(
                        np.where(beaten.all(axis=1), last + 1 - begin, beaten.argmin(axis=1)).min()
                    )
    return least[:, n], back


def _powers(changes: int) -> list[int]:
    """1, 2, 4 … up to ``changes``."""
    return [1 << power for power in range(changes.bit_length())]
