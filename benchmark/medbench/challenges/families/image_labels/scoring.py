"""Scores of labels of images: areas under the ROC curve over all images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.families.image_labels.exchange import ImageLabelExchange
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, Weights
from medbench.core.score import Score, Status
from medbench.metrics.arguments import numbers
from medbench.metrics.tasks.classification import auc

Floats = npt.NDArray[np.float64]
FAILURE_RULE = (
    "An image without a usable prediction counts as wrong for every label: probability 0 of those that it "
    "has and 1 of the others (ours). Images without labels in the release have no score."
)


def auc_columns(names: Sequence[str]) -> tuple[MetricSpec, ...]:
    """The mean area under the ROC curve, and that of each label."""

    def column(name: str, title: str, convention: str, *, headline: bool = False) -> MetricSpec:
        return MetricSpec(name, title, "", "higher", convention, (0.0, 1.0), pooled=True, headline=headline)

    return (
        column("auc", "AUC (mean over labels)", "auc.macro", headline=True),
        *(column(f"auc_{_key(name)}", f"AUC {name}", "auc.one_vs_rest") for name in names),
    )


class ImageLabelScorer(Scorer):
    """Labels of images; the rule for failed ones is :data:`FAILURE_RULE`.

    Args:
        card: the challenge's; its columns are those of :func:`auc_columns`.
        exchange: reads predictions.
    """

    def __init__(self, card: Card, exchange: ImageLabelExchange) -> None:
        super().__init__(card)
        self.exchange = exchange
        self.release = exchange.release

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """Labels and probabilities of one image, for the columns over all.

        Raises:
            MedbenchError: ``data.class_missing``, or naming file and line of a row that is refused.
        """
        labels = list(self.release.read_reference(case))
        probabilities = self.exchange.read_prediction(case, path).tolist()
        return CaseScores({}, {"labels": labels, "probabilities": probabilities})

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Evidence by :data:`FAILURE_RULE`."""
        try:
            return CaseScores({}, {"labels": list(self.release.read_reference(case))})
        except MedbenchError:
            return CaseScores({})

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of several images.

        Args:
            reference: labels ``(images, labels)``, 0 and 1.
            prediction: probabilities of the same shape.
            spacing: not used.

        Raises:
            MedbenchError: ``metric.array``, ``metric.shape``, ``metric.labels`` or ``metric.not_finite``.
        """
        due = numbers(reference, "reference")
        values = numbers(prediction, "prediction", finite=True).astype(np.float64)
        if due.ndim != 2 or due.shape != values.shape or due.shape[1] != len(self.release.names):
            raise MedbenchError(
                "metric.shape",
                f"Reference and prediction have shapes {due.shape} and {values.shape}.",
                f"Give one row an image, with {len(self.release.names)} numbers each.",
            )
        ones = np.ones(len(due))
        scores = {}
        for spec in self.card.metrics:
            value = float(self._figure(spec, due, values, ones))
            no_score = Score.undefined("the reference has images of one kind only")
            scores[spec.name] = no_score if np.isnan(value) else Score(value)
        return scores

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """The column over all images as a function of their weights."""
        has_labels = np.array(["labels" in row.evidence for row in rows], bool)
        label_rows = [row for row in rows if "labels" in row.evidence]
        due = np.array([row.evidence["labels"] for row in label_rows]).reshape(len(label_rows), -1)
        values = np.array(
            [
                row.evidence.get("probabilities", [1 - own for own in row.evidence["labels"]])
                for row in label_rows
            ],
            np.float64,
        ).reshape(due.shape)

        def value(weights: Weights) -> Floats:
            return self._figure(metric, due, values, weights[..., has_labels])

        return value

    def _figure(self, metric: MetricSpec, due: Any, values: Floats, weights: Any) -> Floats:
        """A column; the mean is over the labels that occur and are missing in the images."""
        names = [_key(name) for name in self.release.names]
        if metric.name != "auc":
            place = names.index(metric.name.removeprefix("auc_"))
            return np.asarray(auc(due[:, place], values[:, place], weights=weights))
        areas = [np.asarray(auc(due[:, k], values[:, k], weights=weights)) for k in range(len(names))]
        has_area = ~np.isnan(areas)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(has_area, areas, 0.0).sum(axis=0) / has_area.sum(axis=0)
        return np.asarray(mean, np.float64)


def _key(name: str) -> str:
    return name.lower().replace(" ", "_")
