"""The organisers' side: a challenge's scoring as the evaluation program of a platform."""

from __future__ import annotations

import shutil
from pathlib import Path

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.progress import Progress
from medbench.running.data import resolve_data
from medbench.submissions.host import codabench, grand_challenge
from medbench.submissions.host.program import (
    EvaluationProgram,
    HostRequest,
    write_image,
    write_program,
)


def host(request: HostRequest, output: Path, progress: Progress) -> EvaluationProgram:
    """Write the evaluation program and its ground truth.

    Args:
        request: of what challenge, for which platform.
        output: folder of builds.
        progress: told what happens.

    Raises:
        MedbenchError: ``host.no_reference`` for a split whose references are not there, ``host.ingestion``
            where participants' programs cannot be run.
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
        write_image(evaluation, *grand_challenge.program_lines())
        grand_challenge.write_truth(evaluation)
    return evaluation


def _plan(request: HostRequest, output: Path, progress: Progress) -> EvaluationProgram:
    """Everything that is known before a file is written; no case may lack its reference."""
    challenge = load_challenge(request.challenge)
    split = request.split or challenge.default_split
    challenge.check_split(split)
    root = resolve_data(challenge, request.data, progress).root
    cases = challenge.cases(root, split)
    bare = next((case.id for case in cases if not case.reference), None)
    if bare is not None:
        raise MedbenchError(
            "host.no_reference", f"{bare}: has no reference to score with.", "Choose another --split."
        )
    if request.ingestion:
        codabench.check_ingestion(request.platform, cases)
    name = f"{request.challenge}-evaluation-{request.platform}".replace("_", "-")
    return EvaluationProgram(request, challenge, split, root, cases, output / name)
