"""Charts of classified images: confusion matrix, ROC curves and reliability, with intervals by group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.resampled_bands import FEW, NOTE, band, resampled_weights
from medbench.core.chart import Chart, Curve, CurveChart, MatrixChart
from medbench.core.result_table import CaseRow
from medbench.metrics.tasks.image_classes import Answers

Floats = npt.NDArray[np.float64]

STEPS = 101
BINS = 10


def class_charts(rows: Sequence[CaseRow], answers: Answers, names: Sequence[str]) -> list[Chart]:
    """The charts of rows that have a prediction.

    Args:
        rows: one an image, for the groups.
        answers: of the same images.
        names: of the classes.
    """
    weights = resampled_weights(rows)
    return [_confusion(answers, names), _roc(answers, names, weights), _reliability(answers, weights)]


def _confusion(answers: Answers, names: Sequence[str]) -> MatrixChart:
    counts = answers.reference.T.astype(int) @ answers.decisions.astype(int)
    return MatrixChart(
        "Confusion matrix",
        names,
        names,
        [[int(count) for count in row] for row in counts],
        "class",
        "predicted",
    )


def _roc(answers: Answers, names: Sequence[str], weights: Floats | None) -> CurveChart:
    classes = range(1, len(names)) if len(names) == 2 else range(len(names))
    places = np.linspace(0, 1, STEPS)
    curves = []
    for index in classes:
        truth = answers.reference[:, index]
        if not truth.any() or truth.all():
            continue
        ones = np.ones((1, len(truth)))
        line = _roc_lines(truth, answers.confidences[:, index], ones, places)[0]
        ends = band(
            None if weights is None else _roc_lines(truth, answers.confidences[:, index], weights, places)
        )
        curves.append(Curve(names[index], places.tolist(), line.tolist(), *ends))
    return CurveChart(
        "ROC curves" if len(names) > 2 else "ROC curve",
        "1 − specificity",
        "sensitivity",
        curves,
        diagonal="chance",
        note=FEW if weights is None else NOTE,
    )


def _roc_lines(truth: npt.NDArray[np.bool_], scores: Floats, weights: Floats, places: Floats) -> Floats:
    """Sensitivity at the given rates of false positives, ``(resamples, places)``; NaN where undefined."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.concatenate([np.diff(scores[order]) != 0, [True]]))
    hits = np.cumsum(weights[:, order] * truth[order], axis=1)
    alarms = np.cumsum(weights[:, order] * ~truth[order], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        up = hits[:, ends] / hits[:, -1:]
        across = alarms[:, ends] / alarms[:, -1:]
    start = np.zeros((len(weights), 1))
    pairs = zip(np.hstack([start, across]), np.hstack([start, up]), strict=True)
    return np.stack(
        [np.interp(places, x, y) if np.isfinite(x[-1] + y[-1]) else places * np.nan for x, y in pairs]
    )


def _reliability(answers: Answers, weights: Floats | None) -> CurveChart:
    """Share of right images over the confidence in the predicted class, in bins of equal width."""
    confidence = answers.confidences.max(axis=1)
    right = np.asarray((answers.reference & answers.decisions).any(axis=1))
    owner = np.minimum((confidence * BINS).astype(int), BINS - 1)
    member = (owner[:, None] == np.arange(BINS)).astype(np.float64)
    bins = np.flatnonzero(member.any(axis=0))
    member = member[:, bins]
    share = _shares(right, member, np.ones((1, len(right))))[0]
    ends = band(None if weights is None else _shares(right, member, weights))
    centres = (confidence @ member) / member.sum(axis=0)
    curve = Curve("all classes", centres.tolist(), share.tolist(), *ends)
    counts = ", ".join(str(int(count)) for count in member.sum(axis=0))
    return CurveChart(
        "Reliability",
        "confidence in the predicted class (mean of a bin)",
        "share that is right",
        [curve],
        diagonal="calibrated",
        points=True,
        note=f"Images a bin: {counts}. {FEW if weights is None else NOTE}",
    )


def _shares(right: npt.NDArray[np.bool_], member: Floats, weights: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return ((weights * right) @ member) / (weights @ member)
