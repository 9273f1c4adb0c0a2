"""Studies, as by ``medbench study``: cost, cells on any executor, board; a repeat does what is missing."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_json, write_json
from medbench.core.folders import runs_folder
from medbench.core.plugins import loaded_plugins
from medbench.core.progress import Progress
from medbench.core.text import counted, counted_are
from medbench.records.identity import code_sha256
from medbench.records.reading import read_run
from medbench.records.tables import heading, number
from medbench.running.call_engine import Lost, spread
from medbench.running.executors import dask_cluster, device_of_workers, local_processes
from medbench.running.shard import Shard
from medbench.studies.board import StudyBoard, make_populations
from medbench.studies.board_text import write_board
from medbench.studies.cell_work import Order, do_cell
from medbench.studies.cells import Cell, Entry, study_cells
from medbench.studies.declaration import Study, read_study
from medbench.studies.expected_costs import EntryCost, study_costs
from medbench.studies.outcomes import CELLS, QUICK, TRIES, Outcome
from medbench.studies.shards import STUDY, merge_shards, note_shard


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A study that is checked and counted, but not begun.

    Attributes:
        title: of the study.
        budget: of every training, in words.
        seeds: of the trainings.
        cells: all cells, in a fixed order.
        costs: of the cells, by data set and entry.
        plugins: Python files that workers load first.
    """

    title: str
    budget: str
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    costs: tuple[EntryCost, ...]
    plugins: tuple[Path, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of the cells, by which shards of one study know one another."""
        return sha256_json([cell.facts() for cell in self.cells])

    def write(self, folder: Path) -> None:
        """Write the plan into the study's folder, without paths of this machine.

        Raises:
            MedbenchError: ``study.other`` where another study lies there.
        """
        path = folder / STUDY
        if path.is_file() and read_json(path)["sha256"] != self.sha256:
            raise MedbenchError(
                "study.other",
                f"{folder}: holds a study of other cells.",
                "Choose another folder with -o, or delete this one.",
            )
        entry = {
            "title": self.title,
            "budget": self.budget,
            "seeds": list(self.seeds),
            "sha256": self.sha256,
            "cells": [cell.facts() for cell in self.cells],
            "costs": [dataclasses.asdict(cost) for cost in self.costs],
        }
        write_json(path, entry)

    @staticmethod
    def read(folder: Path) -> StudyPlan:
        """The plan in a study's folder; its cells can be looked at but not done.

        Raises:
            MedbenchError: ``study.damaged``.
        """
        try:
            entry = read_json(folder / STUDY)
            costs = [EntryCost(**{**cost, "entry": Entry(*cost["entry"])}) for cost in entry["costs"]]
            cells = tuple(map(Cell.of_facts, entry["cells"]))
            return StudyPlan(entry["title"], entry["budget"], tuple(entry["seeds"]), cells, tuple(costs))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise MedbenchError(
                "study.damaged", f"{folder / STUDY}: is no plan of a study.", "Repeat medbench study."
            ) from error


@dataclass(frozen=True, slots=True)
class Conditions:
    """Where and how a study is worked off.

    Attributes:
        folder: of the study; below the folder of runs if ``None``.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; with a scheduler also ``auto``, which every worker
            decides for itself.
        workers: processes on this machine, each with a device of its own.
        scheduler: address of a dask scheduler, whose workers take the place of processes here.
        shard: only these cells.
        quick: try every cell out on a step and a case first.
        again: do cells again that were given up.
    """

    folder: Path | None = None
    device: str = "cpu"
    workers: int = 1
    scheduler: str | None = None
    shard: Shard | None = None
    quick: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class _Work:
    """A study with everything that its cells are worked off with.

    Attributes:
        plan: the study.
        folder: of its results.
        conditions: where and how.
        progress: told of every cell.
        workers: that do the cells.
    """

    plan: StudyPlan
    folder: Path
    conditions: Conditions
    progress: Progress
    workers: Executor


def plan_study(path: Path, progress: Progress) -> StudyPlan:
    """Check a study and count its cost; nothing is trained or predicted.

    Raises:
        MedbenchError: for whatever is wrong with the file, what it names, or the data.
    """
    study: Study = read_study(path)
    cells = study_cells(study)
    costs = study_costs(cells, study.budget, progress)
    return StudyPlan(
        study.title, str(study.budget), study.seeds, tuple(cells), tuple(costs), tuple(loaded_plugins())
    )


def study_folder(path: Path, conditions: Conditions) -> Path:
    """Folder of a study's results."""
    return (conditions.folder or runs_folder() / "studies" / path.stem).resolve()


def run_study(
    plan: StudyPlan,
    folder: Path,
    conditions: Conditions,
    progress: Progress,
    executor: Executor | None = None,
) -> StudyBoard:
    """Do the cells that are missing, and write the board over all that are done.

    Args:
        plan: the study.
        folder: of its results; all workers see it under the same path.
        conditions: where and how.
        progress: told of every cell.
        executor: used in place of the one that ``conditions`` describe.

    Raises:
        MedbenchError: when the workers cannot be had; what fails in a cell is on the board instead.
    """
    plan.write(folder)
    cells = list(plan.cells) if conditions.shard is None else conditions.shard.part(plan.cells)
    to_do = _missing(cells, folder, conditions.again)
    if n_kept := len(cells) - len(to_do):
        progress.say(_kept_words(n_kept, len(cells), folder))
    if to_do:
        with _executor(conditions, executor) as workers:
            work = _Work(plan, folder, conditions, progress, workers)
            if conditions.quick:
                to_do = _viable(work, to_do)
            for _ in _outcomes(work, to_do):
                pass
    if conditions.shard is not None:
        note_shard(folder, conditions.shard, plan.sha256, [cell.id for cell in cells])
    return finish_study(plan, folder)


def finish_study(plan: StudyPlan, folder: Path) -> StudyBoard:
    """The board of the cells that are done, written into the study's folder.

    Raises:
        MedbenchError: ``run.damaged`` or ``study.damaged`` for what was edited.
    """
    read = {cell.id: Outcome.read(folder, cell.id) for cell in plan.cells}
    outcomes = {name: outcome for name, outcome in read.items() if outcome is not None}
    populations = make_populations(plan.cells, outcomes, folder, plan.costs)
    board = StudyBoard(
        plan.title, plan.budget, plan.seeds, populations, tuple(outcomes.values()), len(plan.cells)
    )
    write_board(folder, board)
    return board


def merge_study(folders: Sequence[Path], output: Path) -> StudyBoard:
    """Merge the shards of a study and write its board, the same bytes as without shards.

    Raises:
        MedbenchError: as :func:`medbench.studies.shards.merge_shards`.
    """
    merge_shards(folders, output)
    return finish_study(StudyPlan.read(output), output)


@contextlib.contextmanager
def _executor(conditions: Conditions, own_executor: Executor | None) -> Iterator[Executor]:
    if own_executor is not None:
        yield own_executor
    elif conditions.scheduler is not None:
        with dask_cluster(conditions.scheduler) as executor:
            yield executor
    else:
        with local_processes(conditions.workers, conditions.device) as executor:
            yield executor


def _missing(cells: Sequence[Cell], folder: Path, again: bool) -> list[Cell]:
    """The cells without a result; those that were given up only if they are to be done again."""
    missing = []
    for cell in cells:
        outcome = Outcome.read(folder, cell.id)
        if outcome is not None and outcome.status == "given up" and again:
            (folder / CELLS / f"{cell.id}.json").unlink()
            (folder / TRIES / cell.id).unlink(missing_ok=True)
            outcome = None
        if outcome is None or outcome.status == "failed":
            missing.append(cell)
    return missing


def _kept_words(n_kept: int, number_of_cells: int, folder: Path) -> str:
    import datetime

    times = [path.stat().st_mtime for path in (folder / CELLS).glob("*.json")]
    since = datetime.datetime.fromtimestamp(max(times)).strftime("%H:%M")
    end = "; nothing to do" if n_kept == number_of_cells else ""
    return f"{n_kept} of {counted_are(number_of_cells, 'cell')} kept from {since}{end}."


def _viable(work: _Work, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that pass a tiny training and one case; the others are recorded as failed."""
    work.progress.say(f"Trying {counted(len(cells), 'cell')} out, each on one step and one case.")
    shutil.rmtree(work.folder / QUICK, ignore_errors=True)
    viable = []
    for cell, outcome in _outcomes(work, cells, quick=True):
        if outcome.status == "ok":
            viable.append(cell)
        else:
            dataclasses.replace(outcome, reason=f"in the quick pass: {outcome.reason}").write(work.folder)
    shutil.rmtree(work.folder / QUICK, ignore_errors=True)
    order = {cell.id: place for place, cell in enumerate(cells)}
    return sorted(viable, key=lambda cell: order[cell.id])


def _outcomes(work: _Work, cells: Sequence[Cell], *, quick: bool = False) -> Iterator[tuple[Cell, Outcome]]:
    """Every cell as it ends, with its outcome, which is on disk by then."""
    folder, progress = work.folder, work.progress
    code, device = code_sha256(), work.conditions.device
    if work.conditions.scheduler is None:
        device = device_of_workers(device)
    orders = [Order(cell, folder, device, work.plan.plugins, code, quick) for cell in cells]
    progress.start("trying cells out" if quick else "cells", len(cells))
    for place, piece in enumerate(spread(do_cell, orders, work.workers), 1):
        cell, outcome = piece.order.cell, piece.result
        if isinstance(outcome, Lost):
            status: Any = "given up" if outcome.deaths else "failed"
            outcome = Outcome(cell.id, cell.title, status, outcome.reason, tries=max(1, outcome.deaths))
            outcome.write(folder / QUICK if quick else folder)
        if not quick or outcome.status != "ok":
            progress.say(f"[{place}/{len(cells)}] {cell.title}: {_words(outcome, folder)}")
        progress.advance(1, cell.title)
        yield cell, outcome
    progress.finish()


def _words(outcome: Outcome, folder: Path) -> str:
    if outcome.status != "ok":
        return f"{outcome.status}: {outcome.reason}"
    metrics = list(read_run(folder / outcome.run).record.metrics.values())
    return ", ".join(f"{heading(metric)} {number(metric.value, metric.unit)}" for metric in metrics[:2])
