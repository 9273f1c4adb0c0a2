"""Evaluation programs of platforms for organisers, with a challenge's official scoring."""

from __future__ import annotations

import shutil
from pathlib import Path

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.progress import Progress
from medbench.core.task import titles
from medbench.running.data import resolve_data
from medbench.submissions.containers.archives import make_uniform
from medbench.submissions.host import codabench, grand_challenge
from medbench.submissions.host.program import (
    EvaluationProgram,
    HostRequest,
    write_image,
    write_program,
)
from medbench.submissions.host.serving import by_image_name
from medbench.submissions.platforms.registries import bad_registry


def host(request: HostRequest, output: Path, progress: Progress) -> EvaluationProgram:
    """Write the evaluation program and its ground truth.

    Args:
        request: challenge, platform, data and split.
        output: folder of builds.
        progress: gets a line for every step.

    Raises:
        MedbenchError: ``host.no_reference`` for a split whose references are not there, ``host.ingestion``
            where participants' programs cannot be run, ``host.names`` for cases whose images would have one
            name, ``host.task`` for answers that the platform's jobs do not hand over as images,
            ``image.registry`` for a registry that no engine takes.
    """
    evaluation = _plan(request, output, progress)
    shutil.rmtree(evaluation.folder, ignore_errors=True)
    write_program(evaluation)
    if request.platform == "codabench":
        write_image(evaluation)
        if request.ingestion:
            codabench.write_ingestion(evaluation)
        codabench.write_bundle(evaluation)
    else:
        write_image(evaluation, *grand_challenge.program_lines(evaluation.program))
        grand_challenge.write_truth(evaluation)
    make_uniform(evaluation.image)
    return evaluation


def _plan(request: HostRequest, output: Path, progress: Progress) -> EvaluationProgram:
    """The evaluation program before its files are written, after a check that all cases have references."""
    challenge = load_challenge(request.challenge)
    split = request.split or challenge.release.default_split
    challenge.release.check_split(split)
    if request.platform == "grand-challenge":
        _require_label_maps(challenge)
    data = resolve_data(challenge, request.data, progress)
    cases = challenge.cases(data.root, split)
    bare = next((case.id for case in cases if not case.reference), None)
    if bare is not None:
        raise MedbenchError(
            "host.no_reference", f"{bare}: has no reference to score with.", "Choose another --split."
        )
    if request.ingestion:
        codabench.check_ingestion(request.platform, cases)
    if request.platform == "grand-challenge":
        by_image_name(cases)
    name = f"{request.challenge}-evaluation-{request.platform}".replace("_", "-")
    name += "-synthetic" if data.kind == "sample" else ""
    reason = bad_registry(request.registry, name) if request.registry else ""
    if reason:
        raise MedbenchError("image.registry", f"{request.registry}: {reason}.", "Correct --registry.")
    return EvaluationProgram(request, challenge, split, data, cases, output / name)


def _require_label_maps(challenge: Challenge) -> None:
    """Refuse a challenge whose answers are more than the label maps that jobs hand over."""
    others = [task for task in challenge.card.demands if task != "label_map"]
    if others:
        raise MedbenchError(
            "host.task",
            f"{challenge.title} scores {titles(others)}; the evaluation on grand-challenge reads label maps "
            "alone.",
            "Choose --platform codabench, which takes the challenge's own files.",
        )
