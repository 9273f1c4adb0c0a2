"""Plots of pages, as SVG in their markup: they read without scripts, print, and follow the page's theme.

A chart library would draw the same in the reader's browser from its own half a megabyte in every page
(Observable Plot 0.6.17 with d3 7.9.2: 490 kB), would show nothing without scripts, and boards are compared
byte by byte when they are verified.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medbench.records.shell import words

WIDTH, LEFT, RIGHT, TOP, AXIS = 640, 204, 24, 8, 40
ROW = 34
MOST_DOTS = 8000
"""Dots of one plot; where there are more cases times entries, boxes alone are drawn."""
BOXES = "Box: quartiles, with the median as a line; whiskers: least and greatest value. "
DOTS = "Each dot is a case; choosing one marks it everywhere and in the table of cases."
NO_DOTS = "Too many cases for dots."
LINE, LINES = 26, 2
"""Letters of a line of a name beside a plot, and lines of a name."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A plot as it stands in a page.

    Attributes:
        title: what it shows.
        markup: SVG, escaped.
        note: how to read it.
    """

    title: str
    markup: str
    note: str = ""

    def __bool__(self) -> bool:
        return bool(self.markup)


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one entry over cases.

    Attributes:
        name: of the entry; empty where the plot has one and needs no name.
        values: case -> value.
    """

    name: str
    values: Mapping[str, float]


class Scale:
    """Places numbers along one side of a plot, with round ticks."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        if not high > low:
            low, high = low - 0.5, high + 0.5
        margin = 0.03 * (high - low)
        self.low, self.high, self.start, self.end = low - margin, high + margin, start, end

    def __call__(self, value: float) -> float:
        """Pixels."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Round numbers within the scale, about six."""
        step = 10 ** math.floor(math.log10((self.high - self.low) / 5))
        step *= next(m for m in (1, 2, 5, 10) if (self.high - self.low) / (step * m) <= 7)
        first = math.ceil(self.low / step)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step) + 1)]


def _open(title: str, height: float, width: float = WIDTH) -> str:
    look = "plot" if width == WIDTH else "plot bare"
    return f'<svg class="{look}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{words(title)}">'


def _across(scale: Scale, bottom: float, label: str, top: float = TOP) -> list[str]:
    """A horizontal axis with ticks and its label."""
    parts = [f'<path class="axis" d="M{scale.start} {bottom}H{scale.end}"/>']
    for tick in scale.ticks():
        x = scale(tick)
        parts.append(f'<path class="grid" d="M{x} {top}V{bottom}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>')
    middle = (scale.start + scale.end) / 2
    parts.append(f'<text x="{middle}" y="{bottom + 30}" text-anchor="middle">{words(label)}</text>')
    return parts


def _up(scale: Scale, left: float, right: float, label: str) -> list[str]:
    """A vertical axis with ticks and its label."""
    parts = [f'<path class="axis" d="M{left} {scale.start}V{scale.end}"/>']
    for tick in scale.ticks():
        y = scale(tick)
        parts.append(f'<path class="grid" d="M{left} {y}H{right}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    middle = (scale.start + scale.end) / 2
    attributes = f'transform="translate(14 {middle}) rotate(-90)" text-anchor="middle"'
    return [*parts, f"<text {attributes}>{words(label)}</text>"]


def _name(name: str, y: float, lines: int = LINES) -> str:
    """A name beside its row of a plot, in a line or two, and in full where it is pointed at."""
    short = textwrap.wrap(name, LINE, max_lines=lines, placeholder="…") or [""]
    first = y + 4 - 6 * (len(short) - 1)
    parts = "".join(
        f'<tspan x="{LEFT - 8}" y="{first + 12 * place:g}">{words(line)}</tspan>'
        for place, line in enumerate(short)
    )
    return f'<text text-anchor="end"><title>{words(name)}</title>{parts}</text>'


def dots_and_boxes(
    series: Sequence[Series], label: str, numbers: Mapping[str, int], title: str = ""
) -> Drawing:
    """Every case as a dot, with the median, the quartiles and the ends of the data as a box, a row an entry.

    Args:
        series: entries with their values.
        label: of the values, with the unit.
        numbers: case -> number, the same in the page's table of cases.
        title: heading; the label if not given.
    """
    series = [own for own in series if own.values]
    if not series:
        return Drawing("", "")
    everything = [value for own in series for value in own.values.values()]
    bottom = TOP + ROW * len(series)
    left = LEFT if any(own.name for own in series) else RIGHT
    width = WIDTH - LEFT + left
    scale = Scale(min(everything), max(everything), left, width - RIGHT)
    title = title or label
    with_dots = len(everything) <= MOST_DOTS
    parts = [_open(f"{title}: dots and boxes over cases", bottom + AXIS, width)]
    parts += _across(scale, bottom, label)
    for place, own in enumerate(series):
        y = TOP + ROW * (place + 0.5)
        parts += [_name(own.name, y)] if own.name else []
        parts += _box(list(own.values.values()), scale, y)
        parts += _dots(own, scale, y, numbers) if with_dots else []
    return Drawing(title, "".join([*parts, "</svg>"]), BOXES + (DOTS if with_dots else NO_DOTS))


def _box(values: Sequence[float], scale: Scale, y: float) -> list[str]:
    least, first, median, third, most = map(float, np.quantile(np.asarray(values), [0, 0.25, 0.5, 0.75, 1]))
    return [
        f'<path class="axis" d="M{scale(least)} {y}H{scale(most)}"/>',
        f'<rect class="box" x="{scale(first)}" y="{y - 9:g}" '
        f'width="{max(0.5, round(scale(third) - scale(first), 1))}" height="18"/>',
        f'<path class="mid" d="M{scale(median)} {y - 9:g}v18"/>',
    ]


def _dots(own: Series, scale: Scale, y: float, numbers: Mapping[str, int]) -> list[str]:
    return [
        f'<circle class="dot" data-c="{numbers[case]}" cx="{scale(value)}" '
        f'cy="{y + (place * 7 % 15 - 7):g}" r="2.6"><title>{words(case)}: {value:.4g}</title></circle>'
        for place, (case, value) in enumerate(own.values.items())
    ]


@dataclass(frozen=True, slots=True)
class RankRow:
    """An entry's place when groups are resampled: its rank, 95 % range, and the share of each rank."""

    name: str
    rank: int
    low: int
    high: int
    frequencies: Sequence[float]


def rank_plot(rows: Sequence[RankRow], note: str) -> Drawing:
    """How often each entry has each rank, as areas of circles, with the 95 % range as a line."""
    if len(rows) < 2:
        return Drawing("", "")
    bottom = TOP + ROW * len(rows)
    last = len(rows)
    scale = Scale(1, last, LEFT + 20, WIDTH - RIGHT - 20)
    parts = [_open("Stability of the ranking", bottom + AXIS)]
    for tick in range(1, last + 1):
        parts.append(f'<path class="grid" d="M{scale(tick)} {TOP}V{bottom}"/>')
        parts.append(f'<text x="{scale(tick)}" y="{bottom + 14}" text-anchor="middle">{tick}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{bottom + 30}" text-anchor="middle">rank</text>')
    for place, row in enumerate(sorted(rows, key=lambda row: row.rank)):
        y = TOP + ROW * (place + 0.5)
        parts += [_name(row.name, y), f'<path class="line" d="M{scale(row.low)} {y}H{scale(row.high)}"/>']
        for rank, share in enumerate(row.frequencies, 1):
            if share > 0:
                title = f"<title>{words(row.name)}: rank {rank} in {share:.1%} of the resamples</title>"
                parts.append(
                    f'<circle class="box" cx="{scale(rank)}" cy="{y:g}" '
                    f'r="{14 * math.sqrt(share):.1f}">{title}</circle>'
                )
        parts.append(f'<path class="mid" d="M{scale(row.rank)} {y - 7:g}v14"/>')
    return Drawing("Stability of the ranking", "".join([*parts, "</svg>"]), note)


def significance_plot(names: Sequence[str], p: Sequence[Sequence[float | None]], note: str) -> Drawing:
    """Which entry is better than which, row against column, by corrected tests at 0.05."""
    if len(names) < 2:
        return Drawing("", "")
    side = min(ROW, (WIDTH - LEFT - RIGHT) / len(names))
    bottom = TOP + side * len(names)
    parts = [_open("Significance map", bottom + AXIS)]
    for i, name in enumerate(names):
        y = TOP + side * (i + 0.5)
        parts.append(_name(f"{i + 1}. {name}", y, LINES if side > 25 else 1))
        middle = LEFT + side * (i + 0.5)
        parts.append(f'<text x="{middle:g}" y="{bottom + 14:g}" text-anchor="middle">{i + 1}</text>')
        for j, other in enumerate(names):
            chance = p[i][j]
            is_better = i != j and chance is not None and chance < 0.05
            title = (
                f"<title>{words(name)} better than {words(other)}: p {chance:.3g}</title>"
                if (chance is not None and i != j)
                else ""
            )
            parts.append(
                f'<rect class="{"cell wins" if is_better else "cell"}" x="{LEFT + side * j:g}" '
                f'y="{TOP + side * i:g}" width="{side:g}" height="{side:g}">{title}</rect>'
            )
    return Drawing("Significance map", "".join([*parts, "</svg>"]), note)


def bars(values: Mapping[str, float], label: str, title: str) -> Drawing:
    """One horizontal bar a name."""
    if not values:
        return Drawing("", "")
    row = 24
    bottom = TOP + row * len(values)
    scale = Scale(0, max(values.values()) or 1.0, LEFT, WIDTH - RIGHT - 60)
    parts = [_open(title, bottom + AXIS), *_across(scale, bottom, label)]
    for place, (name, value) in enumerate(values.items()):
        y = TOP + row * (place + 0.5)
        parts += [
            _name(name, y, 1),
            f'<rect class="bar" x="{scale(0)}" y="{y - 8:g}" width="{round(scale(value) - scale(0), 1)}" '
            'height="16"/>',
            f'<text x="{scale(value) + 5:g}" y="{y + 4:g}">{value:.3g}</text>',
        ]
    return Drawing(title, "".join([*parts, "</svg>"]))


def agreement_plot(
    points: Mapping[str, tuple[float, float]], label: str, numbers: Mapping[str, int]
) -> Drawing:
    """Bland–Altman: each case's difference over its mean, with the mean difference and the limits ± 1.96 sd.

    Args:
        points: case -> values of the first and the second run.
        label: of the values, with the unit.
        numbers: case -> number, the same in the page's table of cases.
    """
    if len(points) < 2:
        return Drawing("", "")
    pairs = np.array(list(points.values()))
    means, differences = pairs.mean(axis=1), pairs[:, 1] - pairs[:, 0]
    centre, sd = float(differences.mean()), float(differences.std(ddof=1))
    lines = (centre - 1.96 * sd, centre, centre + 1.96 * sd)
    height, left = 360, 64
    across = Scale(float(means.min()), float(means.max()), left, WIDTH - 90)
    up = Scale(min(*lines, *differences), max(*lines, *differences), height - AXIS, TOP)
    parts = [_open(f"Bland–Altman: {label}", height), *_up(up, left, WIDTH - 90, f"difference, {label}")]
    parts += _across(across, height - AXIS, f"mean of both runs, {label}")
    for value in lines:
        parts.append(f'<path class="mean" d="M{left} {up(value)}H{WIDTH - 90}"/>')
        parts.append(f'<text x="{WIDTH - 86}" y="{up(value) + 4}">{value:+.3g}</text>')
    for case, mean, difference in zip(points, means, differences, strict=True):
        title = f"<title>{words(case)}: {difference:+.4g}</title>"
        parts.append(
            f'<circle class="dot" data-c="{numbers[case]}" cx="{across(float(mean))}" '
            f'cy="{up(float(difference))}" r="3.2">{title}</circle>'
        )
    note = (
        "Each dot is a case. Lines: mean difference and the limits within which 95 % of the differences lie "
        "if they are normally distributed (mean ± 1.96 sd)."
    )
    return Drawing(f"Bland–Altman: {label}", "".join([*parts, "</svg>"]), note)
