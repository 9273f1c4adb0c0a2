"""The job of a submission, as ``medbench run`` resolves it; training happens on request only."""

from __future__ import annotations

import os
from pathlib import Path

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.folders import data_folder, runs_folder
from medbench.core.progress import Progress
from medbench.running.data import resolve_data
from medbench.running.job import FoldedJob, Job, resolve
from medbench.running.networks import plan_network
from medbench.running.request import Inference, Request
from medbench.running.trainings import Wanted
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.description import Submission
from medbench.submissions.platforms import Platform


def submission_job(
    submission: Submission, platform: Platform, request: BuildRequest, progress: Progress
) -> Job:
    """The model with its data, cases and weights, as ``medbench run`` resolves them.

    Raises:
        MedbenchError: ``weights.untrained`` where ``auto`` finds no weights and training was not asked for,
            and as :func:`medbench.running.job.resolve`.
    """
    split = request.split or platform.split
    if submission.weights.file == "auto" and not request.train:
        _require_trained(submission, request, split, progress)
    job = resolve(
        Request(
            model=submission.model,
            challenge=submission.challenge,
            data=request.data,
            split=split,
            weights=_weights(submission, request.file),
            recipe=submission.weights.recipe if submission.weights.file == "auto" else None,
            options=dict(submission.options),
            inference=Inference("cpu", force_precision=True, **submission.inference.model_dump()),
        ),
        progress,
    )
    if isinstance(job, FoldedJob):
        raise MedbenchError(
            "submission.folds",
            f"{submission.challenge}: split {job.split} takes one network a fold, a submission has one.",
            "Name one fold as the split.",
        )
    return job


def _require_trained(
    submission: Submission, request: BuildRequest, split: str | None, progress: Progress
) -> None:
    """Refuse a submission that would need a training on the synthetic sample."""
    challenge, runs = load_challenge(submission.challenge), runs_folder()
    uses_sample = request.data is None and data_folder(challenge.release.data_set) is None
    if uses_sample and not any(runs.glob("*/*/training")):
        raise _untrained(submission, request, challenge.title)
    data = resolve_data(challenge, request.data, progress)
    network = plan_network(submission.model, challenge, dict(submission.options))
    learnt_from = challenge.release.training_split_of(split or challenge.release.default_split)
    path = Wanted(challenge, data, network, runs, submission.weights.recipe, learnt_from).newest()
    if data.kind == "sample" and path is None:
        raise _untrained(submission, request, challenge.title)


def _untrained(submission: Submission, request: BuildRequest, title: str) -> MedbenchError:
    command = f"medbench train -m {submission.model} -c {submission.challenge}"
    return MedbenchError(
        "weights.untrained",
        f'{request.file}: file = "auto", and no training of {submission.model} on {title} left weights.',
        f"Train on the challenge's data ({command} --data DIR, then --data DIR here too), or fit the "
        "synthetic sample by --train.",
    )


def _weights(submission: Submission, file: Path) -> str:
    name = submission.weights.file
    if name in ("auto", "none"):
        return name
    path = Path(os.path.expanduser(name))
    return str(path if path.is_absolute() else file.parent / path)
