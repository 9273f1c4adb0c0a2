"""Video summaries from scores of frames: scores of shots, and the knapsack that selects shots.

The steps that FullTransNet shares with DSNet and other programs on SumMe and TVSum. Others (PGL-SUM, CSTA,
VASNet) keep the scores of shots as floating-point numbers and so choose other shots.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.metrics.arguments import numbers

Arithmetic = Literal["float32", "float64"]
SUMMARY_SHARE = 0.15


def spread_scores(scores: npt.ArrayLike, picks: npt.ArrayLike, n_frames: int) -> npt.NDArray[np.float32]:
    """A score for every frame of a video: that of the last frame before it that was scored.

    Args:
        scores: of the scored frames, shape ``(n,)``.
        picks: their indices in the video, ascending, shape ``(n,)``.
        n_frames: of the video.

    Returns:
        Shape ``(n_frames,)``; frames before the first scored one get 0.

    Raises:
        MedbenchError: ``metric.shape``, or ``summary.picks`` for indices that do not ascend or lie outside.

    >>> spread_scores([0.5, 1.0], [1, 3], 5)
    array([0. , 0.5, 0.5, 1. , 1. ], dtype=float32)
    """
    values = numbers(scores, "row of scores", finite=True).astype(np.float32)
    places = _whole(numbers(picks, "row of picks"), "picks")
    if values.ndim != 1 or values.shape != places.shape or values.size == 0:
        raise MedbenchError(
            "metric.shape",
            f"Scores of shape {values.shape} and picks of shape {places.shape} do not go together.",
            "Give one score a picked frame.",
        )
    borders = np.concatenate([places, [n_frames]])
    if places[0] < 0 or (np.diff(borders) < 1).any():
        raise MedbenchError(
            "summary.picks", f"The picks do not ascend from 0 to below {n_frames}.", "Are they of this video?"
        )
    return np.repeat(np.concatenate([np.zeros(1, np.float32), values]), np.diff(borders, prepend=0))


def shot_scores(
    frame_scores: npt.ArrayLike, change_points: npt.ArrayLike, *, arithmetic: Arithmetic = "float64"
) -> npt.NDArray[np.int64]:
    """Thousandths of the mean score of each shot, cut to whole numbers.

    The mean is taken in float32. The authors' program then multiplies in float64 under numpy 1 and in float32
    under numpy 2, which rounds some products up to the next whole number.

    Args:
        frame_scores: shape ``(n_frames,)``.
        change_points: first and last frame of each shot, both inclusive, shape ``(shots, 2)``.
        arithmetic: of the product.

    Raises:
        MedbenchError: ``metric.shape``, or ``summary.shots`` for shots outside the video or without frames.

    >>> shot_scores([0.57] * 4, [[0, 3]]), shot_scores([0.57] * 4, [[0, 3]], arithmetic="float32")
    (array([569]), array([570]))
    """
    scores = numbers(frame_scores, "row of scores", finite=True).astype(np.float32)
    if scores.ndim != 1:
        raise MedbenchError(
            "metric.shape", f"Scores have the shape (frames,), not {scores.shape}.", "Give one a frame."
        )
    shots = _shots(change_points, len(scores))
    means = np.array([scores[first : last + 1].mean() for first, last in shots], np.float32)
    thousandths: npt.NDArray[Any] = means.astype(arithmetic) * np.dtype(arithmetic).type(1000)
    return thousandths.astype(np.int64)


def _shots(change_points: npt.ArrayLike, n_frames: int) -> npt.NDArray[Any]:
    shots = _whole(numbers(change_points, "array of change points"), "change points")
    if shots.ndim != 2 or shots.shape[1] != 2 or len(shots) == 0:
        raise MedbenchError(
            "metric.shape",
            f"Change points have the shape (shots, 2), not {shots.shape}.",
            "Give the first and last frame of each shot.",
        )
    wrong = (shots[:, 0] < 0) | (shots[:, 1] < shots[:, 0]) | (shots[:, 1] >= n_frames)
    if wrong.any():
        first, last = shots[wrong][0]
        raise MedbenchError(
            "summary.shots",
            f"The shot {first}–{last} is no part of a video of {counted(n_frames, 'frame')}.",
            "Are the change points of this video, with both ends inclusive?",
        )
    return shots


def _whole(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    if array.dtype.kind not in "iu":
        raise MedbenchError(
            "metric.array", f"The {name} are no whole numbers but {array.dtype}.", "They count frames from 0."
        )
    return array


def select_shots(values: npt.ArrayLike, weights: npt.ArrayLike, capacity: int) -> npt.NDArray[np.int64]:
    """The most valuable shots that fit: which optimum, as OR-tools' dynamic programming chooses it.

    All shots if they fit together. Otherwise a shot is taken only where it strictly adds value, later shots
    decided first; in the end the first shot, if it is worth nothing and there is room left for it, is added.

    Args:
        values: whole numbers from 0 on, shape ``(shots,)``.
        weights: frames of each shot, whole numbers from 0 on, shape ``(shots,)``.
        capacity: frames that the summary may have.

    Returns:
        Ascending indices.

    Raises:
        MedbenchError: ``metric.shape``, or ``summary.knapsack`` for negative numbers or fractions.

    >>> select_shots([3, 4, 5], [2, 3, 4], 6).tolist()
    [0, 2]
    >>> select_shots([0, 0, 0], [2, 2, 2], 4).tolist()
    [0]
    """
    worth, sizes = numbers(values, "row of values"), numbers(weights, "row of weights")
    _check_knapsack(worth, sizes, capacity)
    if sizes.sum() <= capacity:
        return np.arange(len(sizes))
    best = np.zeros(capacity + 1, np.int64)
    choices = np.zeros((len(sizes), capacity + 1), np.bool_)
    for item, (value, size) in enumerate(zip(worth.tolist(), sizes.tolist(), strict=True)):
        if size <= capacity:
            candidate = best[: capacity + 1 - size] + value
            choices[item, size:] = candidate > best[size:]
            best[size:] = np.maximum(candidate, best[size:])
    items, room = [], capacity
    for item in range(len(sizes) - 1, -1, -1):
        if choices[item, room]:
            items.append(item)
            room -= int(sizes[item])
    if 0 not in items and worth[0] == 0 and room > 0 and sizes[0] <= room:
        items.append(0)
    return np.array(items[::-1], np.int64)


def _check_knapsack(worth: npt.NDArray[Any], sizes: npt.NDArray[Any], capacity: int) -> None:
    if worth.ndim != 1 or worth.shape != sizes.shape or worth.size == 0:
        raise MedbenchError(
            "metric.shape",
            f"Values of shape {worth.shape} and weights of shape {sizes.shape} do not go together.",
            "Give one value and one weight a shot.",
        )
    whole = all(array.dtype.kind in "iu" for array in (worth, sizes))
    if not whole or min(int(worth.min()), int(sizes.min()), capacity) < 0:
        raise MedbenchError(
            "summary.knapsack",
            "Values, weights and capacity of a knapsack are whole numbers from 0 on.",
            "shot_scores makes such values.",
        )


def make_summary(
    scores: npt.ArrayLike,
    picks: npt.ArrayLike,
    n_frames: int,
    change_points: npt.ArrayLike,
    shot_frames: npt.ArrayLike | None = None,
    *,
    share: float = SUMMARY_SHARE,
    arithmetic: Arithmetic = "float64",
) -> npt.NDArray[np.bool_]:
    """Frames of the summary that scores lead to.

    Args:
        scores: of the scored frames, shape ``(n,)``.
        picks: their indices in the video.
        n_frames: of the video.
        change_points: first and last frame of each shot, both inclusive, shape ``(shots, 2)``.
        shot_frames: frames of each shot, as the data sets list them; counted if not given.
        share: of the video that the summary may have.
        arithmetic: see :func:`shot_scores`.

    Returns:
        Shape ``(n_frames,)``.

    Raises:
        MedbenchError: as the functions for the steps.

    >>> make_summary([0.1, 0.9], [0, 5], 10, [[0, 4], [5, 9]], share=0.5).astype(int)
    array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    """
    shots = _shots(change_points, n_frames)
    values = shot_scores(spread_scores(scores, picks, n_frames), shots, arithmetic=arithmetic)
    sizes = shots[:, 1] - shots[:, 0] + 1 if shot_frames is None else np.asarray(shot_frames)
    summary = np.zeros(n_frames, np.bool_)
    for first, last in shots[select_shots(values, sizes, int(share * n_frames))]:
        summary[first : last + 1] = True
    return summary
