"""``medbench run``: predict, score, record."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from medbench.core.files import sha256_file, sha256_json
from medbench.core.folders import leaderboards_folder, runs_folder
from medbench.core.progress import Progress, SilentProgress
from medbench.records.identity import code_sha256, manifest_sha256
from medbench.records.phases import keep_phases
from medbench.records.reading import Finished
from medbench.records.schema import ModelRecord
from medbench.records.writing import make_record, now
from medbench.running.finishing import store
from medbench.running.job import Inference, Job, repeat_command, resolve
from medbench.running.loop import UNFINISHED, predict_and_score


def run(
    model: str,
    challenge: str,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    weights: str | Path = "auto",
    recipe: str | None = None,
    options: dict[str, Any] | None = None,
    inference: Inference | None = None,
    cases: str = "*",
    seed: int = 0,
    runs: str | Path | None = None,
    leaderboards: str | Path | None = None,
    progress: Progress | None = None,
) -> Finished:
    """Predict a split, score it officially, write the record and add the row to the leaderboard.

    Repeating a call resumes it: what is finished and unchanged is kept.

    Args:
        model: model name.
        challenge: challenge name.
        data: folder with a real copy; else ``MEDBENCH_DATA/<challenge>``, else the synthetic sample.
        split: the challenge's default (test) if not given.
        weights: a file, ``auto`` (what training left; on the sample it is fitted now) or ``none``.
        recipe: which training ``auto`` takes; on the sample also the one that is fitted (``quick``).
        options: options of the model.
        inference: device, precision, batch and picture size; for volumes also the windows and which
            sequences may be seen. A run on fewer sequences enters no leaderboard.
        cases: shell-style pattern of case ids; a partial run enters no leaderboard.
        seed: of fresh weights and of the resampling.
        runs: folder of run directories.
        leaderboards: folder of leaderboards.
        progress: told of every step.

    Raises:
        MedbenchError: when the request cannot be met; failed cases are in the record instead.
    """
    progress = progress or SilentProgress()
    started = now()
    runs_root = Path(runs) if runs else runs_folder()
    job = resolve(
        model,
        challenge,
        data=data,
        split=split,
        weights=weights,
        recipe=recipe,
        options=options,
        inference=inference,
        cases=cases,
        seed=seed,
        runs=runs_root,
        progress=progress,
    )
    manifest = manifest_sha256(job.data.root, job.cases)
    identity = {
        "model": model,
        "options": job.network.options,
        "weights": sha256_file(job.weights) if job.weights else f"seed {seed}",
        "settings": job.settings(),
        "challenge": challenge,
        "split": job.split,
        "data": job.data.kind,
        "manifest": manifest,
        "code": code_sha256(),
    }
    key = sha256_json(identity)
    folder = runs_root / challenge / job.network.folder_name / key[:16]
    predictor = partial(job.predictor, folder / UNFINISHED, progress)
    rows, timing = predict_and_score(job.challenge, job.cases, predictor, folder, progress, read=job.read)
    progress.say("Resampling groups for the confidence intervals.")
    parameters, untrained = describe_network(job)
    record = make_record(
        job.challenge,
        job.data,
        job.split,
        job.cases,
        rows,
        timing,
        manifest,
        key,
        started,
        model=ModelRecord(
            name=model,
            title=job.network.entry.title,
            options=job.network.options,
            parameters=parameters,
            weights=job.weights_kind,
            weights_sha256=sha256_file(job.weights) if job.weights else None,
            untrained_parts=untrained,
            training=job.facts or None,
        ),
        settings=job.settings(),
        seed=seed,
        device=job.inference.device,
        command=repeat_command(job, data, weights),
        citations=[job.network.entry.paper, job.challenge.card.citation],
    )
    finished = Finished(record, rows, folder, len(rows) - timing.cases)
    board = Path(leaderboards) if leaderboards else leaderboards_folder()
    whole = cases == "*" and job.modalities is None
    store(finished, job.challenge, job.cases, folder / "predictions", board if whole else None)
    keep_phases(folder, timing)
    return finished


def describe_network(job: Job) -> tuple[int, list[str]]:
    """Number of parameters, and names of those that the checkpoint did not provide."""
    import torch

    from medbench.inference.weights import load_checkpoint, load_into

    if job.network.framework is not None:
        assert job.weights is not None, "a framework has no network before a plan"
        return job.network.framework.count_parameters(load_checkpoint(job.weights)), []
    with torch.random.fork_rng(devices=[]):
        network = job.network.build()
    untrained: list[str] = []
    if job.weights is not None:
        untrained = load_into(network, job.network.name, load_checkpoint(job.weights), str(job.weights))
    return sum(parameter.numel() for parameter in network.parameters()), untrained
