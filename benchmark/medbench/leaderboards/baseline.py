"""Comparison with the constant baseline: whether a run has been shown to look at its input."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.result_table import MetricSpec
from medbench.leaderboards.compare import check_same, interval_of_difference
from medbench.records.reading import RECORD, Run, read_run
from medbench.records.schema import RunRecord
from medbench.records.tables import number

CONSTANT = "baseline/constant"
UNIFORM = "uniform scores"
"""Reference row of summaries of videos whose answer is the constant one: every frame scores the same."""
AGAINST = "against_constant"
"""Entry that a board gives its rows: the paired differences to the constant baseline's run."""

Row = Mapping[str, Any]


def headline(metrics: Sequence[MetricSpec]) -> MetricSpec:
    """The first headline column, else the first column."""
    return next((metric for metric in metrics if metric.headline), metrics[0])


def find_constant(record: RunRecord, runs: Path) -> Run | None:
    """The latest run of the constant baseline on the very cases of a run; ``None`` where there is none.

    Args:
        record: of the run.
        runs: folder of run directories.
    """
    folder = runs / record.challenge.name / CONSTANT.replace("/", "-")
    candidates = []
    for path in sorted(folder.glob(f"*/{RECORD}")):
        try:
            run = read_run(path.parent)
            check_same(run, Run(record, {}, path.parent))
        except MedbenchError:
            continue
        candidates += [run] if run.record.model.name == CONSTANT else []
    return max(candidates, key=lambda run: run.record.finished, default=None)


def against(constant: Run, run: Run, challenge: Challenge) -> dict[str, Any]:
    """Paired differences of a run to the constant baseline's in the headline columns.

    Raises:
        MedbenchError: as :func:`medbench.leaderboards.compare.interval_of_difference`.
    """
    names = [
        metric.name
        for metric in challenge.metrics
        if metric.headline and all(metric.name in each.record.metrics for each in (constant, run))
    ]
    pairs = {name: interval_of_difference(constant, run, name) for name in names}
    differences = {name: [own, interval.low, interval.high] for name, (own, interval) in pairs.items()}
    return {"run": constant.record.key, "differences": differences}


def constant_row(rows: Sequence[Row]) -> Row | None:
    """The latest row of the constant baseline, else of uniform scores; ``None`` where there is none."""
    own = [row for row in rows if row.get("model") == CONSTANT]
    own = own or [row for row in rows if row.get("reference_row") and row.get("title") == UNIFORM]
    return max(own, key=lambda row: str(row.get("finished", "")), default=None)


def with_differences(
    rows: Sequence[Row], read: Callable[[Row], Run | None], challenge: Challenge
) -> list[Row]:
    """The rows with their paired differences to the constant baseline's, where both have their evidence.

    Args:
        rows: of a leaderboard.
        read: the run of a row from its evidence; ``None`` where it has none. No row is read twice.
        challenge: the challenge.
    """
    results = list(rows)
    populations: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(rows):
        populations.setdefault(tuple(row.get(name) for name in _POPULATION), []).append(place)
    for places in populations.values():
        constant = constant_row([rows[place] for place in places])
        first = None if constant is None else read(constant)
        for place in places:
            second = read(rows[place]) if first is not None and rows[place] is not constant else None
            if first is not None and second is not None:
                with contextlib.suppress(MedbenchError):
                    pair = {AGAINST: against(first, second, challenge)}
                    results[place] = {**rows[place], **pair}
    return results


_POPULATION = ("data", "split", "manifest_sha256", "scoring_sha256")


def not_above(metric: MetricSpec, row: Mapping[str, Any], constant: Mapping[str, Any]) -> str:
    """How a row fails to lie above the constant baseline's in a column; empty where it does lie above.

    The interval of the paired difference decides where the row has it, else the row's own interval and the
    baseline's value.

    Args:
        metric: the column.
        row: a row of ``results.jsonl``.
        constant: the baseline's row on the same cases.
    """
    own, other = (each["metrics"].get(metric.name) for each in (row, constant))
    if own is None or other is None or own["value"] is None or other["value"] is None:
        return ""
    pair = row.get(AGAINST) or {}
    if pair.get("run") == constant["key"] and metric.name in pair["differences"]:
        difference, *ends = pair["differences"][metric.name]
    else:
        difference = own["value"] - other["value"]
        ends = [None if end is None else end - other["value"] for end in own["ci95"]]
    return _verdict(metric, difference, ends)


def _verdict(metric: MetricSpec, difference: float | None, ends: Sequence[float | None]) -> str:
    sign = 1 if metric.better == "higher" else -1
    if difference is None:
        return ""
    nearer = ends[0] if sign > 0 else ends[1]
    if sign * difference <= 0 or (nearer is not None and sign * nearer <= 0):
        return "not above constant"
    return "no interval against constant" if nearer is None else ""


def sentences(constant: Run, run: Run, challenge: Challenge) -> list[str]:
    """Sentences on a run against the constant baseline, one for each column that does not lie above it."""
    pairs = against(constant, run, challenge)
    lines = []
    for name, (difference, *ends) in pairs["differences"].items():
        metric = challenge.card.metric(name)
        verdict = _verdict(metric, difference, ends)
        if verdict:
            own, other = (each.record.metrics[name].value for each in (run, constant))
            interval = "no interval"
            if None not in ends:
                interval = f"95 % interval {number(ends[0], metric.unit)} – {number(ends[1], metric.unit)}"
            lines.append(
                f"{metric.title}: {number(own, metric.unit)}, the constant baseline "
                f"{number(other, metric.unit)}; paired difference {number(difference, metric.unit)}, "
                f"{interval}: {verdict}."
            )
    return lines
