"""Plots of a table's cases: dots and boxes, stability of the ranking, significance map, table of cases."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.result_table import MetricSpec
from medbench.core.text import counted, printable
from medbench.leaderboards.boards import Entry, Table
from medbench.leaderboards.costs import RunTime
from medbench.leaderboards.naming import without_common_marks
from medbench.leaderboards.rank import RESAMPLES, Ranking, rank_by
from medbench.records.drawing import (
    Drawing,
    RankRow,
    Series,
    dots_and_boxes,
    rank_plot,
    significance_plot,
)
from medbench.records.reading import JOURNAL, KEY_LENGTH, RECORD, Run, read_run
from medbench.records.tables import heading, number

MOST_ENTRIES = 20
"""Entries of one table whose cases are drawn: the first in the table's order."""
PREDICTING = ("preprocess", "forward", "postprocess")
"""Phases of a run that are its model's; reading, writing and scoring are the challenge's."""
Ranges = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """Figures over the cases of a table's rows, from their evidence.

    Attributes:
        drawings: plots.
        headings: of the table of cases.
        cases: number and id of each case, and each entry's value as text and number.
        ranges: key -> 95 % range of the rank when groups are resampled.
        note: which entries are shown.
        metric: heading of the metric of the cases.
    """

    drawings: tuple[Drawing, ...] = ()
    headings: tuple[str, ...] = ()
    cases: tuple[tuple[int, str, tuple[tuple[str, float | None], ...]], ...] = ()
    ranges: Ranges = field(default_factory=dict)
    note: str = ""
    metric: str = ""


class BoardEvidence:
    """The evidence of a board's rows, each read once."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._runs: dict[str, Run | None] = {}
        self._records: dict[str, Mapping[str, Any]] = {}

    def run(self, key: str) -> Run | None:
        """The run of a row; ``None`` where its evidence is not there or damaged."""
        if key not in self._runs:
            self._runs[key] = self._read(key)
        return self._runs[key]

    def hardware(self, key: str) -> str:
        """Hardware of a row's run: accelerator, or processor with its cores; empty where it is not known."""
        try:
            own = self._record(key)["environment"]
            return printable(str(own["accelerator"] or f"{own['processor']}, {own['cores']} cores"))
        except (KeyError, TypeError):
            return ""

    def time(self, key: str) -> RunTime | None:
        """Time that a row's run took to predict a case; ``None`` where it is not on record."""
        machine = self.hardware(key)
        try:
            phases, cases = self._record(key)["time_s"], self._record(key)["cases_timed"]
            seconds = sum(float(phases.get(name, 0)) for name in PREDICTING) / cases
            return RunTime(machine, seconds) if machine and phases["forward"] > 0 else None
        except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError):
            return None

    def _record(self, key: str) -> Mapping[str, Any]:
        """A row's record as it stands; empty where it is not there or cannot be read."""
        if key not in self._records:
            record: Any = {}
            if self.folder is not None and key.isalnum():
                with contextlib.suppress(OSError, ValueError):
                    record = json.loads((self.folder / key[:KEY_LENGTH] / RECORD).read_bytes())
            self._records[key] = record if isinstance(record, dict) else {}
        return self._records[key]

    def links(self, key: str) -> dict[str, str]:
        """Names of a row's files of evidence -> where they lie beside the page."""
        if self.folder is None or not key.isalnum():
            return {}
        return {name: f"{self.folder.name}/{key[:KEY_LENGTH]}/{name}" for name in (RECORD, JOURNAL)}

    def _read(self, key: str) -> Run | None:
        if self.folder is None or not key.isalnum():
            return None
        try:
            return read_run(self.folder / key[:KEY_LENGTH])
        except (MedbenchError, OSError):
            return None


def case_figures(table: Table, evidence: BoardEvidence) -> CaseFigures:
    """Plots of a table's first entries: the first metric that cases have, and ranks by the first metric."""
    if table.kind == "published" or not table.metrics:
        return CaseFigures()
    metric = table.metrics[0]
    column = next((own for own in table.metrics if not own.pooled), None)
    short_names = without_common_marks([entry.name for entry in table.entries])[:MOST_ENTRIES]
    pairs = [
        (dataclasses.replace(entry, name=name), run)
        for entry, name in zip(table.entries, short_names, strict=False)
        if (run := evidence.run(entry.run))
    ]
    if not pairs:
        return CaseFigures()
    series = [Series(entry.name, _values(run, column) if column else {}) for entry, run in pairs]
    cases = sorted({case for own in series for case in own.values})
    numbers = {case: number for number, case in enumerate(cases)}
    rank_pairs = [(entry, run) for entry, run in pairs if entry.rank is not None]
    ranking, significance = _rank([run for _, run in rank_pairs], metric)
    drawings = [
        dots_and_boxes(series, heading(column), numbers, f"{heading(column)}, case by case")
        if column
        else Drawing("", ""),
        _stability([entry for entry, _ in rank_pairs], ranking),
        significance_plot(
            [entry.name for entry, _ in rank_pairs] if significance else [], significance, _significant(pairs)
        ),
    ]
    rest = len(table.entries) - len(pairs)
    return CaseFigures(
        tuple(drawing for drawing in drawings if drawing.markup),
        tuple(own.name for own in series),
        tuple((numbers[case], case, tuple(_cell(own, case, column) for own in series)) for case in cases)
        if column
        else (),
        _ranges([entry for entry, _ in rank_pairs], ranking),
        f"The first {len(pairs)} of {len(table.entries)} rows are drawn." if rest else "",
        heading(column) if column else "",
    )


def _significant(pairs: Sequence[tuple[Entry, Run]]) -> str:
    """How to read the significance map, and whether its tests could reach 0.05 at all."""
    runs = [run for entry, run in pairs if entry.rank is not None]
    groups = runs[0].record.challenge.groups if runs else 0
    least = min(1.0, len(runs) * (len(runs) - 1) * 0.5**groups)
    few = f" With {counted(groups, 'group')} no p is below {least:.2g}: none can be filled."
    limit = few if least >= 0.05 else ""
    return (
        "Filled: the entry of the row is better than that of the column, by a one-sided Wilcoxon test of the "
        f"groups' means, p < 0.05 after Holm's correction over all ordered pairs.{limit}"
    )


def _values(run: Run, metric: MetricSpec) -> dict[str, float]:
    return {
        case: score.value
        for case, row in run.rows.items()
        if (score := row.scores.get(metric.name)) is not None and score.value is not None
    }


def _cell(own: Series, case: str, metric: MetricSpec) -> tuple[str, float | None]:
    value = own.values.get(case)
    return number(value, metric.unit), value


def _rank(runs: Sequence[Run], metric: MetricSpec) -> tuple[Ranking | None, Sequence[Sequence[float | None]]]:
    if len(runs) < 2:
        return None, ()
    try:
        return rank_by(runs, metric)
    except MedbenchError:
        return None, ()


def _stability(entries: Sequence[Entry], ranking: Ranking | None) -> Drawing:
    if ranking is None:
        return Drawing("", "")
    own = ranking.stability
    rows = [
        RankRow(entry.name, ranking.ranks[i], own.low[i], own.high[i], own.frequencies[i])
        for i, entry in enumerate(entries)
    ]
    return rank_plot(
        rows,
        f"Area of a circle: share of {RESAMPLES} bootstrap resamples of the groups in which the entry has "
        f"that rank; line: 95 % range; stroke: rank of all groups. Kendall's τ of the resamples "
        f"with that ranking: median {own.tau:.2f}, 95 % range {own.tau_low:.2f} – {own.tau_high:.2f}.",
    )


def _ranges(entries: Sequence[Entry], ranking: Ranking | None) -> Ranges:
    if ranking is None:
        return {}
    own = ranking.stability
    return {entry.run: (own.low[i], own.high[i]) for i, entry in enumerate(entries)}
