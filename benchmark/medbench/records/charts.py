"""Charts of a report: curves as SVG, counts as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from medbench.core.chart import Chart, Curve, CurveChart, MatrixChart

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#9a8c00")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 420, 380, 52, 44, 12, 12
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """A chart as it stands in a page.

    Attributes:
        title: heading.
        markup: HTML, escaped.
        key: name and mark of each curve.
        note: below it.
    """

    title: str
    markup: str
    key: Sequence[tuple[str, str]]
    note: str


def draw_chart(chart: Chart) -> DrawnChart:
    """A chart as markup that needs nothing else."""
    if isinstance(chart, MatrixChart):
        return DrawnChart(chart.title, _table(chart), (), chart.note)
    key = [(curve.name, _mark(_colour(index))) for index, curve in enumerate(chart.curves)]
    return DrawnChart(chart.title, _svg(chart), key, chart.note)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _mark(colour: str) -> str:
    """A short line of a curve's colour, for the key."""
    line = f'<path d="M0 4H26" stroke="{colour}" stroke-width="3"/>'
    return f'<svg width="26" height="8" aria-hidden="true">{line}</svg>'


def _table(chart: MatrixChart) -> str:
    """Counts, shaded by their share of the row."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in chart.columns)
    corner = f"{escape(chart.row_label)} ↓ {escape(chart.column_label)} →"
    parts = [f'<table class="matrix"><thead><tr><th scope="col">{corner}</th>{head}</tr></thead><tbody>']
    for name, counts in zip(chart.rows, chart.counts, strict=True):
        total = sum(counts)
        cells = "".join(
            f'<td class="s{round(20 * count / total) if total else 0}">{count}</td>' for count in counts
        )
        parts.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return "".join([*parts, "</tbody></table>"])


def _x(value: float) -> float:
    return _LEFT + value * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float) -> float:
    return _HEIGHT - _BOTTOM - value * (_HEIGHT - _BOTTOM - _TOP)


def _path(xs: Sequence[float], ys: Sequence[float]) -> str:
    return " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in zip(xs, ys, strict=True))


def _svg(chart: CurveChart) -> str:
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(chart.title)}" font-family="sans-serif" font-size="11" fill="currentColor">',
        f'<path d="M{_x(0)} {_y(1)}V{_y(0)}H{_x(1)}" fill="none" stroke="currentColor"/>',
    ]
    for tick in _TICKS:
        parts.append(f'<text x="{_x(tick):.1f}" y="{_y(0) + 15}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{_y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    if chart.diagonal:
        parts.append(f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#888" stroke-dasharray="4 4"/>')
    for index, curve in enumerate(chart.curves):
        parts += _curve(curve, _colour(index), chart.points)
    if chart.diagonal:
        place = f'x="{_x(0.97):.1f}" y="{_y(0.7):.1f}"'
        parts.append(f'<text {place} text-anchor="end">{escape(chart.diagonal)}</text>')
    parts.append(f'<text x="{_x(0.5)}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(chart.x_label)}</text>')
    parts.append(
        f'<text transform="translate(13 {_y(0.5)}) rotate(-90)" text-anchor="middle">{escape(chart.y_label)}'
        "</text>"
    )
    return "".join([*parts, "</svg>"])


def _curve(curve: Curve, colour: str, points: bool) -> list[str]:
    """The band first, the line above it."""
    parts = []
    if curve.low:
        around = f"{_path(curve.x, curve.high)} {_path(curve.x[::-1], curve.low[::-1])}"
        parts.append(f'<polygon points="{around}" fill="{colour}" fill-opacity="0.15"/>')
    parts.append(
        f'<polyline points="{_path(curve.x, curve.y)}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
    )
    if points:
        for place, value in zip(curve.x, curve.y, strict=True):
            parts.append(f'<circle cx="{_x(place):.1f}" cy="{_y(value):.1f}" r="3.2" fill="{colour}"/>')
    return parts
