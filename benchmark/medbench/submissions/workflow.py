"""The steps of ``medbench submit``, one function a verb."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, read_json, write_text
from medbench.core.progress import Progress
from medbench.submissions.build.context import Build, build_context, check_submission
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.build.sbom import SBOM
from medbench.submissions.containers import archives
from medbench.submissions.containers.engines import Engine, find_engine
from medbench.submissions.containers.image_runner import ImageRunner
from medbench.submissions.containers.users import container_user
from medbench.submissions.description import GIGABYTE, Submission
from medbench.submissions.findings import Finding, sorted_findings
from medbench.submissions.limits import Limits, judge_upload
from medbench.submissions.lint import image as linting
from medbench.submissions.lint.hosted import lint_hosted
from medbench.submissions.platforms import load_platform
from medbench.submissions.platforms.base import SavedArchive
from medbench.submissions.platforms.registries import image_tag
from medbench.submissions.reading import read_submission
from medbench.submissions.rehearse import rehearsal
from medbench.submissions.reports import write_report
from medbench.submissions.serving.session import MANIFEST


def build(request: BuildRequest, engine: str, progress: Progress) -> Iterator[str]:
    """Write the build context or bundle and, where an engine is installed, build the image; lines to print.

    Raises:
        MedbenchError: as :func:`build_context` and :func:`find_engine`.
    """
    result = build_context(request, progress)
    yield f"context: {result.context} (weights sha256 {(result.manifest['weights_sha256'] or 'none')[:12]})"
    if result.model_archive.exists():
        yield f"weights apart: {result.model_archive}"
    if result.platform.delivers != "image":
        path = archive_path(result.submission, request.output)
        yield f"{result.platform.delivers}: {path} is written by 'medbench submit save'"
        return
    program = find_engine(engine)
    if program is None:
        yield "image: not built, as neither podman nor docker is here"
        place = quote(str(result.context))
        yield f"  elsewhere: docker build --platform linux/amd64 --tag {result.tag} {place}"
        return
    program.build(result.context, result.tag)
    yield f"image: {result.tag} ({program.name})"


def check(
    file: Path, archive: Path | None, output: Path, registry: str = ""
) -> tuple[list[Finding], list[str]]:
    """Findings of the linters on a submission, and the paths linted; neither engine nor network is needed.

    A folder or a zip that ``medbench submit host`` wrote is accepted as well.

    Raises:
        MedbenchError: as :func:`read_submission`, and ``archive.missing``.
    """
    if file.is_dir() or file.suffix == ".zip":
        return sorted_findings(lint_hosted(file)), [str(file)]
    submission = read_submission(file, registry=registry)
    platform = load_platform(submission.platform)
    findings, paths = check_submission(submission, platform), [str(file)]
    folder = output / submission.name
    if (folder / "context").is_dir():
        paths.append(str(folder / "context"))
        findings += linting.lint_context(folder / "context", submission, platform)
    path = archive or archive_path(submission, output)
    if archive is not None and not path.is_file():
        raise MedbenchError("archive.missing", f"{path}: there is no such archive.", "Check --archive.")
    if path.is_file() and platform.delivers != "image":
        paths.append(str(path))
        table = platform.delivers == "table"
        findings += platform.lint_table(path) if table else linting.lint_bundle(path, platform)
    elif path.is_file():
        paths.append(str(path))
        weights = None
        if (folder / "context" / "app" / MANIFEST).is_file():
            weights = read_json(folder / "context" / "app" / MANIFEST)["weights_sha256"]
        findings += judge_upload(path.name, path.stat().st_size, platform.limits)
        findings += linting.lint_archive(archives.read_archive(path), submission, platform, weights)
    return sorted_findings(findings), paths


def rehearse(
    request: BuildRequest, engine: str, progress: Progress, *, pattern: str, count: int
) -> rehearsal.Rehearsal:
    """Build a submission, then run it as the platform does: in the image where an engine is installed.

    Raises:
        MedbenchError: as :func:`build_context`, :func:`find_engine` and
            :func:`medbench.submissions.rehearse.rehearsal.rehearse`.
    """
    result = build_context(request, progress)
    program = find_engine(engine) if result.platform.delivers == "image" else None
    runners = [] if program is None else _image_runners(result, program, progress)
    return rehearsal.rehearse(result, runners=runners, pattern=pattern, count=count, progress=progress)


def _image_runners(result: Build, engine: Engine, progress: Progress) -> list[ImageRunner]:
    progress.say(f"Building {result.tag} with {engine.name}.")
    engine.build(result.context, result.tag)
    limits = result.platform.limits.with_phase(result.submission.limits)
    root, mounts = result.folder / "rehearsal" / "root", result.platform.mounts
    users = [container_user(runs_as, engine.name) for runs_as in result.platform.runs_as]
    return [ImageRunner(engine, result.tag, root, mounts, limits, user=user) for user in users]


def save(file: Path, output: Path, engine: str, registry: str = "") -> Iterator[str]:
    """Write the archive to upload, its sha256, and the report of the last rehearsal of the same weights.

    Raises:
        MedbenchError: ``save.not_built``, ``save.not_rehearsed``, or ``engine.missing`` where an image is due
            and no engine is here.
    """
    submission = read_submission(file, registry=registry)
    platform = load_platform(submission.platform)
    folder = output / submission.name
    manifest_path = folder / "context" / "app" / MANIFEST
    if not manifest_path.is_file():
        raise MedbenchError("save.not_built", f"{folder}: is not built.", f"medbench submit build {file}")
    manifest = read_json(manifest_path)
    report = read_json(folder / rehearsal.REPORT) if (folder / rehearsal.REPORT).is_file() else {}
    if (
        report.get("weights_sha256") != manifest["weights_sha256"]
        or report.get("submission") != (manifest["submission"])
    ):
        raise MedbenchError(
            "save.not_rehearsed",
            f"{submission.name}: this build was not rehearsed.",
            f"medbench submit rehearse {file}",
        )
    for name, text in platform.files(submission).items():
        write_text(folder / name, text)
    path = archive_path(submission, output)
    if platform.delivers == "bundle":
        archives.write_zip(folder / "context" / "app" / "bundle", path)
    elif platform.delivers == "table":
        with atomic_path(path) as temporary:
            shutil.copyfile(folder / "context" / "app" / "bundle" / platform.bundle_files[0], temporary)
    else:
        _save_image(submission, path, engine, file)
    findings, _ = check(file, path if platform.delivers == "image" else None, output, registry)
    yield from write_report(path, {"rehearsal": report, "check": [finding.as_json() for finding in findings]})
    yield f"rehearsal {'passed' if report['passed'] else 'FAILED'} in a {report['runner']}"
    yield from (f"{one.severity}: {one.message} {one.advice}" for one in findings if one.severity != "note")
    yield from _usage_lines(report)
    if platform.delivers == "image":
        image_bytes = archives.read_archive(path).image_bytes
        yield from _size_lines(image_bytes, path.stat().st_size, platform.limits)
    if platform.delivers == "image" and (folder / "context" / "app" / SBOM).is_file():
        yield f"SBOM, in the image too: {folder / 'context' / 'app' / SBOM}"
    yield "next:"
    steps = platform.steps(submission, SavedArchive(path, image_tag(submission.name)))
    yield from (f"  {number}. {step}" for number, step in enumerate(steps, start=1))


def _usage_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Time and memory of the rehearsal, with their share of each limit."""
    usage, limits = report.get("usage", []), report.get("limits", {})
    for what, rows in (
        ("start", [one for one in usage if one["case"].endswith(": start")]),
        ("a case", [one for one in usage if not one["case"].endswith(": start")]),
    ):
        slowest = max(rows, key=lambda one: one["time_s"], default=None)
        if slowest is not None:
            share = slowest["time_s"] / slowest["limit_s"]
            yield f"{what}: {slowest['time_s']:.1f} s at most, {share:.1%} of the limit"
    start_s = max((one["start_s"] for one in usage if one.get("start_s") is not None), default=None)
    if start_s is not None:
        yield f"start of a run: {start_s:.1f} s at most, part of the time above"
    peak = max((one["peak_bytes"] for one in usage if one["peak_bytes"] is not None), default=None)
    if peak is not None:
        yield f"memory: {peak / 1e9:.2f} GB at most, {peak / limits['memory_bytes']:.1%} of the limit"


def _size_lines(unpacked_bytes: int, archive_bytes: int, limits: Limits) -> Iterator[str]:
    """Size of the image and of its archive, with their share of each limit that is known."""
    for what, size, limit in (
        ("image, unpacked", unpacked_bytes, limits.image_bytes),
        ("upload", archive_bytes, limits.upload_bytes),
    ):
        share = f", {size / limit:.1%} of the limit" if limit else ""
        yield f"{what}: {size / GIGABYTE:.2f} GB{share}"


def _save_image(submission: Submission, path: Path, engine: str, file: Path) -> None:
    tag, program = image_tag(submission.name), find_engine(engine)
    if program is None:
        raise MedbenchError(
            "engine.missing",
            "Saving an image needs podman or docker.",
            f"On a machine with docker: docker build --platform linux/amd64 --tag {tag} "
            f"{quote(str(path.parent / 'context'))} && docker save {tag} | gzip > {quote(str(path))}",
        )
    if not program.has(tag):
        raise MedbenchError(
            "save.not_built", f"{tag}: there is no such image.", f"medbench submit build {quote(str(file))}"
        )
    program.save(tag, path)


def archive_path(submission: Submission, output: Path) -> Path:
    """``build/<name>/<name>.tar.gz``, ``.zip`` of a bundle, or the table under its own ending."""
    platform = load_platform(submission.platform)
    suffixes = {"image": ".tar.gz", "bundle": ".zip"}
    suffix = suffixes.get(platform.delivers) or Path(platform.bundle_files[0]).suffix
    return output / submission.name / f"{submission.name}{suffix}"
