"""The work on one cell, wherever it runs: train, predict, score, and leave the outcome on disk."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_json, write_text
from medbench.core.guard import Failure, guarded
from medbench.core.places import Places
from medbench.core.plugins import load_plugin
from medbench.core.progress import SilentProgress
from medbench.core.project import project_path, use_project
from medbench.core.text import printable
from medbench.running.call_engine import TRIES as MOST_TRIES
from medbench.running.call_engine import check_code
from medbench.running.request import Inference
from medbench.studies.cells import Cell, quick_changes
from medbench.studies.outcomes import BOARDS, QUICK, RUNS, TRIES, Outcome

_LONGEST_REASON = 600
_LOOK = "Try the entry out alone: medbench train, then medbench run."


@dataclass(frozen=True, slots=True)
class Order:
    """A cell to do: names, numbers and paths.

    Attributes:
        cell: what to do.
        folder: of the study, which all workers see.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        plugins: Python files to load first.
        code: hash of the package's sources that the study was started with.
        quick: whether only to try the cell out, on one or two steps and one case.
        project: the project file, which may declare data sets and models.
    """

    cell: Cell
    folder: Path
    device: str = "cpu"
    plugins: tuple[Path, ...] = ()
    code: str = ""
    quick: bool = False
    project: Path | None = field(default_factory=project_path)


def do_cell(order: Order) -> Outcome:
    """Do a cell and write its outcome; what fails is in the outcome.

    A cell that has ended is not done again, and one whose worker died three times is given up.
    """
    import filelock

    cell, folder = order.cell, order.folder / QUICK if order.quick else order.folder
    tries = folder / TRIES / cell.id
    tries.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{tries}.lock"):
        present = Outcome.read(folder, cell.id)
        if present is not None and present.status != "failed":
            return present
        before = _count(tries)
        if before >= MOST_TRIES:
            reason = f"its worker died {before} times, so it was given up"
            outcome = Outcome(cell.id, cell.title, "given up", reason, tries=before)
        else:
            with _counted(tries, before + 1):
                outcome = dataclasses.replace(_attempt(order, folder), tries=before + 1)
        outcome.write(folder)
        return outcome


def _count(tries: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(tries.read_text())
    return 0


@contextlib.contextmanager
def _counted(tries: Path, number: int) -> Iterator[None]:
    """Note a try on disk until it ends by itself; a process that dies leaves the note, one that is
    interrupted does not."""
    write_text(tries, str(number))
    try:
        yield
    except BaseException:
        write_text(tries, str(number - 1))
        raise
    tries.unlink()


def _attempt(order: Order, folder: Path) -> Outcome:
    cell = order.cell
    result = guarded(cell.id, lambda: _done(order, folder))
    if isinstance(result, Failure):
        paths = {"data": cell.folder, "weights": cell.weights, "init": cell.start}
        places = Places.of({**paths, "runs": folder})
        reason = printable(places.hide(result.reason), _LONGEST_REASON)
        return Outcome(cell.id, cell.title, "failed", reason)
    return result


def _done(order: Order, folder: Path) -> Outcome:
    from medbench.running.run import run_request

    check_code(order.code)
    use_project(order.project)
    for path in order.plugins:
        load_plugin(path)
    cell, runs = order.cell, folder / RUNS
    weights, settings, validation = _weights(order, runs)
    request = cell.request(
        weights=weights,
        runs=runs,
        leaderboards=folder / BOARDS,
        inference=Inference(device=order.device),
        cases=_first_case(cell) if order.quick else "*",
    )
    result = run_request(request, SilentProgress())
    n_lost = result.record.counts.total - result.record.counts.ok
    if n_lost == result.record.counts.total:
        raise MedbenchError("study.no_case", f"no case could be predicted: {result.rows[0].reason}", _LOOK)
    where = result.folder.relative_to(folder).as_posix()
    return Outcome(cell.id, cell.title, "ok", "", where, settings, validation)


def _weights(order: Order, runs: Path) -> tuple[str, dict[str, Any], tuple[float | None, ...]]:
    """Weights of a cell, the settings that they learnt with, and the validation scores that chose these."""
    from medbench.running.request import NONE

    cell = order.cell
    if cell.weights is not None:
        return str(cell.weights), {}, ()
    if not cell.recipe:
        return NONE, {}, ()
    candidates = cell.candidates[:1] if order.quick else cell.candidates
    trainings = [_train(order, runs, settings) for settings in candidates]
    scores = tuple(score for _, score in trainings)
    if len(trainings) == 1:
        return str(trainings[0][0]), dict(candidates[0]), ()
    best = max(range(len(trainings)), key=lambda place: _rankable(scores[place]))
    if scores[best] is None:
        raise MedbenchError("study.no_validation", "no training left a validation score to choose by", _LOOK)
    return str(trainings[best][0]), dict(candidates[best]), scores


def _rankable(score: float | None) -> float:
    return float("-inf") if score is None else score


def _train(order: Order, runs: Path, settings: Any) -> tuple[Path, float | None]:
    """Weights of one training, and their score on the held-out training cases; higher is better."""
    import filelock

    from medbench.challenges import load_challenge
    from medbench.running.networks import recipe_for
    from medbench.running.train import train
    from medbench.training.hardware import Hardware
    from medbench.training.result_files import training_summary

    cell = order.cell
    changes = {**settings, "seed": cell.seed}
    challenge = load_challenge(cell.challenge)
    if order.quick:
        network = cell.request().plan().network
        changes |= quick_changes(recipe_for(challenge, network, cell.recipe, changes))
    split = cell.training_split or challenge.release.training_split_of(cell.fold)
    began = [cell.start_sha256, *cell.frozen] if cell.start_sha256 else []
    identity = sha256_json(
        [cell.challenge, split, cell.model, dict(cell.options), cell.recipe, changes, *began]
    )
    lock = runs.parent / TRIES / f"training-{identity[:16]}.lock"
    with filelock.FileLock(lock):
        path = train(
            cell.model,
            cell.challenge,
            recipe=cell.recipe,
            recipe_changes=changes,
            hardware=Hardware(order.device, 1),
            data=cell.folder,
            split=split,
            options=dict(cell.options),
            runs=runs,
            init=cell.start,
            freeze=list(cell.frozen),
        )
    summary = training_summary(path.parent) or {}
    scores = [value for name, value in summary.items() if name.startswith("validation_")]
    return path, next((float(value) for value in scores if value is not None), None)


def _first_case(cell: Cell) -> str:
    """A pattern that the id of the first case alone matches."""
    from glob import escape

    from medbench.challenges import load_challenge
    from medbench.running.data import resolve_data

    challenge = load_challenge(cell.challenge)
    data = resolve_data(challenge, cell.folder, SilentProgress())
    return escape(challenge.cases(data.root, cell.fold)[0].id)
