"""Sections below a table: spread over cases, subgroups, repetitions with other seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medbench.core.result_table import MetricSpec
from medbench.leaderboards.naming import entry_names, without_seed
from medbench.records.tables import heading, interval, number
from medbench.statistics.summaries import over_seeds

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """A small table below a table of entries."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def sections(rows: Sequence[Row], metrics: Sequence[MetricSpec]) -> tuple[Section, ...]:
    """The sections of a table.

    Args:
        rows: in the table's order.
        metrics: the table's columns.
    """
    short = [metric for metric in metrics if metric.headline] or list(metrics[:1])
    names = entry_names(rows)
    parts = [_spread(names, rows, short), *_subgroups(names, rows, short), _repetitions(rows, short)]
    return tuple(section for section in parts if section.lines)


def _spread(names: Sequence[str], rows: Sequence[Row], metrics: Sequence[MetricSpec]) -> Section:
    """Mean, sd, median, quartiles and the worst case of each headline column."""
    lines = []
    for name, row in zip(names, rows, strict=True):
        for metric in metrics:
            own = (row["metrics"].get(metric.name) or {}).get("spread")
            if own:
                unit = metric.unit
                lines.append(
                    (
                        name,
                        heading(metric),
                        f"{number(own['mean'], unit)} ± {number(own['sd'], unit)}",
                        number(own["median"], unit),
                        interval(own["q25"], own["q75"], unit),
                        f"{number(own['worst'], unit)} ({own['worst_case']})",
                        str(own["cases"]),
                    )
                )
    headings = ("model", "metric", "mean ± sd", "median", "quartiles", "worst (case)", "cases")
    return Section("Spread over cases", headings, tuple(lines))


def _subgroups(names: Sequence[str], rows: Sequence[Row], metrics: Sequence[MetricSpec]) -> list[Section]:
    """For each manifest column that parts the cases, each headline metric over its subgroups."""
    columns = dict.fromkeys(column for row in rows for column in row.get("subgroups") or {})
    parts = []
    for column in columns:
        groups = dict.fromkeys(
            group for row in rows for group in (row.get("subgroups") or {}).get(column) or {}
        )
        lines = []
        for name, row in zip(names, rows, strict=True):
            own = (row.get("subgroups") or {}).get(column) or {}
            for metric in metrics:
                cells = [group_text((own.get(group) or {}).get(metric.name), metric) for group in groups]
                if any(cell != "–" for cell in cells):
                    lines.append((name, heading(metric), *cells))
        parts.append(Section(f"By {column}", ("model", "metric", *groups), tuple(lines)))
    return parts


def group_text(cell: Mapping[str, Any] | None, metric: MetricSpec) -> str:
    """A subgroup's value and interval as text; a dash where there is none."""
    if cell is None or cell["value"] is None:
        return "–"
    low, high = cell["ci95"]
    spread = interval(low, high, metric.unit)
    return number(cell["value"], metric.unit) + (f" [{spread}]" if spread != "–" else "")


def _repetitions(rows: Sequence[Row], metrics: Sequence[MetricSpec]) -> Section:
    """Mean ± sd of rows that differ in nothing but seeds."""
    alike: dict[str, list[Row]] = {}
    for row in rows:
        if not row.get("reference_row"):
            alike.setdefault(without_seed(row), []).append(row)
    lines = []
    for group in alike.values():
        if len({(row.get("seed"), row.get("training_seed")) for row in group}) < 2:
            continue
        (name,) = entry_names(group[:1])
        for metric in metrics:
            values = [(row["metrics"].get(metric.name) or {}).get("value") for row in group]
            numbers = [value for value in values if value is not None]
            if len(numbers) > 1:
                own = over_seeds(numbers, metric.better)
                unit = metric.unit
                lines.append(
                    (
                        name,
                        heading(metric),
                        f"{number(own.mean, unit)} ± {number(own.sd, unit)}",
                        number(own.worst, unit),
                        str(own.runs),
                    )
                )
    headings = ("model", "metric", "mean ± sd over seeds", "worst seed", "seeds")
    return Section("Over seeds", headings, tuple(lines))
