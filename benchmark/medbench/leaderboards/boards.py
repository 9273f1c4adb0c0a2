"""A challenge's leaderboard as data: tables of entries that may be compared.

Rows share a table when kind of data, split, the very files (their manifest hash), the code that scored them,
the definitions of their columns and the protocol are the same. Synthetic samples, subsets of a release and
numbers from papers therefore never stand among results on the whole real data, and numbers from papers share
a table only where their population is the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medbench.challenges.base import Challenge
from medbench.core.result_table import MetricSpec
from medbench.core.text import counted
from medbench.leaderboards.baseline import CONSTANT, constant_row, headline, not_above
from medbench.leaderboards.naming import entry_names
from medbench.leaderboards.remarks import on_baseline, without_values
from medbench.leaderboards.rows import RECORD_SHA256
from medbench.leaderboards.sections import Section, sections

Kind = Literal["real", "sample", "published"]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric of an entry: value, 95 % interval with its method, counts (scored, failed, missing,
    undefined), and the spread over cases."""

    value: float | None
    low: float | None = None
    high: float | None = None
    counts: tuple[int, ...] = ()
    method: str = ""
    spread: Mapping[str, Any] | None = None


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
        evidence: whether the row names the hashes of its record and cases.
        rank: place by the table's first column, equal values sharing the better one; ``None`` for reference
            rows, marked rows and published numbers.
        row: the row that the entry is of; empty for published numbers.
    """

    name: str
    cells: Mapping[str, Cell]
    lost: str = ""
    run: str = ""
    source: str = ""
    population: str = ""
    costs: tuple[str, ...] = ()
    sealed: bool = True
    evidence: bool = True
    rank: int | None = None
    row: Row = field(default_factory=dict, repr=False)


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
        scoring: hash of the code that scored; empty for published numbers and rows from before it was kept.
        population: data of published numbers.
        sections: spread over cases, subgroups, repetitions with other seeds.
        substitute: what the data are, where they stand for the release.
        note: what the table lacks and what its marks mean, a sentence or two a line; empty where there is
            nothing to say.
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
    scoring: str = ""
    population: str = ""
    sections: tuple[Section, ...] = ()
    substitute: str = ""
    note: str = ""

    @property
    def title(self) -> str:
        """Kind of data, split, protocol and cases of the table."""
        where = {
            "real": "Measured on real data",
            "sample": "Synthetic sample: no result on real data",
            "published": "Published, not measured here",
        }[self.kind]
        parts = [f"Measured on a substitute for the release: {self.substitute}" if self.substitute else where]
        if self.subset:
            parts[0] += f", subset ({self.subset[0]} of {self.subset[1]} cases)"
        if self.split:
            parts.append(f"split {self.split}")
        if self.protocol:
            parts.append(f"protocol {self.protocol}")
        if self.mark:
            parts.append(f"not ranked: {self.mark}")
        if self.kind != "published":
            parts.append(f"{counted(self.cases, 'case')} ({self.manifest[:8]})")
        if self.scoring:
            parts.append(f"scoring {self.scoring[:8]}")
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
        evidence: folder with the record and cases of each row, by key; ``None`` where there is none.
    """

    challenge: str
    title: str
    task: str
    homepage: str
    failure_rule: str
    measured: tuple[Table, ...] = ()
    published: tuple[Table, ...] = field(default=())
    evidence: Path | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """Measured tables, then published ones."""
        return (*self.measured, *self.published)

    def as_json(self) -> dict[str, Any]:
        """Plain values; the rows and their evidence stand in files of their own."""
        plain = dataclasses.asdict(self)
        del plain["evidence"]
        for table in (*plain["measured"], *plain["published"]):
            for entry in table["entries"]:
                del entry["row"]
        return plain


def make_board(challenge: Challenge, rows: Sequence[Row]) -> Board:
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
        tuple(measured_tables(challenge.name, challenge.metrics, rows)),
        tuple(_published(challenge)),
    )


def _protocols(metrics: Sequence[MetricSpec]) -> dict[str, list[MetricSpec]]:
    by_protocol: dict[str, list[MetricSpec]] = {}
    for metric in metrics:
        by_protocol.setdefault(metric.protocol, []).append(metric)
    return by_protocol


def measured_tables(challenge: str, metrics: Sequence[MetricSpec], rows: Sequence[Row]) -> Iterator[Table]:
    """The tables of a challenge's runs.

    Args:
        challenge: its name.
        metrics: its columns.
        rows: as ``results.jsonl`` holds them.

    Yields:
        Tables of real data first, then those of the sample.
    """
    kinds: tuple[Kind, ...] = ("real", "sample")
    for kind in kinds:
        populations = sorted({_population(row) for row in rows if row["data"] == kind})
        for population in populations:
            table_rows = [row for row in rows if row["data"] == kind and _population(row) == population]
            for alike in _by_definitions(table_rows):
                for columns in _protocols(metrics).items():
                    for mark in _marks(alike):
                        yield from _table(challenge, kind, columns, alike, mark)


def _population(row: Row) -> tuple[str, str, str]:
    return row["split"], row["manifest_sha256"], row.get("scoring_sha256") or ""


def _by_definitions(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows apart by the definitions of their columns, which agree wherever two rows share a column."""
    groups: list[tuple[dict[str, str], list[Row]]] = []
    for row in rows:
        own = {name: cell["convention"] for name, cell in row["metrics"].items()}
        for definitions, members in groups:
            if all(definitions.get(name, convention) == convention for name, convention in own.items()):
                definitions.update(own)
                members.append(row)
                break
        else:
            groups.append((own, [row]))
    return [members for _, members in groups]


def _marks(rows: Sequence[Row]) -> list[str]:
    """Marks of the rows, those of ranked ones first."""
    return sorted({row.get("mark") or "" for row in rows if not row.get("reference_row")} or {""})


def _table(
    challenge: str, kind: Kind, columns: tuple[str, Sequence[MetricSpec]], rows: Sequence[Row], mark: str
) -> Iterator[Table]:
    """The table of rows with one mark, best first, and below them the challenge's reference rows."""
    protocol, metrics = columns
    own_metrics = tuple(m for m in metrics if any(m.name in row["metrics"] for row in rows))
    if not own_metrics:
        return
    models = [row for row in rows if not row.get("reference_row") and (row.get("mark") or "") == mark]
    in_order = [*_ordered(models, own_metrics[0]), *(row for row in rows if row.get("reference_row"))]
    ranks = [None] * len(models) if mark else _ranks(in_order[: len(models)], own_metrics[0])
    ranks += [None] * (len(in_order) - len(models))
    first, constant = rows[0], constant_row(rows)
    verdicts = [_verdict(row, own_metrics, constant) for row in in_order]
    names = [
        f"{name} [{verdict}]" if verdict else name
        for name, verdict in zip(entry_names(in_order), verdicts, strict=True)
    ]
    entries = map(_entry, in_order, names, ranks, [own_metrics] * len(in_order))
    yield Table(
        kind,
        first["split"],
        protocol,
        own_metrics,
        tuple(entries),
        first["counts"]["total"],
        first["manifest_sha256"],
        first.get("split_rule") or "",
        first.get("split_sha256") or "",
        _subset(first),
        mark,
        scoring=first.get("scoring_sha256") or "",
        sections=sections(in_order, own_metrics),
        substitute=(first.get("settings") or {}).get("substitute", ""),
        note="\n".join(
            [
                *on_baseline(challenge, first, own_metrics, constant, verdicts),
                *without_values(in_order, own_metrics),
            ]
        ),
    )


def _verdict(row: Row, metrics: Sequence[MetricSpec], constant: Row | None) -> str:
    if constant is None or row.get("model") == CONSTANT or row.get("reference_row"):
        return ""
    return not_above(headline(metrics), row, constant)


def _subset(row: Row) -> tuple[int, int] | None:
    if not row.get("subset"):
        return None
    return row["present_cases"], row["released_cases"]


def _entry(row: Row, name: str, rank: int | None, metrics: Sequence[MetricSpec]) -> Entry:
    cells = {}
    for metric in metrics:
        result = row["metrics"].get(metric.name)
        if result is not None:
            low, high = result["ci95"]
            method, spread = result.get("ci95_method", ""), result.get("spread")
            cells[metric.name] = Cell(result["value"], low, high, tuple(result["counts"]), method, spread)
    return Entry(
        name,
        cells,
        f"{row['counts']['failed'] + row['counts']['missing']}/{row['counts']['total']}",
        row["key"],
        sealed=bool(row.get("sealed")),
        evidence=bool(row.get(RECORD_SHA256)),
        rank=rank,
        row=row,
    )


def _badness(value: float | None, metric: MetricSpec) -> float:
    """A number that is larger for worse values, and infinite for none."""
    if value is None:
        return float("inf")
    return -value if metric.better == "higher" else value


def _badness_of(row: Row, metric: MetricSpec) -> float:
    return _badness((row["metrics"].get(metric.name) or {}).get("value"), metric)


def _ordered(rows: Sequence[Row], metric: MetricSpec) -> list[Row]:
    return sorted(rows, key=lambda row: _badness_of(row, metric))


def _ranks(rows: Sequence[Row], metric: MetricSpec) -> list[int | None]:
    """Places of rows that stand best first; rows without a value have none."""
    values = [_badness_of(row, metric) for row in rows]
    return [None if value == float("inf") else values.index(value) + 1 for value in values]


def _published(challenge: Challenge) -> Iterator[Table]:
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    protocols = _protocols(challenge.metrics)
    for result in challenge.published():
        values = {name: Cell(float(value)) for name, value in result["metrics"].items()}
        for protocol, metrics in protocols.items():
            cells = {metric.name: values[metric.name] for metric in metrics if metric.name in values}
            if not cells and (values or protocol != next(iter(protocols))):
                continue
            population = result["population"]
            source = "; ".join(result[part] for part in ("source", "place", "note") if result.get(part))
            entry = Entry(published_name(result), cells, source=source, population=population)
            groups.setdefault((result.get("split", ""), protocol, population), []).append(entry)
    for (split, protocol, population), entries in groups.items():
        own_metrics = tuple(m for m in protocols[protocol] if any(m.name in entry.cells for entry in entries))
        in_order = _best_first(entries, own_metrics[0]) if own_metrics else tuple(entries)
        yield Table("published", split, protocol, own_metrics, in_order, population=population)


def _best_first(entries: Sequence[Entry], metric: MetricSpec) -> tuple[Entry, ...]:
    def badness(entry: Entry) -> float:
        cell = entry.cells.get(metric.name)
        return _badness(None if cell is None else cell.value, metric)

    return tuple(sorted(entries, key=badness))


def published_name(result: Mapping[str, Any]) -> str:
    """Title of a published number in a table: its authors or model, and the name on the board if another."""
    nickname = result.get("nickname")
    if not nickname:
        return str(result["name"])
    suffix = "" if nickname == result["name"] else f" {nickname}"
    return f"{result['name']} [nickname{suffix}]"
