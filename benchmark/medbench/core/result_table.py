"""The columns and rows of a result table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.score import Better, Score

Weights = npt.NDArray[np.float64]

Statistic = Callable[[Weights], npt.NDArray[np.float64]]

CaseStatus = Literal["ok", "failed", "missing"]

REFUSAL, FLAGS = "refusal", "flags"
"""Entries of a row's evidence: the code of what failed, and what would have scored much higher."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One column of a challenge's result table.

    Attributes:
        name: column name, unique in the challenge.
        title: heading for people.
        unit: ``px``, ``mm``, ``°`` or empty.
        better: which direction is better.
        convention: id of the metric definition.
        bounds: least and greatest possible value; ``None`` where unbounded.
        pooled: computed once over all cases (such as a rate over frames), not averaged over cases.
        headline: shown in the short table.
        protocol: the evaluation protocol of the column in a few words, where the challenge has several;
            columns of two protocols never share a table.
        signed: whether 0 is best and neither direction, as of a difference; such a column enters no ranking.
    """

    name: str
    title: str
    unit: str
    better: Better
    convention: str
    bounds: tuple[float | None, float | None] = (0.0, None)
    pooled: bool = False
    headline: bool = False
    protocol: str = ""
    signed: bool = False


@dataclass(frozen=True, slots=True)
class CaseScores:
    """A case's scores, and its evidence for pooled metrics (JSON values only)."""

    scores: Mapping[str, Score] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def undefined(cls, columns: Iterable[str], reason: str) -> CaseScores:
        """Scores of a case whose reference says nothing: none in any column."""
        return cls({name: Score.undefined(reason) for name in columns})


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case of a finished run, as ``cases.jsonl`` stores it.

    Attributes:
        case: its id.
        group: the unit of resampling.
        status: whether it was scored.
        scores: column -> score.
        evidence: what pooled metrics are made of.
        reason: why it was not scored.
        predictions: file of its prediction -> SHA-256.
        facts: manifest columns that may name subgroups (centre, scanner, disease model) -> value.
    """

    case: str
    group: str
    status: CaseStatus
    scores: Mapping[str, Score]
    evidence: Mapping[str, Any]
    reason: str = ""
    predictions: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A JSON object; the inverse of :meth:`from_json`."""
        return {
            "case": self.case,
            "group": self.group,
            "status": self.status,
            **({"reason": self.reason} if self.reason else {}),
            **({"facts": dict(self.facts)} if self.facts else {}),
            "scores": {name: score.as_json() for name, score in self.scores.items()},
            "evidence": dict(self.evidence),
            "predictions": dict(self.predictions),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> CaseRow:
        """Inverse of :meth:`as_json`."""
        return cls(
            row["case"],
            row["group"],
            row["status"],
            {name: Score.from_json(score) for name, score in row["scores"].items()},
            row["evidence"],
            row.get("reason", ""),
            row["predictions"],
            row.get("facts", {}),
        )

    def renamed(self, folder: str, name: str) -> CaseRow:
        """The row with another name for a folder in its reasons."""
        if not self.reason:
            return self
        scores = {
            column: replace(score, reason=score.reason.replace(folder, name))
            for column, score in self.scores.items()
        }
        return replace(self, scores=scores, reason=self.reason.replace(folder, name))


def mean_statistic(metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
    """Mean over the cases that have a value, as a function of weights of the cases.

    Returns:
        Function from weights ``(resamples, cases)`` to means ``(resamples,)``; NaN where no case has weight.
    """
    scores = [row.scores.get(metric.name) for row in rows]
    present = np.array([score is not None and score.value is not None for score in scores])
    values = np.array([score.value if score and score.value is not None else 0.0 for score in scores])
    everywhere = bool(present.all())

    def mean(weights: Weights) -> npt.NDArray[np.float64]:
        shares = weights if everywhere else weights * present
        total = shares.sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, (shares @ values) / total, np.nan)

    return mean


def ratio_column(
    name: str, title: str, convention: str, protocol: str = "", *, headline: bool = False
) -> MetricSpec:
    """The column of a metric from 0 to 1, higher is better."""
    return MetricSpec(name, title, "", "higher", convention, (0.0, 1.0), headline=headline, protocol=protocol)
