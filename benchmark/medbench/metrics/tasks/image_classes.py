"""Classification of whole images into several classes: balanced accuracy, averages over classes, one class.

A prediction is one confidence an image and class; the class of an image is that of its largest confidence,
the first of equal ones. Figures of one class take it against all others. Averages over classes ("macro")
weigh every class alike.

Every figure is a function of case weights ``(..., images)``, so that all resamples of a confidence interval
are one call. NaN stands for undefined there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.metrics.arguments import check_choice, numbers
from medbench.metrics.arrays import ratio
from medbench.metrics.tasks import classification

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answers:
    """References and predictions of several images.

    Attributes:
        reference: ``(images, classes)``, true at each image's class.
        confidences: ``(images, classes)``.
        decisions: ``(images, classes)``, true at the class that the prediction names; an image without a
            usable prediction names every wrong one.
    """

    reference: npt.NDArray[np.bool_]
    confidences: Floats
    decisions: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, reference: npt.ArrayLike, prediction: npt.ArrayLike) -> Answers:
        """Answers from class indices ``(images,)`` and confidences ``(images, classes)``.

        Raises:
            MedbenchError: ``metric.array``, ``metric.shape``, ``metric.labels`` or ``metric.not_finite``.
        """
        indices = numbers(reference, "reference")
        confidences = numbers(prediction, "prediction", finite=True).astype(np.float64, copy=False)
        due = (*indices.shape, confidences.shape[-1] if confidences.ndim else 0)
        if indices.ndim != 1 or confidences.shape != due or not confidences.size:
            raise MedbenchError(
                "metric.shape",
                f"Reference and prediction have shapes {indices.shape} and {confidences.shape}.",
                "Give class indices (images,) and confidences (images, classes).",
            )
        count = confidences.shape[1]
        if not np.isin(indices, range(count)).all():
            raise MedbenchError("metric.labels", f"Reference classes must be 0 to {count - 1}.")
        one_hot = np.eye(count, dtype=bool)
        return cls(one_hot[indices.astype(int)], confidences, one_hot[confidences.argmax(axis=1)])


def _counts(answers: Answers, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Weighted tp, fp, fn and tn of every class against the others, each ``(..., classes)``."""
    truth, decisions = answers.reference, answers.decisions
    parts = (truth & decisions, ~truth & decisions, truth & ~decisions, ~truth & ~decisions)
    tp, fp, fn, tn = (weights @ part.astype(np.float64) for part in parts)
    return tp, fp, fn, tn


def _sensitivity(answers: Answers, weights: Floats) -> Floats:
    tp, _, fn, _ = _counts(answers, weights)
    return ratio(tp, tp + fn)


def _specificity(answers: Answers, weights: Floats) -> Floats:
    _, fp, _, tn = _counts(answers, weights)
    return ratio(tn, tn + fp)


def _occurring(value: Floats, answers: Answers, weights: Floats) -> Floats:
    """NaN for classes that neither reference nor prediction hold."""
    tp, fp, fn, _ = _counts(answers, weights)
    return np.where(tp + fp + fn > 0, value, np.nan)


def _precision(answers: Answers, weights: Floats) -> Floats:
    tp, fp, _, _ = _counts(answers, weights)
    return _occurring(ratio(tp, tp + fp, 0.0), answers, weights)


def _recall(answers: Answers, weights: Floats) -> Floats:
    tp, _, fn, _ = _counts(answers, weights)
    return _occurring(ratio(tp, tp + fn, 0.0), answers, weights)


def _f1(answers: Answers, weights: Floats) -> Floats:
    tp, fp, fn, _ = _counts(answers, weights)
    return _occurring(ratio(2 * tp, 2 * tp + fp + fn, 0.0), answers, weights)


def _by_class(function: Callable[..., Floats]) -> Callable[[Answers, Floats], Floats]:
    def values(answers: Answers, weights: Floats) -> Floats:
        columns = zip(answers.reference.T, answers.confidences.T, strict=True)
        return np.stack([function(truth, ranks, weights=weights) for truth, ranks in columns], axis=-1)

    return values


BY_CLASS: Mapping[str, Callable[[Answers, Floats], Floats]] = MappingProxyType(
    {
        "sensitivity": _sensitivity,
        "specificity": _specificity,
        "precision": _precision,
        "recall": _recall,
        "f1": _f1,
        "auc": _by_class(classification.auc),
        "average_precision": _by_class(classification.average_precision),
    }
)
"""Name of a figure -> its values ``(..., classes)`` from answers and weights."""

REASONS = {
    "sensitivity": "the reference holds no image of the class",
    "specificity": "the reference holds images of one class only",
    "auc": "the reference holds images of one class only",
    "average_precision": "the reference holds no image of the class",
}


def figure(answers: Answers, value: str, of: int | None, weights: Floats) -> Floats:
    """A figure of all images as a function of their weights, ``(...)``; NaN where undefined.

    Args:
        answers: references and predictions.
        value: ``accuracy``, or a name of :data:`BY_CLASS`.
        of: index of one class, or ``None`` for the mean over the classes that have a value.
        weights: ``(..., images)``, not negative.
    """
    if value == "accuracy":
        right = (answers.reference & answers.decisions).any(axis=1)
        return ratio(weights @ right.astype(np.float64), weights.sum(axis=-1))
    by_class = BY_CLASS[value](answers, weights)
    if of is not None:
        return by_class[..., of]
    present = np.isfinite(by_class)
    return ratio(np.where(present, by_class, 0.0).sum(axis=-1), present.sum(axis=-1).astype(np.float64))


def class_metric(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, value: str, of: int | None = None
) -> Score:
    """A figure of classified images.

    Args:
        reference: class indices ``(images,)``.
        prediction: confidences ``(images, classes)``; they need not be probabilities.
        value: ``accuracy``, or a name of :data:`BY_CLASS`.
        of: index of one class; ``None`` for the mean over classes.

    Raises:
        MedbenchError: as :meth:`Answers.of`, or ``metric.option`` for another value and for a class that the
            prediction does not have.

    >>> confidences = [[.8, .1, .1], [.3, .4, .3], [.5, .2, .3], [.1, .1, .8]]
    >>> class_metric([0, 1, 2, 2], confidences, value="sensitivity")
    Score(value=0.8333333333333334, status='ok', reason='')
    """
    check_choice(value, "value", ("accuracy", *BY_CLASS))
    answers = Answers.of(reference, prediction)
    if of is not None:
        check_choice(of, "class", range(answers.confidences.shape[1]))
    number = float(figure(answers, value, of, np.ones(len(answers.reference))))
    return (
        Score.undefined(REASONS.get(value, "the class does not occur")) if np.isnan(number) else Score(number)
    )


def margin(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> Score:
    """Mean over images of the confidence in the true class less the largest confidence in another.

    From −1, surely wrong, to 1, surely right, for confidences from 0 to 1; below 0 the class is wrong.

    Args:
        reference: class indices ``(images,)``.
        prediction: confidences ``(images, classes)``.

    Raises:
        MedbenchError: as :func:`class_metric`.

    >>> round(margin([0, 1], [[.8, .1, .1], [.5, .3, .2]]).value, 6)
    0.25
    """
    answers = Answers.of(reference, prediction)
    if answers.confidences.shape[1] < 2:
        raise MedbenchError("metric.shape", "A margin is between classes, the prediction has one.")
    own = answers.confidences[answers.reference]
    other = np.where(answers.reference, -np.inf, answers.confidences).max(axis=1)
    return Score(float((own - other).mean()))
