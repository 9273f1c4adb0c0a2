"""The steps of ``medbench submit host``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file
from medbench.core.progress import Progress
from medbench.core.registry import unknown_name
from medbench.submissions.containers.engines import Engine, find_engine
from medbench.submissions.findings import sorted_findings
from medbench.submissions.host.package import host
from medbench.submissions.host.program import HOSTS, EvaluationProgram, Host, HostRequest
from medbench.submissions.host.rehearsal import rehearse_host
from medbench.submissions.lint.hosted import lint_hosted
from medbench.submissions.reports import write_report


def host_named(platform: str) -> Host:
    """The platform of that name, where challenges can be hosted.

    Raises:
        MedbenchError: ``platform.unknown``.
    """
    for name in HOSTS:
        if name == platform:
            return name
    raise unknown_name("platform", platform, HOSTS)


def host_challenge(
    request: HostRequest, output: Path, progress: Progress, *, predictions: Path | None, engine: str
) -> Iterator[str]:
    """Write the evaluation program, rehearse it, and save its upload, with sha256 and a report.

    Args:
        request: challenge, platform, data and split.
        output: folder of builds.
        progress: gets a line for every step.
        predictions: predictions for the rehearsal; ``None`` rehearses nothing.
        engine: engine that builds, rehearses and saves the image; ``none`` leaves the build to others.

    Raises:
        MedbenchError: ``predictions.missing``, or as :func:`host`, :func:`find_engine`,
            :func:`rehearse_host` and :meth:`Engine.build`.
    """
    program = find_engine(engine)
    if predictions is not None and not predictions.exists():
        raise MedbenchError(
            "predictions.missing", f"{predictions}: there is no such folder or file.", "Check --predictions."
        )
    evaluation = host(request, output, progress)
    if evaluation.is_synthetic:
        yield (
            "SYNTHETIC: ground truth is the drawn sample, good for a rehearsal, not for a phase. "
            "Give --data for the real one."
        )
    rehearsal: list[str] = []
    if predictions is not None:
        rehearsal = list(rehearse_host(evaluation, predictions, progress, program))
        yield from rehearsal
    yield from _image_lines(evaluation, program, progress)
    if evaluation.archive.is_file():
        findings = [finding.as_json() for finding in sorted_findings(lint_hosted(evaluation.folder))]
        facts = {
            "challenge": evaluation.challenge.name,
            "split": evaluation.split,
            "data": evaluation.data.kind,
            "image": evaluation.pushed_tag,
            "rehearsal": rehearsal or None,
            "check": findings,
        }
        if evaluation.platform == "grand-challenge":
            facts["ground_truth_sha256"] = sha256_file(evaluation.truth)
        yield from write_report(evaluation.archive, facts)
    yield "next:"
    yield from (f"  {number}. {step}" for number, step in enumerate(upload_steps(evaluation), start=1))


def _image_lines(evaluation: EvaluationProgram, engine: Engine | None, progress: Progress) -> Iterator[str]:
    """Build the image and, where it is uploaded itself, save it."""
    if engine is None:
        command = f"docker build --platform linux/amd64 --tag {evaluation.tag} {quote(str(evaluation.image))}"
        if evaluation.platform == "grand-challenge":
            command += f" && docker save {evaluation.tag} | gzip > {quote(str(evaluation.archive))}"
        yield f"image: not built; elsewhere: {command}"
        return
    progress.say(f"Building {evaluation.tag} with {engine.name}.")
    engine.build(evaluation.image, evaluation.tag)
    yield f"image: {evaluation.tag} ({engine.name})"
    if evaluation.platform == "grand-challenge":
        engine.save(evaluation.tag, evaluation.archive)


def upload_steps(evaluation: EvaluationProgram) -> Iterator[str]:
    """Steps of the upload for organisers; a step that is a command starts with its program."""
    if evaluation.platform == "grand-challenge":
        yield f"On the phase's page choose Evaluation Methods, and upload {evaluation.archive}."
        yield f"Upload {evaluation.truth} under Ground Truths, and make it the active one."
        return
    if evaluation.request.registry:
        yield f"docker tag {evaluation.tag} {evaluation.pushed_tag}"
        yield f"docker push {evaluation.pushed_tag}"
    else:
        yield f"Nobody can pull {evaluation.tag}: push it, and write the bundle again with --registry."
    yield f"Under Benchmarks, Management, upload {evaluation.archive}."
