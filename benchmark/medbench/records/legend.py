"""Definitions of columns in words, for the legends of pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from medbench.core.errors import MedbenchError
from medbench.core.result_table import MetricSpec
from medbench.metrics.catalogue import METRICS


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition as a legend shows it: id, name in the field, unit, direction, rule and source."""

    id: str
    title: str
    unit: str
    better: str
    definition: str
    source: str


def definitions(metrics: Iterable[MetricSpec]) -> list[Definition]:
    """The definitions of columns, each once; those of a challenge's own columns have no rule here."""
    by_id = {metric.convention: metric for metric in metrics}
    return [_definition(metric) for _, metric in sorted(by_id.items())]


def _definition(metric: MetricSpec) -> Definition:
    try:
        own = METRICS.get(metric.convention)
    except MedbenchError:
        return Definition(
            metric.convention, metric.title, metric.unit, metric.better, "Defined by the challenge.", ""
        )
    better = "nearer to 0" if metric.signed else metric.better
    return Definition(own.id, own.title, metric.unit, better, own.definition, own.source)
