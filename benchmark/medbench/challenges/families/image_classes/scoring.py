"""Scores of classified images: figures over all of them, and the margin of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.families.image_classes.charts import class_charts
from medbench.challenges.families.image_classes.exchange import ImageClassExchange
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.chart import Chart
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, Weights, mean_statistic
from medbench.core.score import Score, Status
from medbench.metrics.tasks.image_classes import REASONS, Answers, figure

FAILURE_RULE = (
    "An image without a usable prediction counts as wrong in every column: as not recognised in its own "
    "class (confidence 0) and as mistaken for every other class (confidence 1), margin -1 (ours). Images "
    "without a class in the release have no score."
)


@dataclass(frozen=True, slots=True)
class Figure:
    """How a column is computed over all images.

    Attributes:
        spec: the column.
        value: ``accuracy``, or a name of :data:`medbench.metrics.tasks.image_classes.BY_CLASS`.
        of: index of one class; ``None``: all.
    """

    spec: MetricSpec
    value: str
    of: int | None = None


MARGIN = MetricSpec("margin", "margin", "", "higher", "margin", (-1.0, 1.0))
"""Column of each image; the lowest are the most confident mistakes."""


def figure_column(
    name: str, title: str, convention: str, value: str, of: int | None = None, *, headline: bool = False
) -> Figure:
    """A column from 0 to 1 over all images, more is better."""
    spec = MetricSpec(name, title, "", "higher", convention, (0.0, 1.0), pooled=True, headline=headline)
    return Figure(spec, value, of)


def class_columns(names: Sequence[str], *values: str) -> tuple[Figure, ...]:
    """Columns of each class against all others.

    Args:
        names: of the classes.
        values: among ``auc``, ``average_precision``, ``sensitivity`` and ``specificity``.
    """
    titles = {"auc": "AUC", "average_precision": "AP"}
    return tuple(
        figure_column(
            f"{value}_{name.lower()}", f"{titles.get(value, value)} {name}", f"{value}.one_vs_rest", value, of
        )
        for value in values
        for of, name in enumerate(names)
    )


class ImageClassScorer(Scorer):
    """Classified images; the rule for failed ones is :data:`FAILURE_RULE`.

    Args:
        card: the challenge's; its columns are those of ``figures`` and :data:`MARGIN`.
        exchange: reads predictions.
        figures: columns over all images.
    """

    def __init__(self, card: Card, exchange: ImageClassExchange, figures: Sequence[Figure]) -> None:
        super().__init__(card)
        self.exchange = exchange
        self.release = exchange.release
        self.figures: Mapping[str, Figure] = {figure.spec.name: figure for figure in figures}

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """The margin of one image, and its class and probabilities for the columns over all.

        Raises:
            MedbenchError: ``data.class_missing``, or naming file and line of a row that is refused.
        """
        own = self.release.read_reference(case)
        probabilities = self.exchange.read_prediction(case, path)
        margin = probabilities[own] - np.delete(probabilities, own).max()
        evidence = {"class": own, "probabilities": probabilities.tolist()}
        return CaseScores({MARGIN.name: Score(float(margin))}, evidence)

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :data:`FAILURE_RULE`."""
        try:
            own = self.release.read_reference(case)
        except MedbenchError as error:
            return CaseScores.undefined([MARGIN.name], error.message)
        return CaseScores({MARGIN.name: Score(-1.0, status, reason)}, {"class": own})

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of several images.

        Args:
            reference: class indices ``(images,)``.
            prediction: probabilities ``(images, classes)``.
            spacing: not used.

        Raises:
            MedbenchError: as :meth:`medbench.metrics.tasks.image_classes.Answers.of`.
        """
        from medbench.metrics.tasks.image_classes import margin

        answers = Answers.of(reference, prediction)
        classes = len(self.card.image_classes)
        if answers.confidences.shape[1] != classes:
            raise MedbenchError(
                "metric.shape",
                f"The prediction has {answers.confidences.shape[1]} confidences an image, not {classes}.",
                f"Give one confidence a class: {', '.join(self.card.image_classes)}.",
            )
        ones = np.ones(len(answers.reference))
        scores = {}
        for name, column in self.figures.items():
            value = float(figure(answers, column.value, column.of, ones))
            reason = REASONS.get(column.value, "the class does not occur")
            scores[name] = Score.undefined(reason) if np.isnan(value) else Score(value)
        return {**scores, MARGIN.name: margin(reference, prediction)}

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """The column over all images as a function of their weights."""
        if metric.name not in self.figures:
            return mean_statistic(metric, rows)
        has_class = np.array(["class" in row.evidence for row in rows])
        answer_rows = [row for row in rows if "class" in row.evidence]
        answers, column = answers_of(answer_rows, len(self.card.image_classes)), self.figures[metric.name]

        def value(weights: Weights) -> npt.NDArray[np.float64]:
            return figure(answers, column.value, column.of, weights[..., has_class])

        return value

    def charts(self, rows: Sequence[CaseRow]) -> Sequence[Chart]:
        """Confusion matrix, ROC curves and reliability curve."""
        answer_rows = [row for row in rows if "probabilities" in row.evidence]
        if not answer_rows:
            return ()
        return class_charts(
            answer_rows, answers_of(answer_rows, len(self.card.image_classes)), self.card.image_classes
        )


def answers_of(rows: Sequence[CaseRow], classes: int) -> Answers:
    """References and predictions of the rows, failed ones by :data:`FAILURE_RULE`."""
    one_hot = np.eye(classes, dtype=bool)
    reference = one_hot[[row.evidence["class"] for row in rows]]
    usable = np.array(["probabilities" in row.evidence for row in rows])
    confidences = np.where(reference, 0.0, 1.0)
    for index, row in enumerate(rows):
        if usable[index]:
            confidences[index] = row.evidence["probabilities"]
    decisions = np.where(usable[:, None], one_hot[confidences.argmax(axis=1)], ~reference)
    return Answers(reference, confidences, decisions)
