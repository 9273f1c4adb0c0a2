"""Scores of video summaries: F by the knapsack, and rank correlation with every annotator.

The official F: a shot's score is the mean of its frames' in float32, cut to whole thousandths; OR-tools'
dynamic program chooses shots of at most 15 % of the frames, with its rules for ties; F is by annotator, the
largest on SumMe and the mean on TVSum. Rank correlations are of importance scores with every annotator's.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.families.video_summaries.answers import Answer, read_answers
from medbench.challenges.families.video_summaries.files import VideoSummaryRelease
from medbench.challenges.families.video_summaries.layout import Annotations, Timeline
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, Weights, mean_statistic
from medbench.core.score import Score, Status
from medbench.metrics.tasks.summaries import f_measures, rank_correlations

OFFICIAL = "official: float32 shot means, OR-tools' knapsack"
RANKS = "rank correlation (Otani et al. 2019)"
FAILURE_RULE = (
    "F 0, and a rank correlation of 0 (ours; the protocols do not say). Where annotations cannot be read, "
    "the scores are undefined and enter no mean. A summary without scores has no rank correlation."
)
CHANCE_DRAWS = 50
_CHANCE_SEED = 2020
_TITLES = {"max": "F, best annotator", "mean": "F, mean of annotators"}


def columns(over: Literal["max", "mean"]) -> tuple[MetricSpec, ...]:
    """The columns of a challenge whose official F is over the best annotator, or the mean of them."""
    other: Literal["max", "mean"] = "mean" if over == "max" else "max"

    def f(kind: str, *, headline: bool) -> MetricSpec:
        return MetricSpec(
            f"f_{kind}", _TITLES[kind], "", "higher", f"fmeasure.{kind}", (0.0, 1.0),
            headline=headline, protocol=OFFICIAL,
        )  # fmt: skip

    def pooled(name: str, title: str, convention: str, better: Literal["higher", "lower"]) -> MetricSpec:
        return MetricSpec(name, title, "", better, convention, (0.0, None), pooled=True, protocol=OFFICIAL)

    return (
        f(over, headline=True),
        f(other, headline=False),
        MetricSpec(
            "f_over_random",
            "F over random",
            "",
            "higher",
            "fmeasure.over_random",
            (0.0, None),
            pooled=True,
            headline=True,
            protocol=OFFICIAL,
        ),
        pooled("f_spread_folds", "spread over folds", "spread_of_means", "lower"),
        pooled("f_spread_seeds", "spread over seeds", "spread_of_means", "lower"),
        MetricSpec(
            "kendall", "Kendall τ", "", "higher", "kendall", (-1.0, 1.0), headline=True, protocol=RANKS
        ),
        MetricSpec(
            "spearman", "Spearman ρ", "", "higher", "spearman", (-1.0, 1.0), headline=True, protocol=RANKS
        ),
    )


class VideoSummaryScorer(Scorer):
    """F-measures and rank correlations; the first column of the card is the challenge's official F."""

    def __init__(self, card: Card, release: VideoSummaryRelease) -> None:
        super().__init__(card)
        self.release = release
        self.official = card.metrics[0].name

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """All columns of one prediction, the mean over its answers where it holds several.

        Raises:
            MedbenchError: for a prediction or annotations that cannot be read or do not fit.
        """
        timeline = self.release.timeline(case)
        annotations = self.release.annotations(case, timeline)
        answers = read_answers(path, timeline)
        for answer in answers:
            _check_annotator(path, answer, len(annotations.summaries))
        by_annotator = [_f_of(answer, annotations) for answer in answers]
        scores = {
            "f_max": Score(float(np.mean([values.max() for values in by_annotator]))),
            "f_mean": Score(float(np.mean([values.mean() for values in by_annotator]))),
            **self._ranks(answers, annotations, timeline),
        }
        f_values = (
            by_annotator[0] if len(answers) == 1 else np.array([values.mean() for values in by_annotator])
        )
        share = float(np.mean([answer.summary.mean() for answer in answers]))
        evidence = self._evidence(case, timeline, annotations)
        official = [values.max() if self.official == "f_max" else values.mean() for values in by_annotator]
        evidence |= (
            {"f_by_answer": [round(float(value), 8) for value in official]}
            if len(official) > 1 and answers[0].annotator is None
            else {}
        )
        evidence |= {
            "share": round(share, 6),
            "f_by_annotator": [round(float(value), 6) for value in f_values],
        }
        return CaseScores(scores, evidence)

    def _ranks(
        self, answers: Sequence[Answer], annotations: Annotations, timeline: Timeline
    ) -> dict[str, Score]:
        none = None
        if any(answer.scores is None for answer in answers):
            none = Score.undefined("the prediction is a summary without scores")
        elif annotations.ratings is None and self.official == "f_mean":
            none = Score.undefined("the annotators' ratings are not there: ydata-tvsum50.mat or its .tsv")
        if none is not None:
            return {"kendall": none, "spearman": none}
        selections = annotations.summaries[:, timeline.picks].astype(np.float64)
        ratings = selections if annotations.ratings is None else annotations.ratings
        return {
            "kendall": _rank(answers, ratings, "kendall"),
            "spearman": _rank(answers, ratings, "spearman"),
        }

    def _evidence(self, case: Case, timeline: Timeline, annotations: Annotations) -> dict[str, Any]:
        over = self.official.removeprefix("f_")
        shape = (timeline.n_frames, timeline.picks.tobytes(), timeline.change_points.tobytes())
        summaries = np.unpackbits(_chance_summaries(*shape), axis=1)[:, : timeline.n_frames]
        values = [f_measures(annotations.summaries, summary) for summary in summaries]
        chance = float(np.mean([each.max() if over == "max" else each.mean() for each in values]))
        return {"fold": case.facts.get("fold", ""), "random_f": round(chance, 8)}

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by the card's ``failure_rule``."""
        names = [spec.name for spec in self.card.metrics if not spec.pooled]
        try:
            timeline = self.release.timeline(case)
            evidence = self._evidence(case, timeline, self.release.annotations(case, timeline))
        except MedbenchError as error:
            return CaseScores.undefined(names, error.message)
        return CaseScores({name: Score(0.0, status, reason) for name in names}, evidence)

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """F of a summary.

        Args:
            reference: annotators' summaries, 0/1, ``(users, frames)``.
            prediction: the summary, 0/1, ``(frames,)``.
            spacing: not used.

        Raises:
            MedbenchError: ``summary.not_binary``, ``summary.length``.
        """
        from medbench.metrics.tasks.summaries import f_measure

        return {
            "f_max": Score(f_measure(reference, prediction, over="max")),
            "f_mean": Score(f_measure(reference, prediction, over="mean")),
        }

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """Means over videos; F over that of random scores; the spread of the means of folds and of seeds."""
        if not metric.pooled:
            return mean_statistic(metric, rows)
        values = np.array([_value(row, self.official) for row in rows])
        has_chance = np.array(["random_f" in row.evidence for row in rows], float)
        if metric.name == "f_over_random":
            chance = np.array([row.evidence.get("random_f", 0.0) for row in rows])
            return _ratio(values, chance)
        if metric.name == "f_spread_folds":
            spread = _spread(values, [str(row.evidence.get("fold", "")) for row in rows])
            return lambda weights: spread(weights * has_chance)
        return _spread_of_answers([row.evidence.get("f_by_answer", []) for row in rows])


def _rank(
    answers: Sequence[Answer], ratings: npt.NDArray[Any], kind: Literal["kendall", "spearman"]
) -> Score:
    scores = np.stack([answer.scores for answer in answers if answer.scores is not None])
    each = rank_correlations(ratings, scores, kind=kind)
    for row, answer in zip(each, answers, strict=True):
        if answer.annotator is not None:
            row[answer.annotator] = np.nan
    means = [float(row[np.isfinite(row)].mean()) for row in each if np.isfinite(row).any()]
    if not means:
        return Score.undefined("all scores are alike, so that they rank nothing")
    return Score(float(np.mean(means)))


def _value(row: CaseRow, name: str) -> float:
    score = row.scores.get(name)
    return 0.0 if score is None or score.value is None else score.value


def _ratio(values: npt.NDArray[Any], chance: npt.NDArray[Any]) -> Statistic:
    def ratio(weights: Weights) -> npt.NDArray[np.float64]:
        below = weights @ chance
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(below > 0, (weights @ values) / below, np.nan)

    return ratio


def _spread(values: npt.NDArray[Any], groups: Sequence[str]) -> Statistic:
    names = sorted(set(groups))
    owner = np.array([[group == name for name in names] for group in groups], float)

    def spread(weights: Weights) -> npt.NDArray[np.float64]:
        total = weights @ owner
        there = total > 0
        means = np.where(there, (weights * values) @ owner / np.where(there, total, 1), 0)
        count = there.sum(axis=-1)
        centre = means.sum(axis=-1) / np.maximum(count, 1)
        squares = (there * (means - centre[..., None]) ** 2).sum(axis=-1)
        return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)

    return spread


def _spread_of_answers(answers: Sequence[Sequence[float]]) -> Statistic:
    """The spread of the means of networks with other seeds; undefined where a case lacks an answer."""
    count = len(answers[0])
    whole = count > 1 and all(len(each) == count for each in answers)
    values = np.array(answers if whole else np.zeros((len(answers), 1)), float)

    def spread(weights: Weights) -> npt.NDArray[np.float64]:
        total = weights.sum(axis=-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = weights @ values / total
        return means.std(axis=-1, ddof=1) if whole else np.full(len(weights), np.nan)

    return spread


def _others(rows: npt.NDArray[Any], annotator: int | None) -> npt.NDArray[Any]:
    return rows if annotator is None else np.delete(rows, annotator, axis=0)


def _f_of(answer: Answer, annotations: Annotations) -> npt.NDArray[np.float64]:
    return f_measures(_others(annotations.summaries, answer.annotator), answer.summary)


def _check_annotator(path: Path, answer: Answer, count: int) -> None:
    if answer.annotator is not None and not (0 <= answer.annotator < count and count > 1):
        raise MedbenchError(
            "annotator.count",
            f"{path}: names annotator {answer.annotator}, where the video has {count}.",
            "Number annotators from 0.",
        )


@functools.lru_cache(maxsize=128)
def _chance_summaries(n_frames: int, picks: bytes, change_points: bytes) -> npt.NDArray[np.uint8]:
    """Official summaries of random scores ``(draws, frames)``, as bits."""
    timeline = Timeline(
        n_frames, np.frombuffer(picks, np.int64), np.frombuffer(change_points, np.int64).reshape(-1, 2)
    )
    rng = np.random.default_rng(_CHANCE_SEED)
    draws = rng.random((CHANCE_DRAWS, len(timeline.picks))).astype(np.float32)
    return np.packbits(np.stack([timeline.summary(scores) for scores in draws]), axis=1)
