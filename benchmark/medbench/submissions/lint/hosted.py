"""The linter of organisers' uploads: contexts of evaluation images, and folders with a Codabench bundle."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json
from medbench.submissions.build.locking import LOCK
from medbench.submissions.containers.archives import read_archive
from medbench.submissions.findings import Finding, error
from medbench.submissions.lint.competition import AGAIN, lint_competition
from medbench.submissions.lint.image import lint_instructions, lint_lock, lint_upload
from medbench.submissions.platforms.grand_challenge import GrandChallenge
from medbench.submissions.serving.session import FACTS, MANIFEST


def lint_hosted(path: Path) -> Iterator[Finding]:
    """Findings on a folder that ``medbench submit host`` wrote, or on a competition bundle's zip.

    Raises:
        MedbenchError: ``host.unknown`` for a folder that holds none, such as that of a submission's build.
    """
    if path.suffix == ".zip":
        yield from lint_competition(path)
    elif (path / "context" / "app" / MANIFEST).is_file():
        raise MedbenchError(
            "host.unknown",
            f"{path}: is what medbench submit build wrote of a submission.",
            "Give the submission's file: submissions/<challenge>/<name>.toml.",
        )
    elif (path / "context").is_dir():
        yield from _lint_evaluation(path)
        archive = path / f"{path.resolve().name}.tar.gz"
        if archive.is_file():
            yield from lint_upload(read_archive(archive), GrandChallenge())
    elif (path / f"{path.resolve().name}.zip").is_file():
        yield from _lint_image(path / "image")
        yield from lint_competition(path / f"{path.resolve().name}.zip")
    else:
        raise MedbenchError(
            "host.unknown", f"{path}: holds no evaluation program.", "Give the folder that submit host wrote."
        )


def _lint_evaluation(folder: Path) -> Iterator[Finding]:
    """Findings on grand-challenge's evaluation image and on the separately uploaded ground truth."""
    context = folder / "context"
    yield from _lint_image(context)
    for name in (FACTS, "evaluate.py", "medbench/__init__.py"):
        if not (context / "app" / name).is_file():
            yield error("host.program", f"{context / 'app' / name}: is missing.", AGAIN)
    yield from _lint_truth(folder / "ground_truth.tar.gz", context / "app" / FACTS)


def _lint_image(context: Path) -> Iterator[Finding]:
    """Findings on an image's Dockerfile and lock; on Codabench the image needs no entrypoint."""
    dockerfile = context / "Dockerfile"
    if not dockerfile.is_file():
        yield error("dockerfile.missing", f"{dockerfile}: is missing.", AGAIN)
        return
    text = dockerfile.read_text(encoding="utf-8")
    findings = lint_instructions(text, GrandChallenge())
    codabench = context.name == "image"
    yield from (one for one in findings if not (codabench and one.rule in ("image.entrypoint", "image.user")))
    if "pip install" in text:
        yield from lint_lock(context / LOCK)


def _lint_truth(path: Path, facts: Path) -> Iterator[Finding]:
    try:
        with tarfile.open(path) as archive:
            count = sum(member.isfile() for member in archive)
    except (tarfile.TarError, EOFError, OSError) as failure:
        yield error("host.truth", f"{path}: is no ground truth ({failure}).", AGAIN)
        return
    if not count:
        split = read_json(facts)["split"] if facts.is_file() else "the split"
        yield error("host.truth", f"{path}: holds no file of {split}.", AGAIN)
