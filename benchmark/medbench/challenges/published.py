"""Published numbers of challenges: what an entry must say, and what is wrong with those that do not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.result_table import MetricSpec

WORDS = ("name", "source", "place", "population")
"""Authors or model, the source, the table or page in it, and the data that the numbers are of."""
ALLOWED = frozenset({*WORDS, "nickname", "note", "split", "challenge", "metrics"})


def published_faults(challenge: Challenge) -> list[str]:
    """Faults of a challenge's published numbers, in sentences; none where all is well."""
    faults: list[str] = []
    identities: set[tuple[str, ...]] = set()
    columns = {metric.name: metric for metric in challenge.metrics}
    for number, entry in enumerate(challenge.published(), 1):
        title = f"{challenge.name}, entry {number} ({entry.get('name', '?')})"
        faults += [f"{title}: {fault}" for fault in _faults(entry, columns)]
        identity = (str(entry.get("name")), str(entry.get("split", "")), str(entry.get("population")))
        if identity in identities:
            faults.append(f"{title}: stands there twice for one population")
        identities.add(identity)
    return faults


def _faults(entry: Mapping[str, Any], columns: Mapping[str, MetricSpec]) -> Iterator[str]:
    for name in WORDS:
        words = entry.get(name)
        if not isinstance(words, str) or not words.strip():
            yield f"has no {name}"
    if str(entry.get("place")) in re.split(r"[,;] *", str(entry.get("source"))):
        yield "says its place in its source too"
    for name in entry.keys() - ALLOWED:
        yield f"has an unknown entry '{name}'"
    for name, value in entry.get("metrics", {}).items():
        if name not in columns:
            yield f"has the unknown column {name}"
        elif not isinstance(value, int | float) or not math.isfinite(value) or _outside(value, columns[name]):
            yield f"{name} = {value} lies outside the metric's range"


def _outside(value: float, metric: MetricSpec) -> bool:
    low, high = metric.bounds
    return (low is not None and value < low) or (high is not None and value > high)
