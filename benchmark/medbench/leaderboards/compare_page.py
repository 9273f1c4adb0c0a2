"""A comparison as one HTML page: tests with their limits, differences case by case, images side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.challenges import load_challenge
from medbench.core.files import write_text
from medbench.core.result_table import MetricSpec
from medbench.leaderboards.compare import Difference
from medbench.leaderboards.compare_cells import difference_cells, difference_headings, group_cells
from medbench.records.drawing import Series, agreement_plot, dots_and_boxes
from medbench.records.figures import Figure
from medbench.records.legend import definitions
from medbench.records.reading import Run
from medbench.records.shell import page_environment
from medbench.records.tables import heading

TEMPLATES = Path(__file__).parent / "templates"
MOST_MOVED = 8
"""Cases of a pair that are shown side by side."""
Illustrate = Callable[[Run, Sequence[str]], Sequence[Figure]]


@dataclass(frozen=True, slots=True)
class Moved:
    """A case in two runs.

    Attributes:
        case: its id.
        number: in the table of cases.
        first: value in the first run.
        second: value in the second run.
        gain: difference, positive where the second run is better.
    """

    case: str
    number: int
    first: float
    second: float
    gain: float


def write_comparison(
    path: Path,
    runs: Sequence[Run],
    differences: Sequence[Difference],
    legend: Sequence[str],
    illustrate: Illustrate | None = None,
) -> None:
    """Write the comparison of runs as one HTML file without links to other files.

    Args:
        path: of the HTML file.
        runs: two or more, of the same cases.
        differences: as :func:`medbench.leaderboards.compare.compare_runs` gives them.
        legend: what the tests say and what they cannot.
        illustrate: images of cases of a run; none where data or predictions are not here.
    """
    record = runs[0].record
    challenge = load_challenge(record.challenge.name)
    by_title = {run.title: run for run in runs}
    pairs = [
        _pair(place, by_title[first], by_title[second], differences, illustrate)
        for place, (first, second) in enumerate(dict.fromkeys((d.first, d.second) for d in differences))
    ]
    figures = [figure for pair in pairs for _, *both in pair["side_by_side"] for figure in both]
    page = (
        page_environment(TEMPLATES)
        .get_template("compare.html.j2")
        .render(
            record=record,
            title=challenge.title,
            pairs=pairs,
            legend=legend,
            illustrated=illustrate is not None,
            outlined=any(figure.has_outlines for figure in figures),
            wrong=any(figure.wrong for figure in figures),
            definitions=definitions({d.metric.name: d.metric for d in differences}.values()),
        )
    )
    write_text(path, page)


def _pair(
    place: int, first: Run, second: Run, differences: Sequence[Difference], illustrate: Illustrate | None
) -> dict[str, Any]:
    own = [d for d in differences if (d.first, d.second) == (first.title, second.title)]
    columns = [d.metric for d in own if not d.metric.pooled]
    metric = next((m for m in columns if m.headline), columns[0] if columns else None)
    moves = _moved(first, second, metric) if metric else []
    return {
        "id": f"p{place + 1}",
        "first": first.title,
        "second": second.title,
        "headings": difference_headings(own[0]),
        "rows": [difference_cells(difference) for difference in own],
        "groups": [group_cells(difference) for difference in own if difference.by_group],
        "metric": heading(metric) if metric else "",
        "moved": moves,
        "unit": metric.unit if metric else "",
        "wins": sum(case.gain > 0 for case in moves),
        "losses": sum(case.gain < 0 for case in moves),
        "drawings": _drawings(moves, metric) if metric else [],
        "side_by_side": _side_by_side(first, second, moves, illustrate) if illustrate else [],
    }


def _moved(first: Run, second: Run, metric: MetricSpec) -> list[Moved]:
    """Cases with a value in both runs, those that moved most first."""
    sign = 1.0 if metric.better == "higher" else -1.0
    cases = []
    for place, (case, row) in enumerate(first.rows.items()):
        one = row.scores.get(metric.name)
        other = second.rows[case].scores.get(metric.name) if case in second.rows else None
        if one and other and one.value is not None and other.value is not None:
            gain = sign * (other.value - one.value)
            cases.append(Moved(case, place, one.value, other.value, gain))
    return sorted(cases, key=lambda case: -abs(case.gain))


def _drawings(moves: Sequence[Moved], metric: MetricSpec) -> list[Any]:
    numbers = {case.case: case.number for case in moves}
    gains = Series("", {case.case: case.second - case.first for case in moves})
    points = {case.case: (case.first, case.second) for case in moves}
    drawings = [
        dots_and_boxes([gains], f"second − first, {heading(metric)}", numbers, "Differences case by case"),
        agreement_plot(points, heading(metric), numbers),
    ]
    return [drawing for drawing in drawings if drawing.markup]


def _side_by_side(
    first: Run, second: Run, moves: Sequence[Moved], illustrate: Illustrate
) -> list[tuple[Moved, Figure, Figure]]:
    """The cases that moved most, with the first image of either run."""
    cases = [case.case for case in moves[:MOST_MOVED] if case.gain]
    one, other = ({f.case: f for f in reversed(illustrate(run, cases))} for run in (first, second))
    return [
        (case, one[case.case], other[case.case])
        for case in moves[:MOST_MOVED]
        if case.case in one and case.case in other
    ]
