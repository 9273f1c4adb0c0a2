"""Cells of a comparison's tables, on a page and in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from medbench.leaderboards.compare import Difference
from medbench.records.tables import chance, full_heading, interval, number

_EQUIVALENCE = "equivalence p"
_DIFFERENCE = ("metric", "first", "second", "difference", "95 % interval", "permutation p", "Holm", "least p",
          _EQUIVALENCE, "cases", "groups")  # fmt: skip
GROUP_HEADINGS = ("metric", "better", "equal", "worse", "rank-biserial", "Wilcoxon p", "Holm")


def difference_headings(difference: Difference) -> list[str]:
    """Headings above :func:`difference_cells`; equivalence is tested where a margin was given."""
    return [name for name in _DIFFERENCE if difference.margin is not None or name != _EQUIVALENCE]


def difference_cells(difference: Difference) -> tuple[str, ...]:
    """One row a metric: both values, their difference with its interval, p-values, cases and groups."""
    d, unit = difference, difference.metric.unit
    sign = "+" if d.difference is not None and d.difference >= 0 else ""
    return (
        full_heading(d.metric),
        number(d.values[0], unit),
        number(d.values[1], unit),
        sign + number(d.difference, unit),
        interval(d.interval.low, d.interval.high, unit),
        chance(d.p_permutation),
        chance(d.p_permutation_holm),
        chance(d.least_p),
        *([] if d.margin is None else [chance(d.p_equivalence)]),
        f"{d.cases} (−{d.left_out})" if d.left_out else str(d.cases),
        str(d.groups),
    )


def narrow_table(differences: Sequence[Difference]) -> tuple[list[str], list[list[str]], str]:
    """Headings and rows of a terminal that is too narrow for the others, and a line on cases and groups.

    Intervals stand behind their differences; where all metrics have as many cases and groups, the line alone
    says so.
    """
    with_margin = differences[0].margin is not None
    equivalence = [_EQUIVALENCE] if with_margin else []
    headings = [
        "metric",
        "first",
        "second",
        "difference [95 % interval]",
        "p",
        "Holm",
        "least p",
        *equivalence,
    ]
    rows = []
    for one in differences:
        metric, first, second, value, span, *p_values, _, _ = difference_cells(one)
        rows.append([metric, first, second, value if span == "–" else f"{value} [{span}]", *p_values])
    counts = [difference_cells(one)[-2:] for one in differences]
    if len(set(counts)) == 1:
        cases, groups = counts[0]
        return headings, rows, f"Cases: {cases}, groups: {groups}."
    return [*headings, "cases", "groups"], [[*row, *own] for row, own in zip(rows, counts, strict=True)], ""


def group_cells(difference: Difference) -> tuple[str, ...]:
    """One row a metric under :data:`GROUP_HEADINGS`; empty where there is nothing by group."""
    d, own = difference, difference.by_group
    if own is None:
        return ()
    biserial = "–" if own.rank_biserial is None else f"{own.rank_biserial:+.2f}"
    counts = (str(own.wins), str(own.ties), str(own.losses))
    return (full_heading(d.metric), *counts, biserial, chance(own.p_wilcoxon), chance(own.p_wilcoxon_holm))
