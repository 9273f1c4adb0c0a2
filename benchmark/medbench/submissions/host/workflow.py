"""The steps of ``medbench submit host``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medbench.core.progress import Progress
from medbench.core.registry import unknown_name
from medbench.submissions.containers.engines import find_engine
from medbench.submissions.host.package import host
from medbench.submissions.host.program import HOSTS, Host, HostRequest
from medbench.submissions.host.rehearsal import rehearse_host


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
    """Write the evaluation program and rehearse it on ``predictions``, as lines for people.

    Raises:
        MedbenchError: as :func:`host`, :func:`find_engine` and :func:`rehearse_host`.
    """
    program = find_engine(engine)
    evaluation = host(request, output, progress)
    if request.platform == "codabench":
        bundle = evaluation.folder / f"{evaluation.folder.name}.zip"
        yield f"bundle: {bundle}, uploaded under Benchmarks, Management"
    else:
        yield f"ground truth, uploaded apart: {evaluation.truth}"
    yield f"image: docker build --platform linux/amd64 --tag {evaluation.tag} {evaluation.image}"
    if predictions is not None:
        yield from rehearse_host(evaluation, predictions, progress, program)
