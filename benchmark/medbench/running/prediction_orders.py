"""Prediction of a run's cases by the workers of any executor, each of which resolves the request itself."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure
from medbench.core.plugins import loaded_plugins
from medbench.core.progress import Progress, SilentProgress
from medbench.core.project import project_path, use_project
from medbench.core.result_table import CaseRow
from medbench.records.identity import code_sha256
from medbench.records.phases import Timing
from medbench.running.call_engine import Lost, check_code, spread
from medbench.running.executors import dask_cluster, device_of_workers, local_processes
from medbench.running.job import FoldedJob, Job, resolve
from medbench.running.journal import UNFINISHED, journalled
from medbench.running.loop import done_rows, failed_row
from medbench.running.request import Request
from medbench.running.together import in_chunks

Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes or cluster that predict the cases of a run.

    Attributes:
        number: of spawned processes on this machine, on CUDA with a device each; 1 for this process alone.
        scheduler: address of a dask scheduler, whose workers do the work; ``None`` for this machine.
    """

    number: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.number != 1:
            raise MedbenchError(
                "option.ignored",
                "--workers has no effect with --scheduler.",
                "The cluster's workers are taken.",
            )

    @property
    def elsewhere(self) -> bool:
        """Whether other processes than this one predict."""
        return self.scheduler is not None or self.number > 1

    def check(self) -> None:
        """Refuse a cluster that does not answer, before anything is drawn or fitted for it.

        Raises:
            MedbenchError: as :func:`dask_cluster`.
        """
        if self.scheduler is not None:
            with dask_cluster(self.scheduler):
                pass

    @contextlib.contextmanager
    def executor(self, device: str) -> Iterator[Executor]:
        """The executor of the workers.

        Raises:
            MedbenchError: as :func:`local_processes` and :func:`dask_cluster`.
        """
        own = dask_cluster(self.scheduler) if self.scheduler else local_processes(self.number, device)
        with own as executor:
            yield executor


@dataclass(frozen=True, slots=True)
class PredictionOrder:
    """Cases to predict and score: names and paths.

    Attributes:
        request: of the run, with absolute paths.
        cases: ids of cases that share batches; one where cases share none.
        due: those of them that have no row yet.
        folder: of the run.
        weights_sha256: of the weights that the worker must find.
        code: hash of the package's sources that the worker must have.
        project: the project file, which may declare the data set and the model.
    """

    request: Request
    cases: tuple[str, ...]
    due: tuple[str, ...]
    folder: Path
    weights_sha256: str | None
    code: str
    project: Path | None = field(default_factory=project_path)


def predict_cases(
    job: Job | FoldedJob, cases: Sequence[Case], folder: Path, workers: Workers, progress: Progress
) -> tuple[list[CaseRow], Timing]:
    """Predict and score those cases of a job that the journal in ``folder`` lacks, here or by workers.

    The rows are the same whoever predicts. A case whose worker dies is done again, and given up after three
    deaths.

    Args:
        job: the resolved request; its weights lie on disk.
        cases: all of the job's, or a shard of them; those that share batches keep their neighbours.
        folder: run directory, which all workers see.
        workers: who predicts.
        progress: display that counts the cases.

    Raises:
        MedbenchError: as :meth:`Workers.executor`.
    """
    timing = Timing()
    by_id = {case.id: case for case in job.cases}

    def here(to_do: Sequence[Case]) -> Iterator[CaseRow]:
        predictor = job.predictor(folder / UNFINISHED, progress)
        yield from done_rows(job.challenge, job.cases, to_do, predictor, job.read, (folder, timing, True))

    def elsewhere(to_do: Sequence[Case]) -> Iterator[CaseRow]:
        with workers.executor(job.request.inference.device) as executor:
            for batch in spread(predict_order, _orders(job, to_do, folder, workers), executor):
                if isinstance(batch.result, Lost):
                    failure = Failure("worker.died", batch.result.reason)
                    yield from (failed_row(job.challenge, by_id[id], failure) for id in batch.order.due)
                    continue
                rows, samples = batch.result
                timing.add_samples(samples)
                yield from rows

    places = job.request.places(job.data.root)
    work = elsewhere if workers.elsewhere else here
    return journalled(cases, folder, progress, work, timing, places), timing


def predict_order(order: PredictionOrder) -> tuple[list[CaseRow], Samples]:
    """Rows of an order's cases with seconds by phase, in any process.

    Raises:
        MedbenchError: ``cluster.other_version``, ``cluster.other_weights``, or as
            :func:`medbench.running.job.resolve`.
    """
    check_code(order.code)
    use_project(order.project)
    job, predictor = _resolved(_Kept(order.request), order.folder)
    if job.weights_sha256 != order.weights_sha256:
        raise MedbenchError(
            "cluster.other_weights",
            "The worker finds other weights than whoever started the run.",
            "Give the weights' file on a disk that all machines see: --weights FILE.",
        )
    by_id = {case.id: case for case in job.cases}
    timing = Timing()
    rows = done_rows(
        job.challenge,
        [by_id[id] for id in order.cases],
        [by_id[id] for id in order.due],
        predictor,
        job.read,
        (order.folder, timing, True),
    )
    return list(rows), dict(timing.samples)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A request as a key: equal requests are equal keys."""

    request: Request

    def __hash__(self) -> int:
        return hash(repr(self.request))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kept) and repr(self.request) == repr(other.request)


@lru_cache(maxsize=1)
def _resolved(entry: _Kept, folder: Path) -> tuple[Job | FoldedJob, Any]:
    """The job of a request with its predictor, made once a worker."""
    job = resolve(entry.request, SilentProgress())
    return job, job.predictor(folder / UNFINISHED)


def _orders(
    job: Job | FoldedJob, to_do: Sequence[Case], folder: Path, workers: Workers
) -> list[PredictionOrder]:
    weights, inference = job.request.weights_file, job.request.inference
    if workers.scheduler is None:
        inference = dataclasses.replace(inference, device=device_of_workers(inference.device))
    request = dataclasses.replace(
        job.request,
        inference=inference,
        weights=job.request.weights if weights is None else str(weights.resolve()),
        data=job.data.root.resolve(),
        runs=job.request.runs_root.resolve(),
        leaderboards=job.request.boards_root.resolve(),
        plugins=tuple(path.resolve() for path in loaded_plugins()),
    )
    size = batch_of(job)
    rows_due = {case.id for case in to_do}
    in_chunk_order = in_chunks(job.cases, to_do, size)
    orders = []
    for start in range(0, len(in_chunk_order), size):
        ids = tuple(case.id for case in in_chunk_order[start : start + size])
        due = tuple(id for id in ids if id in rows_due)
        orders.append(PredictionOrder(request, ids, due, folder.resolve(), job.weights_sha256, code_sha256()))
    return orders


def batch_of(job: Job | FoldedJob) -> int:
    """Number of successive cases that share batches; 1 where cases share none."""
    settings = job.settings()
    return int(settings["batch_size"]) if settings.get("batches_across_cases") else 1
