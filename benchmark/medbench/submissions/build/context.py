"""The build context of a submission: code, lock, weights, manifest and a Dockerfile, in ``build/<name>/``."""

from __future__ import annotations

import importlib.metadata as metadata
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench import __version__
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json, write_text
from medbench.core.package import copy_package
from medbench.core.plugins import copy_plugins, plugin_sources
from medbench.core.progress import Progress, SilentProgress
from medbench.models.local.names import local_model
from medbench.records.environment import git_state
from medbench.submissions.build.dockerfile import (
    USER,
    app_lines,
    label_lines,
    package_lines,
    python_image,
    user_lines,
)
from medbench.submissions.build.extensions import lint_extensions
from medbench.submissions.build.job import submission_job
from medbench.submissions.build.locking import (
    LOCK,
    gather,
    imported_packages,
    lock,
    needed_packages,
    requirement_lines,
)
from medbench.submissions.build.own_parts import travelling_name, write_project
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.build.sbom import SBOM, can_list_materials, materials
from medbench.submissions.build.wheels import torch_build, torch_index
from medbench.submissions.containers import archives
from medbench.submissions.containers.archives import source_date_epoch
from medbench.submissions.description import GIGABYTE, Image, Submission
from medbench.submissions.findings import Finding, error, note, refuse, warning
from medbench.submissions.platforms import Platform, load_platform
from medbench.submissions.platforms.registries import image_tag, lint_registry
from medbench.submissions.reading import read_submission, refuse_of_images
from medbench.submissions.serving.session import MANIFEST, PLUGINS, WEIGHTS

if TYPE_CHECKING:
    from medbench.running.job import Job

_ENTRY = '''"""Predict what the platform hands in; medbench finds inputs and weights beside this file."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from medbench.submissions.entry import run  # noqa: E402


def main(arguments: list[str]) -> int:
    """One call of the container."""
    return run(HERE, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''


@dataclass(frozen=True, slots=True)
class Build:
    """A submission with its build context in a folder.

    Attributes:
        submission: content of the submission's file.
        platform: platform of the submission.
        job: the model with its data, cases and weights, as ``medbench run`` resolves them.
        folder: ``build/<name>``.
        manifest: facts in the container on model, weights and settings.
    """

    submission: Submission
    platform: Platform
    job: Job
    folder: Path
    manifest: dict[str, Any]

    @property
    def context(self) -> Path:
        """Folder of the build context."""
        return self.folder / "context"

    @property
    def app(self) -> Path:
        """Folder that becomes ``/opt/app`` of the image."""
        return self.context / "app"

    @property
    def model_archive(self) -> Path:
        """Archive of weights that are uploaded apart from the image."""
        return self.folder / "model.tar.gz"

    @property
    def tag(self) -> str:
        """Name of the image."""
        return image_tag(self.submission.name)

    def packages(self) -> dict[str, str]:
        """Name -> version of the packages that prediction needs."""
        slides = self.job.slide_settings is not None
        entry, sources = self.job.network.entry, plugin_sources().values()
        names = needed_packages(_file_of(self.submission.model), entry, slides=slides)
        return lock([*names, *imported_packages(path for own in sources for path in own)])


def _file_of(model: str) -> str:
    """The file of a model of one's own; else the name."""
    own = local_model(model)
    return model if own is None else own.target


def build_context(request: BuildRequest, progress: Progress | None = None) -> Build:
    """Write the build context of a submission, with weights resolved as by ``medbench run``.

    Args:
        request: the submission's file, data and output folder.
        progress: gets a line for every step.

    Raises:
        MedbenchError: as :func:`read_submission` and :func:`medbench.running.job.resolve`, and
            ``submission.unfit`` when the platform refuses the file.
    """
    progress = progress or SilentProgress()
    submission = read_submission(request.file, registry=request.registry)
    if request.stamp:
        refuse_of_images("--stamp", submission)
    platform = load_platform(submission.platform)
    refuse(check_submission(submission, platform))
    job = submission_job(submission, platform, request, progress)
    folder = request.output / submission.name
    for name in ("context", "workspace"):
        shutil.rmtree(folder / name, ignore_errors=True)
    build = Build(submission, platform, job, folder, _manifest(submission, job, request.stamp))
    _write_app(build, progress)
    versions = build.packages()
    if can_list_materials():
        name = image_tag(submission.name)
        write_text(build.app / SBOM, materials(name, versions, build.manifest["weights_sha256"]))
    write_json(build.context / "lock.json", versions)
    lines = requirement_lines(versions, submission.image.accelerator)
    write_text(build.context / LOCK, "\n".join(lines) + "\n")
    if submission.image.packages == "vendored":
        gather(versions, build.context / "site-packages")
    if platform.delivers == "image":
        write_text(build.context / "Dockerfile", dockerfile(build))
    for name, text in platform.files(submission).items():
        write_text(folder / name, text)
    archives.make_uniform(build.context)
    return build


def check_submission(submission: Submission, platform: Platform) -> list[Finding]:
    """Findings on a submission file that does not suit its platform."""
    findings = list(platform.check(submission))
    findings += lint_extensions(submission.model, submission.challenge, platform)
    findings += lint_registry(submission.registry, f"{submission.name}:1", obligatory=platform.needs_registry)
    if platform.delivers == "image":
        findings += _gpu_use(submission)
        findings += _what_people_need(submission)
        findings.append(_resources(submission, platform))
    if submission.weights.delivery == "mounted" and platform.model_folder is None:
        findings.append(
            Finding(
                "submission.delivery",
                "error",
                f"{platform.title} mounts no weights.",
                'Set delivery = "baked" under [weights].',
            )
        )
    return findings


def _resources(submission: Submission, platform: Platform) -> Finding:
    """A note on what the platform's backend leaves to a run, as rehearsals take it."""
    limits = platform.limits.with_phase(submission.limits)
    text = (
        f"Limits of a run: {limits.memory_bytes / GIGABYTE:g} GB of memory, "
        f"{limits.shared_memory_bytes >> 20} MB of shared memory, {limits.processes} processes and threads, "
        f"{limits.time_s:g} s a case."
    )
    return note("image.limits", text, "Set [limits] to what the phase's page says.")


def _what_people_need(submission: Submission) -> Iterator[Finding]:
    """Findings on author, licence, bill of materials and citation, which platforms ask for."""
    if not submission.author:
        yield note("image.author", "No author is given for the image's label.", "Set author.")
    if not submission.image.licence:
        text = "No licence is given, so nobody may use the image."
        yield warning("image.licence", text, "Set licence under [image].")
    if not can_list_materials():
        text = "The image holds no list of its packages and their licences (SBOM)."
        yield note("image.sbom", text, "pip install cyclonedx-python-lib, and build again.")
    if submission.model:
        yield note(
            "submission.citation",
            f"The platform asks what to cite for {submission.model} and {submission.challenge}.",
            f"medbench cite {submission.model} {submission.challenge}",
        )


def _gpu_use(submission: Submission) -> Iterator[Finding]:
    """A note on whether the image uses a GPU of the platform."""
    if submission.image.accelerator == "cpu":
        text = "The image computes on the CPU; a GPU of the platform stays unused."
        yield note("image.gpu", text, 'Set accelerator = "cuda" under [image] if the phase offers one.')
        return
    try:
        build = torch_build("cuda", metadata.version("torch"))
    except MedbenchError as failure:
        if submission.image.packages == "index":
            yield error(failure.code, failure.message, failure.hint)
        return
    text = f"The image uses a GPU where there is one: torch for {build}; without one, the CPU."
    yield note("image.gpu", text, "Request a GPU when you submit.")


def dockerfile(build: Build) -> str:
    """The Dockerfile: packages in a first stage, code and weights in the second, no root, exec form."""
    submission, platform = build.submission, build.platform
    image = submission.image
    base = "@".join(part for part in base_image(image) if part)
    index = image.torch_index or torch_index(image.accelerator, metadata.version("torch"))
    lines = package_lines(base, image.packages, index)
    lines += [
        *user_lines(),
        *app_lines(build.app),
        *label_lines(labels(build)),
        f"USER {image_user(platform)}",
        f"ENTRYPOINT {json.dumps(list(platform.entrypoint(submission)))}",
    ]
    arguments = list(platform.default_arguments(submission))
    lines += [f"CMD {json.dumps(arguments)}"] if arguments else []
    return "\n".join(lines) + "\n"


def base_image(image: Image) -> tuple[str, str]:
    """Name and digest of the base image; the digest is empty where it is not known."""
    return image.base or python_image(), image.digest


def image_user(platform: Platform) -> str:
    """User and group of the image, by number: root only where the platform's program leaves no other way."""
    return "0:0" if "root" in platform.runs_as else f"{USER}:{USER}"


def labels(build: Build) -> dict[str, str]:
    """Labels of the image: of the platform, of the OCI, and the origin of the weights."""
    manifest, submission = build.manifest, build.submission
    base, digest = base_image(submission.image)
    return {
        **build.platform.image_labels(submission),
        "org.opencontainers.image.title": submission.name,
        "org.opencontainers.image.description": f"{submission.model} on {submission.challenge}",
        "org.opencontainers.image.authors": submission.author,
        "org.opencontainers.image.licenses": submission.image.licence,
        "org.opencontainers.image.version": manifest["medbench_version"],
        "org.opencontainers.image.revision": manifest["medbench_commit"] or "unknown",
        "org.opencontainers.image.created": datetime.fromtimestamp(source_date_epoch(), UTC).isoformat(),
        "org.opencontainers.image.base.name": base,
        **({"org.opencontainers.image.base.digest": digest} if digest else {}),
        "medbench.challenge": submission.challenge,
        "medbench.model": submission.model,
        "medbench.weights.sha256": manifest["weights_sha256"] or "none",
        **({"medbench.stamp": manifest["stamp"]} if manifest["stamp"] else {}),
    }


def _manifest(submission: Submission, job: Job, stamp: str) -> dict[str, Any]:
    commit, is_dirty = git_state()
    return {
        "submission": {**submission.image_facts(), "model": travelling_name(submission.model)},
        "weights_sha256": job.setup.weights.sha256,
        "seed": job.request.seed,
        "data": job.data.kind,
        "stamp": stamp,
        "medbench_version": __version__,
        "medbench_commit": f"{commit}{'-dirty' if is_dirty else ''}" if commit else None,
    }


def _write_app(build: Build, progress: Progress) -> None:
    app = build.app
    if build.platform.delivers == "image":
        copy_package(app / "medbench", "container")
        copy_plugins(app / PLUGINS)
        write_project(app, build.submission)
        write_text(app / "inference.py", _ENTRY)
    for name, text in build.platform.app_files(build.submission).items():
        write_text(app / name, text)
    write_json(app / MANIFEST, build.manifest)
    build.model_archive.unlink(missing_ok=True)
    if build.platform.delivers != "image":
        build.platform.write_bundle(build.job, app / "bundle", progress)
        return
    if build.job.weights is None:
        return
    if build.submission.weights.delivery == "baked":
        (app / "model").mkdir()
        shutil.copyfile(build.job.weights, app / "model" / WEIGHTS)
        (app / "model" / WEIGHTS).chmod(0o644)
        return
    archives.write_tar({WEIGHTS: build.job.weights}, build.model_archive)
    if build.platform.unpacked_model is not None:
        place = build.folder / build.platform.unpacked_model
        place.mkdir(parents=True)
        shutil.copyfile(build.job.weights, place / WEIGHTS)
