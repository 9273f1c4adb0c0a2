"""The facade of a challenge over its card, release, exchange and scorer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange
from medbench.challenges.release import Release
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.result_table import CaseScores, MetricSpec
from medbench.core.sample import AnySample, Prediction
from medbench.core.score import Score


class Challenge:
    """A challenge, made of four parts.

    Attributes:
        card: frozen facts: name, title, demands, labels, metrics, licence, citation.
        release: files, cases, splits, checks and the synthetic sample.
        exchange: reads what models may see of a case, and writes and locates predictions.
        scorer: official scoring, scores of failed cases, pooling and ranking.
    """

    def __init__(self, card: Card, release: Release, exchange: Exchange, scorer: Scorer) -> None:
        self.card = card
        self.release = release
        self.exchange = exchange
        self.scorer = scorer

    @property
    def name(self) -> str:
        """Name of the challenge on the command line."""
        return self.card.name

    @property
    def title(self) -> str:
        """Title of the challenge in tables."""
        return self.card.title

    @property
    def labels(self) -> Mapping[int, str]:
        """Values of label maps in the challenge's files -> names; empty where no label map is demanded."""
        return self.card.labels

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """Columns of the result table."""
        return self.card.metrics

    def metric(self, name: str) -> MetricSpec:
        """The column of that name.

        Raises:
            MedbenchError: ``metric.unknown``.
        """
        return self.card.metric(name)

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's cases in a fixed order.

        Raises:
            MedbenchError: ``split.unknown``, ``data.layout_unknown`` or ``data.empty``.
        """
        return self.release.cases(root, split)

    def read(self, case: Case) -> AnySample:
        """The sample of a case, in the challenge's first form.

        Raises:
            MedbenchError: naming the file that cannot be read.
        """
        sample: AnySample = next(iter(self.exchange.inputs.values())).read(case)
        return sample

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write a prediction in the challenge's format; the path written."""
        return self.exchange.write(prediction, case, folder)

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """Path of the case's prediction in ``folder``, or ``None``; ``rename`` replaces text in its name."""
        return self.exchange.locate(case, folder, rename)

    def score(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> CaseScores:
        """Scores of the case's prediction in ``folder``; a missing one is scored by the failure rule.

        Raises:
            MedbenchError: when the prediction or the reference cannot be read or does not fit.
        """
        path = self.locate(case, folder, rename)
        if path is None:
            reason = f"no prediction {self.exchange.prediction_name(case)}"
            return self.scorer.score_failed(case, "missing", reason)
        return self.scorer.score_file(case, path)

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """Scores by column of a prediction in memory.

        Args:
            reference: reference of a case, with the label values of the challenge's files.
            prediction: the same shape.
            spacing: mm along each axis of the array, where columns need it.

        Raises:
            MedbenchError: ``metric.array``, ``metric.shape``, ``metric.spacing``, ``metric.labels`` for
                values that are no labels of the challenge, and what the challenge refuses besides.
        """
        return self.scorer.score_arrays(*self.scorer.checked(reference, prediction, spacing))

    def published(self) -> list[dict[str, Any]]:
        """Published results with their sources."""
        return self.card.published()
