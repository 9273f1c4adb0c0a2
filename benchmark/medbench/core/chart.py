"""Charts over all cases of a run, as data; reports draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: for the key.
        x: places along the horizontal axis.
        y: values there.
        low: lower ends of 95 % intervals at the same places; empty where there are none.
        high: upper ends.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class CurveChart:
    """Curves over one horizontal axis; both axes run from 0 to 1.

    Attributes:
        title: heading.
        x_label: what the horizontal axis shows.
        y_label: what the vertical axis shows.
        curves: lines.
        diagonal: what the diagonal means, such as "chance"; empty: it is not drawn.
        points: whether places are marked.
        note: how intervals came about, and what was left out.
    """

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    diagonal: str = ""
    points: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class MatrixChart:
    """A table of counts.

    Attributes:
        title: heading.
        rows: names of the rows.
        columns: names of the columns.
        counts: ``rows`` × ``columns``.
        row_label: what the rows are.
        column_label: what the columns are.
        note: what was left out.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    counts: Sequence[Sequence[int]]
    row_label: str
    column_label: str
    note: str = ""


Chart = CurveChart | MatrixChart
