"""A challenge's leaderboard as data: tables of entries that may be compared.

Rows share a table when kind of data, split, the very files (their manifest hash) and protocol are the same.
Synthetic samples, subsets of a release and numbers from papers therefore never stand among results on the
whole real data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from medbench.challenges.base import Challenge
from medbench.core.result_table import MetricSpec
from medbench.leaderboards.baseline import CONSTANT, headline, not_above

Kind = Literal["real", "sample", "published"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric of an entry: value, 95 % interval, and counts (scored, failed, missing, undefined)."""

    value: float | None
    low: float | None = None
    high: float | None = None
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a table.

    Attributes:
        name: model and recipe, or authors of a published number.
        cells: column -> value.
        lost: failed and missing cases out of all cases, as text; empty for published numbers.
        run: key of the run; empty for published numbers.
        source: source of a published number.
        population: data of a published number.
        costs: cells under the table's ``cost_headings``.
        sealed: whether the row carries its own hash, so that an edit would show.
    """

    name: str
    cells: Mapping[str, Cell]
    lost: str = ""
    run: str = ""
    source: str = ""
    population: str = ""
    costs: tuple[str, ...] = ()
    sealed: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table of entries that may be compared.

    Attributes:
        kind: real data, synthetic sample, or numbers from papers.
        split: name of the split.
        protocol: evaluation protocol, where the challenge has several.
        metrics: the columns.
        entries: sorted by the first column, best first.
        cases: number of cases.
        manifest: hash of the split's files.
        rule: rule of the split.
        split_sha256: hash of the complete split's names, where known.
        subset: numbers of present and of released cases, where some are missing.
        mark: what sets the rows apart from those that are ranked; empty for a ranking.
        cost_headings: headings of columns with costs, where these were measured.
        plots: charts of accuracy over cost, as SVG.
        note: what the table lacks, or what its marks mean; empty where there is nothing to say.
    """

    kind: Kind
    split: str
    protocol: str
    metrics: tuple[MetricSpec, ...]
    entries: tuple[Entry, ...]
    cases: int = 0
    manifest: str = ""
    rule: str = ""
    split_sha256: str = ""
    subset: tuple[int, int] | None = None
    mark: str = ""
    cost_headings: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    note: str = ""

    @property
    def title(self) -> str:
        """Kind of data, split, protocol and cases of the table."""
        where = {
            "real": "Measured on real data",
            "sample": "Synthetic sample: no result on real data",
            "published": "Published, not measured here",
        }[self.kind]
        parts = [where]
        if self.subset:
            parts[0] += f", subset ({self.subset[0]} of {self.subset[1]} cases)"
        if self.split:
            parts.append(f"split {self.split}")
        if self.protocol:
            parts.append(f"protocol {self.protocol}")
        if self.mark:
            parts.append(f"not ranked: {self.mark}")
        if self.kind != "published":
            parts.append(f"{self.cases} cases ({self.manifest[:8]})")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Board:
    """All tables of a challenge.

    Attributes:
        challenge: name of the challenge.
        title: title of the challenge.
        task: summary of the challenge.
        homepage: address of the challenge.
        failure_rule: scores of failed and missing cases, in words.
        measured: tables of runs, real data first.
        published: tables of numbers from papers.
    """

    challenge: str
    title: str
    task: str
    homepage: str
    failure_rule: str
    measured: tuple[Table, ...] = ()
    published: tuple[Table, ...] = field(default=())

    @property
    def tables(self) -> tuple[Table, ...]:
        """Measured tables, then published ones."""
        return (*self.measured, *self.published)


def make_board(challenge: Challenge, rows: Sequence[Mapping[str, Any]]) -> Board:
    """The board of a challenge, from its measured rows and its published numbers.

    Args:
        challenge: the challenge.
        rows: as ``results.jsonl`` holds them.
    """
    return Board(
        challenge.name,
        challenge.title,
        challenge.card.summary,
        challenge.card.homepage,
        challenge.card.failure_rule,
        tuple(_measured(challenge, rows)),
        tuple(_published(challenge)),
    )


def _protocols(challenge: Challenge) -> dict[str, list[MetricSpec]]:
    by_protocol: dict[str, list[MetricSpec]] = {}
    for metric in challenge.metrics:
        by_protocol.setdefault(metric.protocol, []).append(metric)
    return by_protocol


def _measured(challenge: Challenge, rows: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    kinds: tuple[Kind, ...] = ("real", "sample")
    for kind in kinds:
        populations = sorted({(row["split"], row["manifest_sha256"]) for row in rows if row["data"] == kind})
        for split, manifest in populations:
            table_rows = [
                row
                for row in rows
                if (row["data"], row["split"], row["manifest_sha256"]) == (kind, split, manifest)
            ]
            for protocol, metrics in _protocols(challenge).items():
                for mark in _marks(table_rows):
                    yield from _table(challenge.name, kind, (protocol, metrics), table_rows, mark)


def _marks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Marks of the rows, those of ranked ones first."""
    return sorted({row.get("mark") or "" for row in rows if not row.get("reference_row")} or {""})


def _table(
    challenge: str,
    kind: Kind,
    columns: tuple[str, Sequence[MetricSpec]],
    rows: Sequence[Mapping[str, Any]],
    mark: str,
) -> Iterator[Table]:
    """The table of rows with one mark, best first, and below them the challenge's reference rows."""
    protocol, metrics = columns
    shown = tuple(m for m in metrics if any(m.name in row["metrics"] for row in rows))
    if not shown:
        return
    models = [row for row in rows if not row.get("reference_row") and (row.get("mark") or "") == mark]
    references = [row for row in rows if row.get("reference_row")]
    first, constant = rows[0], constant_row(rows)
    yield Table(
        kind,
        first["split"],
        protocol,
        shown,
        (
            *_ranked([_entry(row, shown, constant) for row in models], shown[0]),
            *(_entry(row, shown) for row in references),
        ),
        first["counts"]["total"],
        first["manifest_sha256"],
        first.get("split_rule") or "",
        first.get("split_sha256") or "",
        _subset(first),
        mark,
        note=_note(challenge, first, shown, constant),
    )


def constant_row(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The latest row of the constant baseline; ``None`` where there is none."""
    own = [row for row in rows if row.get("model") == CONSTANT]
    return max(own, key=lambda row: str(row.get("finished", "")), default=None)


def _note(
    challenge: str,
    row: Mapping[str, Any],
    metrics: Sequence[MetricSpec],
    constant: Mapping[str, Any] | None,
) -> str:
    if constant is None:
        data = " --data DIR" if row["data"] == "real" else ""
        return (
            f"The constant baseline is not in this table yet: medbench run -m {CONSTANT} -c {challenge} "
            f"--split {row['split']}{data} (on real data after medbench train)."
        )
    return (
        "Marked rows have not been shown to lie above the constant baseline in "
        f"{headline(metrics).title}: the 95 % interval of the paired difference does not lie on the better "
        "side of 0 (where that difference is not on record, the row's own interval on that of the baseline's "
        "value)."
    )


def _subset(row: Mapping[str, Any]) -> tuple[int, int] | None:
    if not row.get("subset"):
        return None
    return row["present_cases"], row["released_cases"]


def _entry(
    row: Mapping[str, Any], metrics: Sequence[MetricSpec], constant: Mapping[str, Any] | None = None
) -> Entry:
    cells = {}
    for metric in metrics:
        result = row["metrics"].get(metric.name)
        if result is not None:
            low, high = result["ci95"]
            cells[metric.name] = Cell(result["value"], low, high, tuple(result["counts"]))
    subset = _subset(row)
    name = row["title"] + (f" ({row['recipe']})" if row["recipe"] else "")
    if row.get("mark") or row.get("reference_row"):
        name += f" [{row.get('mark') or 'reference'}]"
    if constant is not None and row.get("model") != CONSTANT:
        verdict = not_above(headline(metrics), row, constant)
        name += f" [{verdict}]" if verdict else ""
    return Entry(
        name + (f" [subset {subset[0]} of {subset[1]}]" if subset else ""),
        cells,
        f"{row['counts']['failed'] + row['counts']['missing']}/{row['counts']['total']}",
        row["key"],
        sealed=bool(row.get("sealed")),
    )


def _ranked(entries: Sequence[Entry], metric: MetricSpec) -> tuple[Entry, ...]:
    def place(entry: Entry) -> float:
        cell = entry.cells.get(metric.name)
        if cell is None or cell.value is None:
            return float("inf")
        return -cell.value if metric.better == "higher" else cell.value

    return tuple(sorted(entries, key=place))


def _published(challenge: Challenge) -> Iterator[Table]:
    entries_by_key: dict[tuple[str, str], list[Entry]] = {}
    columns: dict[tuple[str, str], set[str]] = {}
    protocols = _protocols(challenge)
    for result in challenge.published():
        values = {name: Cell(float(value)) for name, value in result["metrics"].items()}
        for protocol, metrics in protocols.items():
            cells = {metric.name: values[metric.name] for metric in metrics if metric.name in values}
            if not cells and (values or protocol != next(iter(protocols))):
                continue
            key = (result.get("split", ""), protocol)
            entry = Entry(result["name"], cells, source=result["source"], population=result["population"])
            entries_by_key.setdefault(key, []).append(entry)
            columns.setdefault(key, set()).update(cells)
    for (split, protocol), entries in entries_by_key.items():
        table_columns = tuple(m for m in protocols[protocol] if m.name in columns[split, protocol])
        in_order = _ranked(entries, table_columns[0]) if table_columns else tuple(entries)
        yield Table("published", split, protocol, table_columns, in_order)
