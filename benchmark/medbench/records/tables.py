"""The result table of a run, and the number formats of all tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from medbench.core.errors import MedbenchError
from medbench.core.result_table import MetricSpec
from medbench.metrics.catalogue import METRICS
from medbench.statistics.intervals import Aggregate

if TYPE_CHECKING:
    from medbench.records.schema import MetricRecord, RunRecord

RESULT_HEADINGS = ("metric", "value", "95 % interval", "scored", "failed", "missing", "undefined", "groups")


def decimals(unit: str) -> int:
    """Digits after the point for a unit."""
    return 2 if unit else 4


def number(value: float | None, unit: str) -> str:
    """A value as text with its unit's digits; a dash for ``None``."""
    return "–" if value is None else f"{value:.{decimals(unit)}f}"


def interval(low: float | None, high: float | None, unit: str) -> str:
    """An interval as text, ``low – high``; a dash where there is none."""
    return "–" if low is None or high is None else f"{number(low, unit)} – {number(high, unit)}"


def heading(metric: MetricSpec | MetricRecord) -> str:
    """Heading of a metric's column with unit and direction, such as ``HD PS+FH [px] ↓``, ``DF [mm] → 0``."""
    unit = f" [{metric.unit}]" if metric.unit else ""
    arrow = "→ 0" if _signed(metric) else "↑" if metric.better == "higher" else "↓"
    return f"{metric.title}{unit} {arrow}"


def _signed(metric: MetricSpec | MetricRecord) -> bool:
    """Whether 0 is best and neither direction; of a record's column the definition says so."""
    if isinstance(metric, MetricSpec):
        return metric.signed
    try:
        return METRICS.get(metric.convention).range == (-math.inf, math.inf)
    except MedbenchError:
        return False


def full_heading(metric: MetricSpec) -> str:
    """Heading of a metric's column with its protocol, where the challenge has several."""
    return f"{heading(metric)} ({metric.protocol})" if metric.protocol else heading(metric)


def chance(p: float | None) -> str:
    """A p-value as text; a dash for ``None``.

    >>> chance(0.0004), chance(0.25), chance(None)
    ('< 0.001', '0.250', '–')
    """
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def distinct_headings(metrics: Mapping[str, MetricSpec] | Mapping[str, MetricRecord]) -> dict[str, str]:
    """Column -> its heading, with the protocol where columns of two protocols have one heading."""
    texts = {name: heading(metric) for name, metric in metrics.items()}
    several = {text for text, count in Counter(texts.values()).items() if count > 1}
    return {
        name: f"{text} ({protocol})" if (protocol := metrics[name].protocol) and text in several else text
        for name, text in texts.items()
    }


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


def data_words(record: RunRecord) -> str:
    """Words in brackets behind a title where the data are a synthetic sample or a subset; else none."""
    if record.data == "sample":
        return " (synthetic sample: no result on real data)"
    if record.challenge.subset:
        present_cases, all_cases = record.challenge.present_cases, record.challenge.released_cases
        return f" (real data, subset: {present_cases} of {all_cases} cases)"
    return ""


def result_title(record: RunRecord) -> str:
    """Model, challenge and split of a run, and whether its data are a synthetic sample or a subset."""
    title = f"{record.model.title} on {record.challenge.title}, split {record.challenge.split}"
    title += data_words(record)
    modalities = record.settings.get("modalities")
    return f"{title}, seeing {', '.join(modalities)} alone" if modalities else title


def result_tables(record: RunRecord) -> dict[str, list[MetricRecord]]:
    """The metrics of a run by evaluation protocol; metrics of two protocols never share a table."""
    tables: dict[str, list[MetricRecord]] = {}
    for metric in record.metrics.values():
        tables.setdefault(metric.protocol, []).append(metric)
    return tables


def result_rows(metrics: Iterable[MetricRecord]) -> list[tuple[str, ...]]:
    """One row a metric under :data:`RESULT_HEADINGS`."""
    return [
        (
            heading(metric),
            number(metric.value, metric.unit),
            interval(metric.ci95_low, metric.ci95_high, metric.unit),
            *(str(count) for count in (metric.scored, metric.failed, metric.missing, metric.undefined)),
            str(metric.groups),
        )
        for metric in metrics
    ]


SPREAD_HEADINGS = ("metric", "mean ± sd", "median", "quartiles", "worst", "worst case", "cases")


def spread_rows(metrics: Mapping[str, MetricRecord]) -> list[tuple[str, ...]]:
    """One row a metric under :data:`SPREAD_HEADINGS`; none for pooled metrics."""
    headings = distinct_headings(metrics)
    return [
        (
            headings[name],
            f"{number(own.mean, metric.unit)} ± {number(own.sd, metric.unit)}",
            number(own.median, metric.unit),
            interval(own.q25, own.q75, metric.unit),
            number(own.worst, metric.unit),
            own.worst_case,
            str(own.cases),
        )
        for name, metric in metrics.items()
        if (own := metric.spread) is not None
    ]


def subgroup_tables(record: RunRecord) -> dict[str, list[tuple[str, ...]]]:
    """Manifest column -> one row a subgroup and metric: subgroup, metric, value, interval, cases, groups."""
    headings = distinct_headings(record.metrics)
    return {
        column: [
            (
                name,
                headings[metric],
                number(own.value, record.metrics[metric].unit),
                interval(own.ci95_low, own.ci95_high, record.metrics[metric].unit),
                str(own.scored + own.failed + own.missing + own.undefined),
                str(own.groups),
            )
            for name, metrics in names.items()
            for metric, own in metrics.items()
            if record.metrics[metric].value is not None
        ]
        for column, names in record.subgroups.items()
    }


SUBGROUP_HEADINGS = ("subgroup", "metric", "value", "95 % interval", "cases", "groups")
