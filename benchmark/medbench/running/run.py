"""Runs: predict, score officially, and record, as by ``medbench run``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from medbench.core.files import sha256_json
from medbench.core.progress import Progress, SilentProgress
from medbench.core.result_table import CaseRow
from medbench.records.data_places import note_data_place
from medbench.records.identity import code_sha256, manifest_sha256, plugin_settings
from medbench.records.phases import Timing, keep_phases
from medbench.records.reading import KEY_LENGTH, Finished, kept_run
from medbench.records.writing import Provenance, Subject, make_record, now
from medbench.running.finishing import add_row, store
from medbench.running.job import FoldedJob, Job, resolve
from medbench.running.prediction_orders import Workers, predict_cases
from medbench.running.references import add_references
from medbench.running.request import CaseRequest, Request, RunKeywords


def run(
    model: str,
    challenge: str,
    *,
    workers: Workers | int = 1,
    progress: Progress | None = None,
    **keywords: Unpack[RunKeywords],
) -> Finished:
    """Predict a split, score it officially, write the record and add the row to the leaderboard.

    Repeating a call resumes it: what is finished and unchanged is kept.

    Args:
        model: model name.
        challenge: challenge name.
        workers: number of spawned processes that predict, or the workers of a cluster.
        progress: display that counts the steps.
        keywords: ``data``, ``split``, ``weights``, ``recipe``, ``options``, ``inference``, ``cases``,
            ``seed``, ``runs`` and ``leaderboards``, as :class:`medbench.running.request.Request` says.

    Raises:
        MedbenchError: when the request cannot be met; failed cases are in the record instead.
    """
    own = Workers(workers) if isinstance(workers, int) else workers
    return run_request(Request.of(model, challenge, **keywords), progress, own)


def run_request(
    request: Request, progress: Progress | None = None, workers: Workers | None = None
) -> Finished:
    """As :func:`run`, for a request that is already made.

    Raises:
        MedbenchError: as :func:`run`.
    """
    progress, own = progress or SilentProgress(), workers or Workers()
    own.check()
    begin = open_run(request, progress)

    def predict() -> tuple[list[CaseRow], Timing]:
        return predict_cases(begin.job, begin.job.cases, begin.folder, own, progress)

    return finish_run(begin.end(), predict, progress)


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run whose cases and weights are at hand.

    Attributes:
        request: as it was given.
        job: the resolved request.
        subject: its cases with their challenge, data and split.
        key: hash of everything that decides the result.
        started: time of the start, as :func:`medbench.records.writing.now` writes it.
    """

    request: Request
    job: Job | FoldedJob
    subject: Subject
    key: str
    started: str

    @property
    def folder(self) -> Path:
        """The run directory."""
        name = self.job.network.folder_name
        return self.request.runs_root / self.subject.challenge.name / name / self.key[:KEY_LENGTH]

    @property
    def whole(self) -> bool:
        """Whether the run is of a whole split with all that its cases hold, and so enters the leaderboard."""
        return self.request.cases == "*" and self.job.request.inference.modalities is None

    def end(self) -> RunEnd:
        """Facts that the end of the run needs, once its rows are there."""
        command = self.job.request.command()
        return RunEnd(self.request, self.subject, self.folder, self.whole, command, self.provenance)

    def provenance(self) -> Provenance:
        """The origin of the predictions; builds the network."""
        job, challenge = self.job, self.subject.challenge
        return Provenance(
            key=self.key,
            model=job.model_record(job.request.places(job.data.root)),
            settings={**job.settings(), **plugin_settings()},
            seed=self.request.seed,
            device=job.request.inference.device,
            command=job.request.command(for_record=True),
            citations=[job.network.entry.paper, challenge.card.citation],
            started=self.started,
        )


@dataclass(frozen=True, slots=True)
class RunEnd:
    """Facts that the end of a run needs, once its rows are there.

    Attributes:
        request: where results go.
        subject: the cases.
        folder: run directory.
        whole: whether the leaderboard gets a row.
        command: the command that repeats the run on this machine.
        provenance: gives the origin of the predictions, where the run writes a record.
    """

    request: CaseRequest
    subject: Subject
    folder: Path
    whole: bool
    command: str
    provenance: Callable[[], Provenance]


def open_run(request: Request, progress: Progress) -> OpenedRun:
    """The run that a request asks for; nothing of it is predicted yet.

    Raises:
        MedbenchError: as :func:`run`.
    """
    start_time = now()
    request.check_places()
    job = resolve(request, progress)
    subject = Subject(
        job.challenge, job.data, job.split, job.cases, manifest_sha256(job.data.root, job.cases)
    )
    key = run_key(job, subject.manifest_sha256)
    note_data_place(key, data=job.data.root)
    return OpenedRun(request, job, subject, key, start_time)


def finish_run(
    end: RunEnd, predict: Callable[[], tuple[list[CaseRow], Timing]], progress: Progress
) -> Finished:
    """Record, report and board row of a run with the rows that ``predict`` gives for all its cases.

    Raises:
        MedbenchError: as :func:`run`.
    """
    subject, request, folder = end.subject, end.request, end.folder
    rows, timing = predict()
    earlier = None if timing.cases else kept_run(folder, rows, end.command)
    if earlier is not None:
        if end.whole:
            add_row(earlier, earlier.record, request.boards_root)
            add_references(subject, request, progress)
        return earlier
    subject.challenge.exchange.gather(subject.cases, folder / "predictions")
    progress.say("Resampling groups for the confidence intervals.")
    provenance = end.provenance()
    record = make_record(subject, rows, timing, provenance)
    result = Finished(record, rows, folder, len(rows) - timing.cases, end.command)
    board = request.boards_root if end.whole else None
    result = store(result, subject.challenge, subject.cases, folder / "predictions", board)
    if end.whole:
        add_references(subject, request, progress)
    keep_phases(folder, timing, provenance.device)
    return result


def run_key(job: Job | FoldedJob, manifest: str) -> str:
    """Hash of everything that decides a run's result."""
    return sha256_json(
        {
            "model": job.network.name,
            "options": job.network.options,
            "weights": job.weights_sha256 or f"seed {job.request.seed}",
            "settings": {**job.settings(), **plugin_settings()},
            "seed": job.request.seed,
            "challenge": job.challenge.name,
            "split": job.split,
            "data": job.data.kind,
            "manifest": manifest,
            "code": code_sha256(),
        }
    )
