"""Video summaries against several annotators: F-measure and rank correlation.

The F-measure follows the evaluation that DSNet, PGL-SUM and FullTransNet share (SumMe: best annotator, TVSum:
mean over annotators); the rank correlations follow Otani et al., CVPR 2019 (``mayu-ot/rethinking-evs``).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.text import counted, first_line
from medbench.metrics.arguments import check_choice, numbers

Over = Literal["max", "mean"]
_LONGEST_IN_PAIRS = 1000
SPARE_FRAMES = 2
"""Decoders and annotations may differ by so many frames in the length of a video."""


def _users(reference: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    users = np.atleast_2d(numbers(reference, what))
    if users.ndim != 2 or users.size == 0:
        raise MedbenchError(
            "metric.shape", f"The {what} must have shape (users, frames), got {np.shape(reference)}."
        )
    for number, user in enumerate(users, 1):
        if not np.isfinite(user).all():
            raise MedbenchError(
                "metric.not_finite",
                f"Annotator {number} of {len(users)} has NaN or infinity among the {what}.",
                "Correct that annotator's row, or leave the annotator out yourself and say so.",
            )
    return users


def as_summary(values: npt.ArrayLike, what: str = "The summary") -> npt.NDArray[np.bool_]:
    """Frames that belong to a summary, from 0 and 1.

    Args:
        values: 0/1 or truth values, any shape.
        what: whose values they are, for the error.

    Raises:
        MedbenchError: ``summary.not_binary`` for other values, such as importance scores or NaN.

    >>> as_summary([0.0, 1.0]).tolist()
    [False, True]
    """
    summary = numbers(values, "summary")
    if summary.dtype == np.bool_:
        return summary
    wrong = ~np.isin(summary, (0, 1))
    if wrong.any():
        raise MedbenchError(
            "summary.not_binary",
            f"{what} holds {summary[wrong].reshape(-1)[0]:g} where a frame is chosen (1) or not (0).",
            "Make a summary of importance scores first: medbench.metrics.tasks.shots.make_summary.",
        )
    return summary.astype(np.bool_)


def check_length(frames: int, length: int, what: str = "The summary") -> None:
    """Refuse a summary whose length is not that of its video, give or take :data:`SPARE_FRAMES`.

    Raises:
        MedbenchError: ``summary.length``.
    """
    if abs(frames - length) > SPARE_FRAMES:
        raise MedbenchError(
            "summary.length",
            f"{what} has {counted(length, 'frame')}, the video {frames}.",
            "A summary has one 0 or 1 for every frame of the video, not for every sampled one.",
        )


def f_measures(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """F-measure of a summary against each annotator's.

    Args:
        reference: annotators' summaries, 0/1, shape ``(users, frames)``.
        prediction: the summary, 0/1, shape ``(frames,)``; cut or padded with zeros to the reference's length.

    Returns:
        One value per annotator, 0 where the summaries share no frame.

    Raises:
        MedbenchError: ``metric.shape``, ``metric.not_finite`` naming the annotator, ``summary.not_binary``.

    >>> f_measures([[1, 1, 0, 0], [0, 0, 1, 1]], [1, 0, 0, 0]).round(4)
    array([0.6667, 0.    ])
    """
    users = as_summary(_users(reference, "annotators' summaries"), "An annotator's summary")
    picks = as_summary(prediction).reshape(-1)
    summary = np.zeros(users.shape[1], np.bool_)
    length = min(len(picks), len(summary))
    summary[:length] = picks[:length]
    overlap = (users & summary).sum(axis=1)
    total = users.sum(axis=1) + summary.sum()
    values = np.zeros(len(users))
    np.divide(2.0 * overlap, total, out=values, where=overlap > 0)
    return values


def f_measure(reference: npt.ArrayLike, prediction: npt.ArrayLike, *, over: Over) -> float:
    """F-measure, best (``"max"``, SumMe) or mean (``"mean"``, TVSum) over the annotators.

    Raises:
        MedbenchError: as :func:`f_measures`, and ``summary.length`` where the lengths differ by more than
            :data:`SPARE_FRAMES`.

    >>> f_measure([[1, 1, 0, 0], [0, 0, 1, 1]], [1, 1, 0, 0], over="mean")
    0.5
    """
    check_choice(over, "mean over annotators", ("max", "mean"))
    users, summary = _users(reference, "annotators' summaries"), as_summary(prediction)
    check_length(users.shape[1], summary.size)
    values = f_measures(users, summary)
    return float(values.max() if over == "max" else values.mean())


def rank_correlation(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, kind: Literal["kendall", "spearman"]
) -> float | None:
    """Mean over the annotators of the correlation between predicted and annotated importance.

    Kendall's tau-b or Spearman's rho, both with tied values. An annotator who rates all frames alike has no
    correlation and is left out; None when nobody is left or the prediction is constant.

    Args:
        reference: importance scores, shape ``(users, frames)`` or ``(frames,)``.
        prediction: importance scores, shape ``(frames,)``.

    Raises:
        MedbenchError: ``metric.shape`` when the lengths differ, ``metric.not_finite`` naming the annotator,
            or for a prediction with NaN.

    >>> round(rank_correlation([[1, 2, 3, 4], [1, 2, 4, 3]], [0.1, 0.2, 0.3, 0.4], kind="spearman"), 6)
    0.9
    """
    users = _users(reference, "annotated scores")
    scores = numbers(prediction, "row of predicted scores").reshape(-1)
    values = rank_correlations(users, scores[None], kind=kind)[0]
    there = np.isfinite(values)
    return float(values[there].mean()) if there.any() else None


def rank_correlations(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, kind: Literal["kendall", "spearman"]
) -> npt.NDArray[np.float64]:
    """Kendall's tau-b or Spearman's rho of every prediction with every annotator.

    Args:
        reference: importance scores, shape ``(users, frames)``.
        prediction: importance scores, shape ``(predictions, frames)``.
        kind: which of the two.

    Returns:
        Shape ``(predictions, users)``; NaN where one of the two is constant.

    Raises:
        MedbenchError: ``metric.shape`` when the lengths differ, ``metric.not_finite`` naming the annotator.

    >>> rank_correlations([[1, 2, 3], [3, 2, 1]], [[1, 5, 9]], kind="kendall")
    array([[ 1., -1.]])
    """
    check_choice(kind, "rank correlation", ("kendall", "spearman"))
    users = np.asarray(_users(reference, "annotated scores"), np.float64)
    values = numbers(prediction, "row of predicted scores", finite=True)
    scores = np.atleast_2d(values.astype(np.float64, copy=False))
    if users.shape[1] != scores.shape[1]:
        raise MedbenchError(
            "metric.shape",
            f"The reference has {counted(users.shape[1], 'frame')}, the prediction {scores.shape[1]}.",
            "Give one number a frame.",
        )
    return _taus(scores, users) if kind == "kendall" else _rhos(scores, users)


def _taus(scores: npt.NDArray[np.float64], users: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if users.shape[1] > _LONGEST_IN_PAIRS:
        from scipy import stats

        constant = [np.ptp(user) == 0 for user in users]
        return np.array(
            [
                [
                    np.nan if np.ptp(row) == 0 or flat else stats.kendalltau(row, user).statistic
                    for user, flat in zip(users, constant, strict=True)
                ]
                for row in scores
            ]
        )
    first, second = np.triu_indices(users.shape[1], 1)
    own, theirs = (np.sign(rows[:, first] - rows[:, second]) for rows in (scores, users))
    norms = (own**2).sum(axis=1)[:, None] * (theirs**2).sum(axis=1)[None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norms > 0, own @ theirs.T / np.sqrt(norms), np.nan)


def _rhos(scores: npt.NDArray[np.float64], users: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy import stats

    own, theirs = (stats.rankdata(rows, axis=1) for rows in (scores, users))
    own, theirs = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (own, theirs))
    spread = np.sqrt((own**2).sum(axis=1)[:, None] * (theirs**2).sum(axis=1)[None])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, own @ theirs.T / spread, np.nan)


def over_random(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> float | None:
    """Mean F-measure over that of random scores on the same videos (Apostolidis et al., ACM MM 2020).

    Args:
        reference: expected F-measure of random scores, one a video.
        prediction: F-measure of the model, one a video.

    Returns:
        1 for a model that is no better than chance; ``None`` where random scores have 0.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape`` or ``metric.not_finite``.

    >>> over_random([0.2, 0.3], [0.4, 0.6])
    2.0
    """
    chance = numbers(reference, "reference", finite=True).astype(np.float64).reshape(-1)
    values = numbers(prediction, "prediction", finite=True).astype(np.float64).reshape(-1)
    if chance.shape != values.shape or chance.size == 0:
        raise MedbenchError("metric.shape", "Give one value a video, of random scores and of the model.")
    return float(values.mean() / chance.mean()) if chance.mean() > 0 else None


def spread_of_means(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> float | None:
    """Standard deviation (n − 1) of the means of groups: folds, or repetitions with other seeds.

    Args:
        reference: the group of each value.
        prediction: values.

    Returns:
        ``None`` for fewer than two groups.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape`` or ``metric.not_finite``.

    >>> spread_of_means(["fold1", "fold1", "fold2"], [0.2, 0.4, 0.5]).__round__(6)
    0.141421
    """
    values = numbers(prediction, "prediction", finite=True).astype(np.float64).reshape(-1)
    groups = _groups(reference)
    if groups.shape != values.shape or values.size == 0:
        raise MedbenchError("metric.shape", "Give one group and one value a case.")
    means = [values[groups == group].mean() for group in np.unique(groups)]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def _groups(reference: Any) -> npt.NDArray[Any]:
    """Groups by numbers or names, one a value."""
    try:
        groups = np.asarray(reference).reshape(-1)
        np.unique(groups)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MedbenchError(
            "metric.array",
            f"The reference is no list of groups: {first_line(error)}",
            "Give the number or the name of each value's group.",
        ) from error
    return groups
