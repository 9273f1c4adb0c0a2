"""Numbers as people read them: result tables of a run and of a challenge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medbench.challenges.base import Challenge, MetricSpec
from medbench.core.record import MetricRecord, RunRecord
from medbench.leaderboards.statistics import Aggregate

RESULT_HEADINGS = ("metric", "mean", "95 % interval", "scored", "failed", "missing", "undefined", "groups")


def decimals(unit: str) -> int:
    """Digits after the point for a unit."""
    return 2 if unit else 4


def number(value: float | None, unit: str) -> str:
    """A value with its unit's digits; a dash where there is none."""
    return "–" if value is None else f"{value:.{decimals(unit)}f}"


def interval(low: float | None, high: float | None, unit: str) -> str:
    """``low – high``, or a dash."""
    return "–" if low is None or high is None else f"{number(low, unit)} – {number(high, unit)}"


def heading(metric: MetricSpec | MetricRecord) -> str:
    """Title, unit and direction: ``HD PS+FH [px] ↓``."""
    unit = f" [{metric.unit}]" if metric.unit else ""
    return f"{metric.title}{unit} {'↑' if metric.better == 'higher' else '↓'}"


def aggregate_rows(
    aggregates: Mapping[str, Aggregate], specs: Mapping[str, MetricSpec]
) -> list[tuple[str, ...]]:
    """One row a metric under :data:`RESULT_HEADINGS`."""
    return [
        (
            heading(specs[name]),
            number(figures.value, specs[name].unit),
            interval(figures.interval.low, figures.interval.high, specs[name].unit),
            *map(str, (figures.scored, figures.failed, figures.missing, figures.undefined, figures.groups)),
        )
        for name, figures in aggregates.items()
    ]


def result_rows(record: RunRecord) -> list[tuple[str, ...]]:
    """One row a metric under :data:`RESULT_HEADINGS`."""
    return [
        (
            heading(metric),
            number(metric.value, metric.unit),
            interval(metric.ci95_low, metric.ci95_high, metric.unit),
            *(str(count) for count in (metric.scored, metric.failed, metric.missing, metric.undefined)),
            str(metric.groups),
        )
        for metric in record.metrics.values()
    ]


def board_markdown(challenge: Challenge, rows: Sequence[dict[str, Any]]) -> str:
    """A challenge's page: a table for each kind of data and split, never mixed; published numbers apart."""
    parts = [f"# {challenge.title}", "", f"{challenge.task}. {challenge.homepage}", ""]
    for data, name in (
        ("real", "Measured on real data"),
        ("sample", "Synthetic sample: no result on real data"),
    ):
        populations = sorted({(row["split"], row["manifest_sha256"]) for row in rows if row["data"] == data})
        for split, manifest in populations:
            chosen = [
                r for r in rows if (r["data"], r["split"], r["manifest_sha256"]) == (data, split, manifest)
            ]
            parts += [f"## {name}, split {split}, {chosen[0]['counts']['total']} cases ({manifest[:8]})", ""]
            parts += [_measured(challenge, chosen), ""]
    published = _published(challenge)
    if published:
        parts += ["## Published, not measured here", "", published, ""]
    parts += [
        f"Brackets: 95 % intervals, resampled by group. Failed and missing cases: {challenge.failure_rule}",
        "",
        "The order of rows is that of the first column and is not the organisers' ranking.",
        "",
    ]
    return "\n".join(parts)


def _measured(challenge: Challenge, rows: Sequence[dict[str, Any]]) -> str:
    from tabulate import tabulate

    shown = [metric for metric in challenge.metrics if any(metric.name in row["metrics"] for row in rows)]
    first = shown[0]

    def place(row: dict[str, Any]) -> float:
        value = row["metrics"].get(first.name, {}).get("value")
        if value is None:
            return float("inf")
        return -float(value) if first.better == "higher" else float(value)

    table = [
        [
            row["title"] + (f" ({row['recipe']})" if row["recipe"] else ""),
            *(_cell(row["metrics"].get(metric.name), metric) for metric in shown),
            f"{row['counts']['failed'] + row['counts']['missing']}/{row['counts']['total']}",
            f"`{row['key'][:8]}`",
        ]
        for row in sorted(rows, key=place)
    ]
    headings = ["model", *(heading(metric) for metric in shown), "failed or missing", "run"]
    return str(tabulate(table, headings, tablefmt="github", disable_numparse=True))


def _cell(entry: dict[str, Any] | None, metric: MetricSpec) -> str:
    if entry is None or entry["value"] is None:
        return "–"
    low, high = entry["ci95"]
    spread = interval(low, high, metric.unit)
    return number(entry["value"], metric.unit) + (f" [{spread}]" if spread != "–" else "")


def _published(challenge: Challenge) -> str:
    from tabulate import tabulate

    entries = challenge.published()
    shown = [
        metric for metric in challenge.metrics if any(metric.name in entry["metrics"] for entry in entries)
    ]
    table = [
        [
            entry["name"],
            *(number(entry["metrics"].get(metric.name), metric.unit) for metric in shown),
            entry["population"],
            entry["source"],
        ]
        for entry in entries
    ]
    headings = ["who", *(heading(metric) for metric in shown), "measured on", "source"]
    return str(tabulate(table, headings, tablefmt="github", disable_numparse=True)) if entries else ""
