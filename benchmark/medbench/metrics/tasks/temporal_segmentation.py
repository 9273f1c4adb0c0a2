"""Kernel temporal segmentation: the shots of a video from the similarity of its frames.

Potapov et al., Category-specific video summarization, ECCV 2014, as the programs on SumMe and TVSum run it.
The dynamic programming is over all lengths at once, and its back-pointers are kept, so that the number of
changes is chosen without running it twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.metrics.arguments import numbers

_UNREACHABLE = 1e101
_FRAME_STEP = 15


@dataclass(frozen=True, slots=True, eq=False)
class Segmentations:
    """The best segmentations of n frames into 1, 2, … segments.

    Attributes:
        scatter: of the best segmentation with k changes, shape ``(changes + 1,)``; inf where none exists.
        back: ``back[k, l]`` is where the last segment begins, of the best k changes in the first l frames.
    """

    scatter: npt.NDArray[np.float64]
    back: npt.NDArray[np.int64]

    def changes(self, count: int) -> npt.NDArray[np.int64]:
        """First frames of the segments after the first, ascending, shape ``(count,)``."""
        places = np.zeros(count, np.int64)
        end = self.back.shape[1] - 1
        for k in range(count, 0, -1):
            end = places[k - 1] = self.back[k, end]
        return places


def segment_scatter(kernel: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Scatter within each run of frames: ``J[i, j] = Σ K[t, t] - Σ Σ K[a, b] / (j - i + 1)`` over i … j.

    Args:
        kernel: similarity of frames, symmetric, shape ``(n, n)``.

    Returns:
        Shape ``(n, n)``; 0 below the diagonal.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape`` or ``metric.not_finite``.

    >>> segment_scatter([[1, 0], [0, 1]])
    array([[0., 1.],
           [0., 0.]])
    """
    matrix = np.asarray(numbers(kernel, "kernel", finite=True), np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise MedbenchError(
            "metric.shape", f"A kernel has the shape (frames, frames), not {matrix.shape}.", "Give F @ F.T."
        )
    n = len(matrix)
    sums = np.zeros((n + 1, n + 1))
    sums[1:, 1:] = matrix.cumsum(0).cumsum(1)
    own = np.concatenate([[0.0], np.diag(matrix).cumsum()])
    first, last = np.arange(n)[:, None], np.arange(1, n + 1)[None]
    corner = np.diag(sums)
    block = corner[last] + corner[first] - sums[:-1, 1:] - sums[1:, :-1].T
    lengths = np.maximum(last - first, 1)
    return np.triu(own[last] - own[first] - block / lengths)


def best_segmentations(
    kernel: npt.ArrayLike, changes: int, *, min_length: int = 1, max_length: int | None = None
) -> Segmentations:
    """Segmentations of least scatter with 0 … ``changes`` changes.

    Of equal ones the last segment that begins first is kept. O(n²) memory, O(changes · n²) time.

    Args:
        kernel: similarity of frames, symmetric, shape ``(n, n)``.
        changes: the largest number of them.
        min_length: frames of the shortest segment.
        max_length: frames of the longest segment, n if ``None``; as in the authors' program the first segment
            is shorter than that.

    Raises:
        MedbenchError: ``metric.shape``, or ``kts.lengths`` when no such segmentation exists.
    """
    return best_segmentations_of(
        segment_scatter(kernel), changes, min_length=min_length, max_length=max_length
    )


def best_segmentations_of(
    scatter: npt.NDArray[np.float64], changes: int, *, min_length: int = 1, max_length: int | None = None
) -> Segmentations:
    """As :func:`best_segmentations`, from the scatter of every run of frames.

    Raises:
        MedbenchError: as :func:`best_segmentations`.
    """
    n = len(scatter)
    longest = n + 1 if max_length is None else max_length
    if changes < 0 or min_length < 1 or not (changes + 1) * min_length <= n <= (changes + 1) * longest:
        raise MedbenchError(
            "kts.lengths",
            f"A video of {counted(n, 'frame')} has no {counted(changes + 1, 'segment')} of {min_length} to "
            f"{counted(longest, 'frame')}.",
            "Ask for another number of changes or other lengths.",
        )
    least = np.full((changes + 1, n + 1), _UNREACHABLE)
    back = np.zeros((changes + 1, n + 1), np.int64)
    stop = min(longest, n + 1)
    least[0, min_length:stop] = scatter[0, min_length - 1 : stop - 1]
    begins, ends = np.arange(n)[:, None], np.arange(1, n + 1)[None]
    is_valid = (ends - begins >= min_length) & (ends - begins <= longest)
    costs = np.where(is_valid, scatter, _UNREACHABLE)
    for k in range(1, changes + 1):
        start = k * min_length
        totals = costs[start:, start:] + least[k - 1, start:n, None]
        places = totals.argmin(axis=0)
        back[k, start + 1 :] = start + places
        least[k, start + 1 :] = np.minimum(totals[places, np.arange(n - start)], _UNREACHABLE)
    least_at_end = least[:, n]
    return Segmentations(np.where(least_at_end > 1e99, np.inf, least_at_end), back)


def kernel_temporal_segmentation(
    kernel: npt.ArrayLike, max_changes: int | None = None, *, penalty: float = 1.0
) -> npt.NDArray[np.int64]:
    """Where the shots change, their number chosen by a penalty on it.

    The number k is the first least of ``scatter(k) / n + penalty · k / (2 n) · (ln(n / k) + 1)``.

    Args:
        kernel: similarity of frames, symmetric, shape ``(n, n)``; ``F @ F.T`` of the features.
        max_changes: the most that are tried, n - 1 if ``None``, as the authors' program does; the time grows
            in proportion.
        penalty: its weight.

    Returns:
        First frames of the shots after the first, ascending.

    Raises:
        MedbenchError: ``metric.shape``, or ``kts.lengths`` for ``max_changes`` of n or more.

    >>> features = np.repeat(np.eye(3), [4, 2, 5], axis=0)
    >>> kernel_temporal_segmentation(features @ features.T, penalty=0.1)
    array([4, 6])
    """
    scatter = segment_scatter(kernel)
    n = len(scatter)
    segmentations = best_segmentations_of(scatter, n - 1 if max_changes is None else max_changes)
    penalties = change_penalties(n, len(segmentations.scatter) - 1, penalty)
    return segmentations.changes(int(np.argmin(segmentations.scatter / n + penalties)))


def change_penalties(n: int, changes: int, penalty: float = 1.0) -> npt.NDArray[np.float64]:
    """Penalties on 0 … ``changes`` changes in n frames, ``penalty · k / (2 n) · (ln(n / k) + 1)``."""
    counts = np.arange(1, changes + 1)
    penalties = np.zeros(changes + 1)
    penalties[1:] = penalty * counts / (2.0 * n) * (np.log(n / counts) + 1)
    return penalties


def shots_between(changes: npt.ArrayLike, n_frames: int, step: int = _FRAME_STEP) -> npt.NDArray[np.int64]:
    """First and last frame of each shot, both inclusive, shape ``(shots, 2)``.

    Args:
        changes: first frames of the shots after the first, among every ``step``-th frame.
        n_frames: of the video.
        step: frames of the video per frame that was segmented.

    >>> shots_between([2], 60).tolist()
    [[0, 29], [30, 59]]
    """
    borders = np.concatenate([[0], np.asarray(changes, np.int64) * step, [n_frames]])
    return np.stack([borders[:-1], borders[1:] - 1], axis=1)
