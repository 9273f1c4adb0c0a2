"""Binary classification of frames: accuracy, F1, ROC AUC, Matthews correlation, average precision.

Class 1 is the positive class (the standard plane of IUGC 2024, maskoffs/IUGC2024@bad8150,
``starting_tool_kit/utils/evaluator.py``). Predictions are either class scores of shape ``(n, 2)``, from
which labels come by argmax (a tie goes to class 0) and ranks from the column of class 1 as it stands, or
plain labels or ranks of shape ``(n,)``.

Every function takes ``weights`` of shape ``(..., n)``. Without them it returns a :class:`Score`; with them
an array of shape ``(...)`` in which NaN stands for undefined, so that all bootstrap resamples of a
confidence interval are one call (a resample is the vector of how often each frame was drawn).
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.core.text import counted
from medbench.metrics.arguments import numbers
from medbench.metrics.arrays import ratio

Floats = npt.NDArray[np.float64]
_CHUNK_ELEMENTS = 1 << 21


def _reference(reference: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    labels = numbers(reference, "reference")
    if labels.ndim != 1 or labels.size == 0:
        raise MedbenchError(
            "metric.shape", f"Reference labels must be a non-empty vector, got shape {labels.shape}."
        )
    if not np.isin(labels, (0, 1)).all():
        examples = ", ".join(str(value) for value in np.unique(labels)[:5])
        raise MedbenchError("metric.labels", f"Reference labels must be 0 or 1, found {examples}.")
    return np.asarray(labels == 1)


def _scores(prediction: npt.ArrayLike, n: int) -> npt.NDArray[Any]:
    scores = numbers(prediction, "prediction", finite=True)
    if scores.shape not in ((n,), (n, 2)):
        raise MedbenchError(
            "metric.shape",
            f"The prediction has shape {scores.shape}, the reference has {counted(n, 'label')}.",
            f"Give class scores of shape ({n}, 2) or one number per label, shape ({n},).",
        )
    return scores


def positive_labels(prediction: npt.ArrayLike, n: int) -> npt.NDArray[np.bool_]:
    """Which of ``n`` predictions are class 1: argmax of ``(n, 2)`` scores (a tie is 0), or 0/1 labels."""
    scores = _scores(prediction, n)
    if scores.ndim == 2:
        return np.asarray(scores[:, 1] > scores[:, 0])
    if not np.isin(scores, (0, 1)).all():
        raise MedbenchError(
            "metric.labels",
            "Predicted labels must be 0 or 1.",
            "Give both class scores, shape (n, 2), and the label is their argmax.",
        )
    return np.asarray(scores == 1)


def _ranks(prediction: npt.ArrayLike, n: int) -> npt.NDArray[Any]:
    scores = _scores(prediction, n)
    return scores[:, 1] if scores.ndim == 2 else scores


def _weights(weights: npt.ArrayLike, n: int) -> Floats:
    array = np.asarray(numbers(weights, "row of weights"), dtype=np.float64)
    if array.ndim < 1 or array.shape[-1] != n:
        raise MedbenchError("metric.shape", f"Weights must have shape (..., {n}), got {array.shape}.")
    if array.size and not array.min() >= 0:
        raise MedbenchError(
            "metric.weights", "Weights must not be negative or NaN.", "Give 0 or more a case."
        )
    return array


def _confusion(reference: npt.ArrayLike, prediction: npt.ArrayLike, weights: npt.ArrayLike | None) -> Floats:
    """Weighted tn, fp, fn, tp on the last axis, shape ``(..., 4)``."""
    truth = _reference(reference)
    n = truth.size
    code = 2 * truth + positive_labels(prediction, n)
    if weights is None:
        return np.bincount(code, minlength=4).astype(np.float64)
    return np.asarray(_weights(weights, n) @ np.eye(4)[code])


def _score(value: Floats, reason: str) -> Score:
    number = float(value)
    return Score.undefined(reason) if np.isnan(number) else Score(number)


@overload
def accuracy(reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: None = None) -> Score: ...
@overload
def accuracy(reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: npt.ArrayLike) -> Floats: ...
def accuracy(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> Score | Floats:
    """Share of frames whose label is right. Range 0 to 1, higher is better.

    Args:
        reference: 0/1 labels, shape ``(n,)``.
        prediction: class scores ``(n, 2)`` or labels ``(n,)``.
        weights: non-negative, shape ``(..., n)``.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape``, ``metric.labels``, ``metric.not_finite`` or
            ``metric.weights``.

    >>> accuracy([0, 1, 1], [[.9, .1], [.5, .5], [.2, .8]]).value
    0.6666666666666666
    """
    tn, fp, fn, tp = np.moveaxis(_confusion(reference, prediction, weights), -1, 0)
    value = ratio(tn + tp, tn + fp + fn + tp, np.nan)
    return _score(value, "all weights are zero") if weights is None else value


@overload
def f1(reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: None = None) -> Score: ...
@overload
def f1(reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: npt.ArrayLike) -> Floats: ...
def f1(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> Score | Floats:
    """F1 of class 1, 2TP / (2TP + FP + FN); 0 when class 1 is neither present nor predicted.

    Range 0 to 1, higher is better. Arguments and errors as :func:`accuracy`; equal to scikit-learn's
    ``f1_score(..., zero_division=0)``.

    >>> f1([0, 1, 1], [0, 1, 0]).value
    0.6666666666666666
    """
    tn, fp, fn, tp = np.moveaxis(_confusion(reference, prediction, weights), -1, 0)
    value = ratio(2 * tp, 2 * tp + fp + fn, 0.0)
    value = np.where(tn + tp + fp + fn > 0, value, np.nan)
    return _score(value, "all weights are zero") if weights is None else value


@overload
def mcc(reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: None = None) -> Score: ...
@overload
def mcc(reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: npt.ArrayLike) -> Floats: ...
def mcc(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> Score | Floats:
    """Matthews correlation coefficient; 0 when the reference or the prediction has one class only.

    Range -1 to 1, higher is better. Arguments and errors as :func:`accuracy`; equal to scikit-learn's
    ``matthews_corrcoef``. The organisers' program gets the same number after overwriting the caller's
    zeros by -1; this one leaves its arguments alone.

    >>> round(mcc([0, 1, 1, 1], [0, 1, 1, 0]).value, 6)
    0.57735
    """
    tn, fp, fn, tp = np.moveaxis(_confusion(reference, prediction, weights), -1, 0)
    scale = np.sqrt((tp + fp) * (tp + fn)) * np.sqrt((tn + fp) * (tn + fn))
    value = ratio(tp * tn - fp * fn, scale, 0.0)
    value = np.where(tn + tp + fp + fn > 0, value, np.nan)
    return _score(value, "all weights are zero") if weights is None else value


def _by_rank(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Any, Any, Any]:
    """Labels sorted by descending score, the order, and where each run of equal scores begins."""
    truth = _reference(reference)
    ranks = _ranks(prediction, truth.size)
    order = np.argsort(-ranks if ranks.dtype.kind == "f" else -ranks.astype(np.float64), kind="stable")
    descending = ranks[order]
    starts = np.flatnonzero(np.concatenate([[True], descending[1:] != descending[:-1]]))
    return truth[order], order, starts


def _ranked(
    reference: npt.ArrayLike,
    prediction: npt.ArrayLike,
    weights: npt.ArrayLike | None,
    value_of: Any,
) -> Floats:
    """Apply ``value_of(positives, negatives)`` to weights summed over each run of equal scores."""
    truth, order, starts = _by_rank(reference, prediction)
    counts = np.ones((1, truth.size)) if weights is None else _weights(weights, truth.size)
    flat = counts.reshape(-1, truth.size)
    values = np.empty(len(flat))
    rows = max(1, _CHUNK_ELEMENTS // truth.size)
    for begin in range(0, len(flat), rows):
        block = flat[begin : begin + rows][:, order]
        positives = np.add.reduceat(block * truth, starts, axis=1)
        negatives = np.add.reduceat(block * ~truth, starts, axis=1)
        values[begin : begin + rows] = value_of(positives, negatives)
    return values.reshape(counts.shape[:-1]) if weights is not None else values[0]


def _auc_of(positives: Floats, negatives: Floats) -> Floats:
    above = np.cumsum(positives, axis=1) - positives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return ratio((negatives * above).sum(axis=1), pairs, np.nan)


def _average_precision_of(positives: Floats, negatives: Floats) -> Floats:
    hits = np.cumsum(positives, axis=1)
    precision = ratio(hits, hits + np.cumsum(negatives, axis=1), 0.0)
    return ratio((positives * precision).sum(axis=1), hits[:, -1], np.nan)


@overload
def auc(reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: None = None) -> Score: ...
@overload
def auc(reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: npt.ArrayLike) -> Floats: ...
def auc(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> Score | Floats:
    """Area under the ROC curve of the score of class 1; tied pairs count one half.

    Range 0 to 1, higher is better; undefined when the reference has one class only. The score need not be
    a probability. Arguments and errors as :func:`accuracy`; equal to scikit-learn's ``roc_auc_score``.

    >>> auc([0, 0, 1, 1], [.1, .4, .35, .8]).value
    0.75
    """
    value = _ranked(reference, prediction, weights, _auc_of)
    return _score(value, "the reference has one class only") if weights is None else value


@overload
def average_precision(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: None = None
) -> Score: ...
@overload
def average_precision(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: npt.ArrayLike
) -> Floats: ...
def average_precision(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> Score | Floats:
    """Average precision: precision averaged over the steps of recall, without interpolation.

    Range 0 to 1, higher is better; undefined when the reference has no positive. Arguments and errors as
    :func:`accuracy`; equal to scikit-learn's ``average_precision_score``.

    >>> round(average_precision([0, 0, 1, 1], [.1, .4, .35, .8]).value, 6)
    0.833333
    """
    value = _ranked(reference, prediction, weights, _average_precision_of)
    return _score(value, "the reference has no positive") if weights is None else value


def classification_scores(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> dict[str, Score]:
    """The four official values of IUGC 2024, keys ``acc``, ``f1``, ``auc``, ``mcc``.

    Args:
        reference: 0/1 labels, shape ``(n,)``.
        prediction: class scores, shape ``(n, 2)``; they need not be probabilities.

    >>> {name: s.value for name, s in classification_scores([0, 1], [[1, 0], [0, 1]]).items()}
    {'acc': 1.0, 'f1': 1.0, 'auc': 1.0, 'mcc': 1.0}
    """
    return {
        "acc": accuracy(reference, prediction),
        "f1": f1(reference, prediction),
        "auc": auc(reference, prediction),
        "mcc": mcc(reference, prediction),
    }
