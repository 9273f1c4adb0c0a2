"""Video summaries against several annotators: F-measure and rank correlation.

The F-measure follows the evaluation that DSNet, PGL-SUM and FullTransNet share (SumMe: best annotator, TVSum:
mean over annotators); the rank correlations follow Otani et al., CVPR 2019 (``mayu-ot/rethinking-evs``).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError

Over = Literal["max", "mean"]


def _users(reference: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    users = np.atleast_2d(np.asarray(reference))
    if users.ndim != 2 or users.size == 0:
        raise MedbenchError(
            "metric.shape", f"The {what} must have shape (users, frames), got {np.shape(reference)}."
        )
    return users


def f_measures(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """F-measure of a summary against each annotator's.

    Args:
        reference: annotators' summaries, 0/1, shape ``(users, frames)``.
        prediction: the summary, 0/1, shape ``(frames,)``; cut or padded with zeros to the reference's length.

    Returns:
        One value per annotator, 0 where the summaries share no frame.

    Raises:
        MedbenchError: ``metric.shape``.

    >>> f_measures([[1, 1, 0, 0], [0, 0, 1, 1]], [1, 0, 0, 0]).round(4)
    array([0.6667, 0.    ])
    """
    users = _users(reference, "annotators' summaries") != 0
    picks = np.asarray(prediction).reshape(-1) != 0
    summary = np.zeros(users.shape[1], np.bool_)
    length = min(len(picks), len(summary))
    summary[:length] = picks[:length]
    shared = (users & summary).sum(axis=1)
    total = users.sum(axis=1) + summary.sum()
    values = np.zeros(len(users))
    np.divide(2.0 * shared, total, out=values, where=shared > 0)
    return values


def f_measure(reference: npt.ArrayLike, prediction: npt.ArrayLike, *, over: Over) -> float:
    """F-measure, best (``"max"``, SumMe) or mean (``"mean"``, TVSum) over the annotators.

    >>> f_measure([[1, 1, 0, 0], [0, 0, 1, 1]], [1, 1, 0, 0], over="mean")
    0.5
    """
    values = f_measures(reference, prediction)
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
        MedbenchError: ``metric.shape`` when the lengths differ.

    >>> round(rank_correlation([[1, 2, 3, 4], [1, 2, 4, 3]], [0.1, 0.2, 0.3, 0.4], kind="spearman"), 6)
    0.9
    """
    from scipy import stats

    users = _users(reference, "annotated scores")
    scores = np.asarray(prediction, np.float64).reshape(-1)
    if users.shape[1] != len(scores):
        raise MedbenchError(
            "metric.shape", f"The reference has {users.shape[1]} frames, the prediction {len(scores)}."
        )
    if np.ptp(scores) == 0:
        return None
    rule = stats.kendalltau if kind == "kendall" else stats.spearmanr
    values = [float(rule(scores, user).statistic) for user in users if np.ptp(user) > 0]
    return float(np.mean(values)) if values else None
