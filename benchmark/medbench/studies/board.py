"""The board of a study: ranks with their uncertainty, paired tests, mean ± sd over seeds, cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.challenges import load_challenge
from medbench.core.files import sha256_json
from medbench.core.result_table import CaseRow, MetricSpec
from medbench.leaderboards.compare import Difference, compare_runs
from medbench.leaderboards.rank import Rankings, rank_runs
from medbench.records.reading import Run, read_run
from medbench.records.writing import MARK
from medbench.statistics.summaries import Repetitions, over_seeds
from medbench.studies.cells import Cell, Entry, PopulationKey
from medbench.studies.expected_costs import CostKey, EntryCost, by_entry
from medbench.studies.outcomes import Outcome

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """One entry on one population.

    Attributes:
        entry: that is ranked.
        over_seeds: column -> mean and sd of the runs' aggregates over the seeds.
        lost: failed and missing cases over all seeds.
        cost: of the entry, as it was counted before the start.
        front: whether no other entry is both better in the first column and cheaper.
        settings: of the recipe by seed, where they were chosen.
    """

    entry: Entry
    over_seeds: Mapping[str, Repetitions]
    lost: int
    cost: EntryCost | None
    front: bool = False
    settings: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Population:
    """All entries on the same cases.

    Attributes:
        challenge: name of the data set.
        fold: the split.
        training: split that was learnt from, where the study names it.
        data: ``real`` or ``sample``.
        columns: headline metrics.
        lines: of the entries that are complete.
        rankings: of these entries; ``None`` for fewer than two.
        differences: of every pair, p-values corrected by Holm over all pairs and headline columns.
        incomplete: entries without a result for every seed, with the reasons.
    """

    challenge: str
    fold: str
    training: str
    data: str
    columns: tuple[MetricSpec, ...]
    lines: tuple[Line, ...]
    rankings: Rankings | None
    differences: tuple[Difference, ...]
    incomplete: Mapping[Entry, Sequence[str]]


@dataclass(frozen=True, slots=True)
class StudyBoard:
    """Board of a study.

    Attributes:
        title: of the study.
        budget: of every training, in words.
        seeds: of the trainings.
        populations: one a data set, fold and split to learn from.
        outcomes: of all cells that have ended, in the cells' order.
        cells: number of cells of the study.
    """

    title: str
    budget: str
    seeds: tuple[int, ...]
    populations: tuple[Population, ...]
    outcomes: tuple[Outcome, ...]
    cells: int

    @property
    def exit_code(self) -> int:
        """0 where every cell is done, else 1."""
        return 0 if sum(outcome.status == "ok" for outcome in self.outcomes) == self.cells else 1


def make_populations(
    cells: Sequence[Cell], outcomes: Mapping[str, Outcome], folder: Path, costs: Sequence[EntryCost]
) -> tuple[Population, ...]:
    """The populations of a study's finished cells.

    Args:
        cells: of the study.
        outcomes: by the cells' ids.
        folder: of the study.
        costs: as counted before the start.

    Raises:
        MedbenchError: ``run.damaged`` for a run that was edited.
    """
    groups: dict[PopulationKey, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.population, []).append(cell)
    cost_of = by_entry(costs)
    return tuple(_population(group, outcomes, folder, cost_of) for group in groups.values())


def _population(
    cells: Sequence[Cell],
    outcomes: Mapping[str, Outcome],
    folder: Path,
    costs: Mapping[CostKey, EntryCost],
) -> Population:
    challenge = load_challenge(cells[0].challenge)
    seeds = tuple(dict.fromkeys(cell.seed for cell in cells))
    by_seed: dict[Entry, dict[int, Run]] = {}
    incomplete: dict[Entry, list[str]] = {}
    settings_of: dict[Entry, dict[int, Mapping[str, Any]]] = {}
    for cell in cells:
        outcome = outcomes.get(cell.id)
        if outcome is None or outcome.status != "ok":
            reason = "not done yet" if outcome is None else f"{outcome.status}: {outcome.reason}"
            incomplete.setdefault(cell.entry, []).append(f"seed {cell.seed}: {reason}")
            continue
        run = read_run(folder / outcome.run)
        if mark := run.record.settings.get(MARK):
            incomplete.setdefault(cell.entry, []).append(f"seed {cell.seed}: never ranked: {mark}")
            continue
        by_seed.setdefault(cell.entry, {})[cell.seed] = run
        if outcome.validation:
            settings_of.setdefault(cell.entry, {})[cell.seed] = outcome.settings
    complete = {entry: runs for entry, runs in by_seed.items() if entry not in incomplete}
    joint = {entry: joint_run(runs, seeds) for entry, runs in complete.items()}
    columns = tuple(spec for spec in challenge.metrics if spec.headline) or tuple(challenge.metrics)
    lines = [
        Line(
            entry,
            _repetitions(columns, list(runs.values())),
            sum(run.record.counts.total - run.record.counts.ok for run in runs.values()),
            costs.get(CostKey(challenge.name, cells[0].training_split, entry)),
            settings=settings_of.get(entry, {}),
        )
        for entry, runs in complete.items()
    ]
    several = len(joint) > 1
    headline = [
        spec.name for spec in columns if all(spec.name in run.record.metrics for run in joint.values())
    ]
    rankings = (
        rank_runs(list(joint.values()), headline, resamples=RESAMPLES) if several and headline else None
    )
    differences = compare_runs(list(joint.values()), headline) if several and headline else []
    kinds = [run.record.data for runs in by_seed.values() for run in runs.values()]
    return Population(
        challenge.name,
        cells[0].fold,
        cells[0].training_split,
        kinds[0] if kinds else "",
        columns,
        tuple(_with_front(lines, columns[0])),
        rankings,
        tuple(differences),
        incomplete,
    )


def joint_run(by_seed: Mapping[int, Run], seeds: Sequence[int]) -> Run:
    """The runs of all seeds as one, whose groups are resampled and exchanged with all their seeds.

    A run without training of its own stands for every seed.
    """
    rows: dict[str, CaseRow] = {}
    first = next(iter(by_seed.values()))
    for seed in seeds:
        run = by_seed.get(seed, first)
        for row in run.rows.values():
            group = row.group or row.case
            rows[f"{row.case} seed {seed}"] = dataclasses.replace(
                row, case=f"{row.case} seed {seed}", group=group
            )
    key = sha256_json([run.record.key for run in by_seed.values()])
    record = first.record.model_copy(update={"key": key})
    return Run(record, rows, first.folder, all(run.sealed for run in by_seed.values()))


def _repetitions(columns: Sequence[MetricSpec], runs: Sequence[Run]) -> dict[str, Repetitions]:
    figures = {}
    for spec in columns:
        records = [run.record.metrics.get(spec.name) for run in runs]
        values = [record.value for record in records if record is not None and record.value is not None]
        if len(values) == len(runs):
            figures[spec.name] = over_seeds(values, spec.better)
    return figures


def _with_front(lines: Sequence[Line], column: MetricSpec) -> list[Line]:
    """The lines with those marked that no other beats in both accuracy and operations of a forward pass."""
    sign = 1.0 if column.better == "higher" else -1.0
    points = [
        (sign * line.over_seeds[column.name].mean, line.cost.macs)
        if column.name in line.over_seeds and line.cost is not None and line.cost.macs is not None
        else None
        for line in lines
    ]

    def beaten(own: tuple[float, int]) -> bool:
        return any(
            other is not None and other != own and other[0] >= own[0] and other[1] <= own[1]
            for other in points
        )

    return [
        dataclasses.replace(line, front=point is not None and not beaten(point))
        for line, point in zip(lines, points, strict=True)
    ]


def entry_names(population: Population) -> list[str]:
    """Titles of the complete entries, in their order."""
    return [line.entry.title for line in population.lines]
