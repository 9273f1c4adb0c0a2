"""Runs: predict, score officially, and record, as by ``medbench run``."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from medbench.core.files import sha256_json
from medbench.core.progress import Progress, SilentProgress
from medbench.records.data_places import note_data_place
from medbench.records.identity import code_sha256, manifest_sha256, plugin_settings
from medbench.records.phases import keep_phases
from medbench.records.reading import Finished, kept_run
from medbench.records.writing import Provenance, Subject, make_record, now
from medbench.running.finishing import add_row, store
from medbench.running.job import FoldedJob, Job, resolve
from medbench.running.journal import UNFINISHED
from medbench.running.loop import predict_and_score
from medbench.running.prediction_orders import Workers, predict_elsewhere
from medbench.running.references import add_references
from medbench.running.request import Request, RunKeywords


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
    progress = progress or SilentProgress()
    started = now()
    job = resolve(request, progress)
    challenge = job.challenge
    subject = Subject(challenge, job.data, job.split, job.cases, manifest_sha256(job.data.root, job.cases))
    key = run_key(job, subject.manifest_sha256)
    folder = request.runs_root / challenge.name / job.network.folder_name / key[:16]
    note_data_place(key, data=job.data.root)
    predictor = partial(job.predictor, folder / UNFINISHED, progress)
    places = job.request.places(job.data.root)
    if workers is not None and workers.elsewhere:
        rows, timing = predict_elsewhere(job, folder, workers, progress)
    else:
        rows, timing = predict_and_score(
            challenge, job.cases, predictor, folder, progress, read=job.read, places=places
        )
    whole = request.cases == "*" and job.request.inference.modalities is None
    kept = None if timing.cases else kept_run(folder, rows, job.request.command())
    if kept is not None:
        if whole:
            add_row(kept, kept.record, request.boards_root)
            add_references(subject, request, progress)
        return kept
    challenge.exchange.gather(job.cases, folder / "predictions")
    progress.say("Resampling groups for the confidence intervals.")
    provenance = Provenance(
        key=key,
        model=job.model_record(places),
        settings={**job.settings(), **plugin_settings()},
        seed=request.seed,
        device=job.request.inference.device,
        command=job.request.command(shared=True),
        citations=[job.network.entry.paper, challenge.card.citation],
        started=started,
    )
    record = make_record(subject, rows, timing, provenance)
    finished = Finished(record, rows, folder, len(rows) - timing.cases, job.request.command())
    board = request.boards_root if whole else None
    finished = store(finished, challenge, job.cases, folder / "predictions", board)
    if whole:
        add_references(subject, request, progress)
    keep_phases(folder, timing, job.request.inference.device)
    return finished


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
