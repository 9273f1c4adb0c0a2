"""Costs of a leaderboard's models: columns of its tables, and charts of accuracy over cost.

Parameters and CPU minutes of the training stand in the rows, operations and latencies in
``profiles.jsonl``, and the time that a run itself took a case in its record. A column holds one input size,
and a time one machine: models that were measured elsewhere have a dash there.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from types import MappingProxyType
from typing import Any, Literal

from medbench.leaderboards.boards import Board, Table
from medbench.leaderboards.naming import without_common_marks
from medbench.leaderboards.training_budget import cost_text, cpu_minutes
from medbench.profiling.records import ProfileRecord
from medbench.profiling.tables import UNSTEADY, giga, millions, milliseconds, shape_text
from medbench.records.tables import heading

Better = Literal["higher", "lower"]
PARAMETERS, GMACS, TIME = "params [M]", "GMACs", "time a case [ms]"
TRAINING = "training [CPU min]"
UNKNOWN = "No cost of these rows is on record: neither parameters nor operations nor a time of prediction."


@dataclass(frozen=True, slots=True)
class CostColumns:
    """Columns to the right of a table's metrics.

    Attributes:
        headings: parameters, operations and latencies at one input size, the runs' own times; each time one a
            machine.
        cells: run key -> text under every heading.
        values: heading -> run key -> number, for plots; nothing where it is unknown or unsteady.
    """

    headings: tuple[str, ...] = ()
    cells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, run: str) -> tuple[str, ...]:
        """The cells of a run; dashes where its costs are unknown."""
        return self.cells.get(run, ("–",) * len(self.headings))


@dataclass(frozen=True, slots=True)
class RunTime:
    """How long a run took to predict a case, by the clock: preprocessing, forward pass, postprocessing.

    Attributes:
        machine: that it was on.
        seconds: mean over the cases that were timed.
    """

    machine: str
    seconds: float


def cost_columns(
    rows: Sequence[Mapping[str, Any]],
    profiles: Sequence[ProfileRecord],
    times: Mapping[str, RunTime] = MappingProxyType({}),
) -> CostColumns:
    """Columns with the costs of a challenge's runs, as far as they were measured.

    A profile belongs to a run with the same model and options. Of several input sizes the one that most
    models were profiled at is taken; only single samples in fp32 without further options count.

    Args:
        rows: as ``results.jsonl`` holds them.
        profiles: as ``profiles.jsonl`` holds them.
        times: run key -> what the run itself took.
    """
    values: dict[str, dict[str, float]] = {}
    texts: dict[str, dict[str, str]] = {}

    def put(name: str, key: str, text: str, value: float | None) -> None:
        texts.setdefault(name, {})[key] = text
        values.setdefault(name, {})
        if value is not None:
            values[name][key] = value

    for row in rows:
        if row.get("parameters"):
            put(PARAMETERS, row["key"], millions(row["parameters"]), row["parameters"] / 1e6)
        if cpu_minutes(row):
            put(TRAINING, row["key"], cost_text(row), None)
    for record, key in _profiled(rows, profiles):
        at = shape_text(record.shape)
        more = "+" if record.cost.uncounted else ""
        put(f"{GMACS} at {at}", key, giga(record.cost.macs) + more, record.cost.macs / 1e9)
    for record, key in sorted(_profiled(rows, profiles), key=lambda pair: pair[0].hardware.key):
        if _has_time(record) and record.latency is not None:
            p50_s, steady = record.latency["p50_s"], record.latency["steady"]
            name = f"p50 [ms] at {shape_text(record.shape)}, {record.hardware.key}"
            put(
                name, key, milliseconds(p50_s) + ("" if steady else UNSTEADY), p50_s * 1e3 if steady else None
            )
    for key, time in sorted(times.items(), key=lambda item: item[1].machine):
        put(f"{TIME}, {time.machine}", key, milliseconds(time.seconds), time.seconds * 1e3)
    cells = {row["key"]: tuple(own.get(row["key"], "–") for own in texts.values()) for row in rows}
    return CostColumns(tuple(texts), cells if texts else {}, values)


def _profiled(
    rows: Sequence[Mapping[str, Any]], profiles: Sequence[ProfileRecord]
) -> list[tuple[ProfileRecord, str]]:
    """Profiles at the one input size that most models were profiled at, each with the key of its run."""
    pairs = [
        (record, str(row["key"]))
        for record in profiles
        if record.batch == 1
        and record.precision == "fp32"
        and not record.compiled
        and not record.channels_last
        for row in rows
        if _belongs(record, row)
    ]
    if not pairs:
        return []
    counts = Counter(shape for _, shape in {(record.model, record.shape) for record, _ in pairs})
    size = max(counts.items(), key=lambda item: (item[1], item[0]))[0]
    return [(record, key) for record, key in pairs if record.shape == size]


def with_costs(
    board: Board,
    rows: Sequence[Mapping[str, Any]],
    profiles: Sequence[ProfileRecord],
    times: Mapping[str, RunTime] = MappingProxyType({}),
) -> Board:
    """The board with cost columns and charts in the tables of runs; a table without any cost says so."""
    columns = cost_columns(rows, profiles, times)
    return replace(board, measured=tuple(_table_with_costs(table, columns) for table in board.measured))


def _table_with_costs(table: Table, columns: CostColumns) -> Table:
    runs = {entry.run for entry in table.entries}
    places = [
        place for place in range(len(columns.headings)) if any(columns.of(run)[place] != "–" for run in runs)
    ]
    if not places:
        return replace(table, note=f"{table.note}\n{UNKNOWN}".strip())
    first = table.metrics[0]
    accuracies = {
        entry.run: cell.value
        for entry in table.entries
        if (cell := entry.cells.get(first.name)) is not None and cell.value is not None
    }
    names = without_common_marks([entry.name for entry in table.entries])
    return replace(
        table,
        entries=tuple(
            replace(entry, costs=tuple(columns.of(entry.run)[place] for place in places))
            for entry in table.entries
        ),
        cost_headings=tuple(columns.headings[place] for place in places),
        plots=tuple(
            pareto_plots(
                dict(zip([entry.run for entry in table.entries], names, strict=True)),
                accuracies,
                columns,
                heading(first),
                first.better,
            )
        ),
    )


def _belongs(record: ProfileRecord, row: Mapping[str, Any]) -> bool:
    return record.model == row.get("model") and record.options == (row.get("options") or {})


def _has_time(record: ProfileRecord) -> bool:
    return record.latency is not None and record.latency["status"] == "ok"


@dataclass(frozen=True, slots=True)
class Point:
    """A model in the plane of cost and accuracy."""

    name: str
    cost: float
    accuracy: float


def pareto_front(points: Sequence[Point], better: Better) -> list[Point]:
    """Points that no other one beats at no higher cost, cheapest first.

    >>> front = pareto_front([Point("a", 1, 0.8), Point("b", 2, 0.7), Point("c", 3, 0.9)], "higher")
    >>> [point.name for point in front]
    ['a', 'c']
    """
    sign = 1 if better == "higher" else -1
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, -sign * point.accuracy)):
        if not front or sign * point.accuracy > sign * front[-1].accuracy:
            front.append(point)
    return front


_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 640, 380, 64, 48, 16, 24
_FEWEST = 2
"""Values on an axis, at least."""
_LETTERS = 30
"""Letters of a line of a name beside its point."""


def pareto_svg(points: Sequence[Point], cost: str, accuracy: str, better: Better) -> str:
    """A chart of accuracy over cost (logarithmic) as SVG, with the Pareto front as a line.

    Args:
        points: models; nothing is drawn for fewer than two.
        cost: label of the horizontal axis.
        accuracy: label of the vertical axis.
        better: direction of the accuracy.
    """
    if len(points) < 2:
        return ""
    across = _Axis([math.log10(point.cost) for point in points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis([point.accuracy for point in points], _HEIGHT - _BOTTOM, _TOP)
    front = pareto_front(points, better)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(accuracy)} over {escape(cost)}" font-family="sans-serif" font-size="11" '
        'fill="currentColor">',
        f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" '
        'fill="none" stroke="currentColor"/>',
    ]
    for tick in _ticks(across.low, across.high):
        x = across.place(math.log10(tick))
        parts.append(f'<path d="M{x:.1f} {_HEIGHT - _BOTTOM}v4" stroke="currentColor"/>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        value = up.low + share * (up.high - up.low)
        y = up.place(value)
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    line = " ".join(f"{across.place(math.log10(p.cost)):.1f},{up.place(p.accuracy):.1f}" for p in front)
    parts.append(f'<polyline class="front" points="{line}" fill="none" stroke="#0072b2" stroke-width="1.5"/>')
    labels, names = list[tuple[bool, float, float]](), list[str]()
    for point in sorted(points, key=lambda point: up.place(point.accuracy)):
        x, y = across.place(math.log10(point.cost)), up.place(point.accuracy)
        colour = "#0072b2" if point in front else "#999"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        names.append(_label(point.name, x, y, labels))
    parts += names
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(cost)}</text>')
    centre = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text transform="translate(14 {centre}) rotate(-90)" text-anchor="middle">{escape(accuracy)}</text>'
    )
    return "".join([*parts, "</svg>"])


def _label(name: str, x: float, y: float, others: list[tuple[bool, float, float]]) -> str:
    """A model's name in at most three lines beside its point, on the side that has room, below other names.

    Args:
        name: of the model.
        x: of the point.
        y: of the point.
        others: names that stand already (left of the point, top, bottom); this one joins them.
    """
    lines = textwrap.wrap(name, _LETTERS, max_lines=3, placeholder="…") or [""]
    to_left = x > (_LEFT + _WIDTH) / 2
    place = f'x="{x - 8 if to_left else x + 8:.1f}"'
    first = y + 4 - 6 * (len(lines) - 1)
    for other_left, top, bottom in others:
        if other_left == to_left and first - 10 < bottom and first + 12 * (len(lines) - 1) > top:
            first = bottom + 14
    others.append((to_left, first - 10, first + 12 * (len(lines) - 1)))
    parts = [
        f'<tspan {place} y="{first + 12 * number:.1f}">{escape(line)}</tspan>'
        for number, line in enumerate(lines)
    ]
    anchor = ' text-anchor="end"' if to_left else ""
    return f"<text{anchor}><title>{escape(name)}</title>{''.join(parts)}</text>"


class _Axis:
    """Places values between two ends, with a margin."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        spread = max(values) - min(values) or 1.0
        self.low, self.high = min(values) - 0.08 * spread, max(values) + 0.08 * spread
        self.first, self.last = first, last

    def place(self, value: float) -> float:
        """Pixels."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two logarithms; the 1s alone over more than two decades."""
    steps = (1, 2, 5) if high - low < 2 else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    return [step * 10**power for power in powers for step in steps if low <= math.log10(step) + power <= high]


def _ticks(low: float, high: float) -> list[float]:
    """Values between two logarithms: decades, else evenly spaced ones where few decades lie there."""
    own = _decades(low, high)
    if len(own) > 1:
        return own
    first, last = 10**low, 10**high
    power: float = 10 ** math.floor(math.log10((last - first) / _FEWEST))
    step = next(size * power for size in (1, 2, 5, 10) if (last - first) / (size * power) <= 2 * _FEWEST)
    return [number * step for number in range(math.ceil(first / step), math.floor(last / step) + 1)]


def pareto_plots(
    names: Mapping[str, str],
    accuracies: Mapping[str, float],
    columns: CostColumns,
    label: str,
    better: Better,
) -> list[str]:
    """One chart for the operations and one for every machine's times; where neither is known of two models,
    one for the parameters.

    Args:
        names: run key -> what the table calls it.
        accuracies: run key -> value of the table's first metric.
        columns: from :func:`cost_columns`.
        label: that metric's heading.
        better: its direction.
    """
    charts: list[str] = []
    for name in sorted(columns.headings, key=PARAMETERS.__eq__):
        if name == PARAMETERS and any(charts):
            continue
        costs = columns.values[name]
        points = [
            Point(names[run], costs[run], value)
            for run, value in accuracies.items()
            if costs.get(run, 0) > 0 and run in names
        ]
        charts.append(pareto_svg(points, name, label, better))
    return [chart for chart in charts if chart]
