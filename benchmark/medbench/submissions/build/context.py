"""The build context of a submission: code, lock, weights, manifest and a Dockerfile, in ``build/<name>/``."""

from __future__ import annotations

import json
import os
import platform as machine
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench import __version__
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json, write_text
from medbench.core.package import copy_package
from medbench.core.progress import Progress, SilentProgress
from medbench.records.environment import git_state
from medbench.running.job import FoldedJob, Job, resolve
from medbench.running.request import Inference, Request
from medbench.submissions.build.locking import LOCK, gather, lock, needed_packages, requirement_lines
from medbench.submissions.description import Packages, Submission
from medbench.submissions.lint.findings import Finding, failed
from medbench.submissions.platforms import Platform, load_platform
from medbench.submissions.reading import read_submission
from medbench.submissions.serving.session import MANIFEST, WEIGHTS

APP = "/opt/app"
USER = 10001
TORCH_INDEX = {
    "cpu": "https://download.pytorch.org/whl/cpu",
    "cuda": "https://download.pytorch.org/whl/cu126",
}
_ENTRY = '''"""Predict what the platform hands in; medbench finds inputs and weights beside this file."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from medbench.submissions.serving.entry import run  # noqa: E402


def main(arguments: list[str]) -> int:
    """One call of the container."""
    return run(HERE, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''


@dataclass(frozen=True, slots=True)
class Built:
    """A submission that lies ready in a folder.

    Attributes:
        submission: what it was built from.
        platform: where it goes.
        job: the model with its data, cases and weights, as ``medbench run`` resolves them.
        folder: ``build/<name>``.
        manifest: what the container knows of itself.
    """

    submission: Submission
    platform: Platform
    job: Job
    folder: Path
    manifest: dict[str, Any]

    @property
    def context(self) -> Path:
        """The folder that an engine builds from."""
        return self.folder / "context"

    @property
    def app(self) -> Path:
        """What becomes ``/opt/app``."""
        return self.context / "app"

    @property
    def model_archive(self) -> Path:
        """Weights that are handed in apart."""
        return self.folder / "model.tar.gz"

    @property
    def tag(self) -> str:
        """Name of the image."""
        return f"medbench/{self.submission.name}:{__version__}"


def build_context(
    file: Path,
    *,
    data: Path | None = None,
    split: str | None = None,
    output: Path | None = None,
    progress: Progress | None = None,
) -> Built:
    """Resolve weights as ``medbench run`` does and write everything that the image is made of.

    Args:
        file: the submission's TOML.
        data: folder with a real copy; the challenge's sample if not given.
        split: the platform's, else the challenge's default if not given.
        output: folder of builds, ``build`` beside the current folder if not given.
        progress: told what happens.

    Raises:
        MedbenchError: as :func:`read_submission` and :func:`medbench.running.job.resolve`, and
            ``submission.unfit`` when the platform refuses the file.
    """
    progress = progress or SilentProgress()
    submission = read_submission(file)
    platform = load_platform(submission.platform)
    refuse(check_submission(submission, platform))
    request = Request(
        model=submission.model,
        challenge=submission.challenge,
        data=data,
        split=split or platform.split,
        weights=_weights(submission, file),
        recipe=submission.weights.recipe,
        options=dict(submission.options),
        inference=_inference(submission),
    )
    job = resolve(request, progress)
    if isinstance(job, FoldedJob):
        raise MedbenchError(
            "submission.folds",
            f"{submission.challenge}: split {job.split} takes one network a fold, a submission has one.",
            "Name one fold as the split.",
        )
    folder = (output or Path("build")) / submission.name
    shutil.rmtree(folder / "context", ignore_errors=True)
    built = Built(submission, platform, job, folder, _manifest(submission, job))
    _write_app(built, progress)
    locked = lock(needed_packages(submission.model, job.network.entry, slides=job.slide_settings is not None))
    write_json(built.context / "lock.json", locked)
    lines = requirement_lines(locked, submission.image.accelerator)
    write_text(built.context / LOCK, "\n".join(lines) + "\n")
    if submission.image.packages == "vendored":
        gather(locked, built.context / "site-packages")
    if platform.delivers == "image":
        write_text(built.context / "Dockerfile", dockerfile(built))
    for name, text in platform.files(submission).items():
        write_text(folder / name, text)
    return built


def check_submission(submission: Submission, platform: Platform) -> list[Finding]:
    """What of a submission file does not suit its platform."""
    found = list(platform.check(submission))
    if submission.weights.delivery == "mounted" and platform.model_folder is None:
        found.append(
            Finding(
                "submission.delivery",
                "error",
                f"{platform.title} mounts no weights.",
                'Set delivery = "baked" under [weights].',
            )
        )
    return found


def refuse(findings: Sequence[Finding]) -> None:
    """Stop at the first error.

    Raises:
        MedbenchError: ``submission.unfit``.
    """
    if failed(findings):
        first = next(finding for finding in findings if finding.severity == "error")
        raise MedbenchError("submission.unfit", f"{first.message} ({first.rule})", first.advice)


def dockerfile(built: Built) -> str:
    """The Dockerfile: packages in a first stage, code and weights in the second, no root, exec form."""
    submission, platform = built.submission, built.platform
    image = submission.image
    base = image.base or python_image()
    base += f"@{image.digest}" if image.digest else ""
    index = image.torch_index or TORCH_INDEX[image.accelerator]
    lines = package_lines(base, image.packages, index)
    lines += [
        *user_lines(),
        f"COPY app {APP}",
        f"WORKDIR {APP}",
        *(f"LABEL {name}={json.dumps(value)}" for name, value in labels(built).items()),
        f"USER {USER}:{USER}",
        f"ENTRYPOINT {json.dumps(list(platform.entrypoint(submission)))}",
    ]
    arguments = list(platform.default_arguments(submission))
    lines += [f"CMD {json.dumps(arguments)}"] if arguments else []
    return "\n".join(lines) + "\n"


def package_lines(base: str, packages: Packages, torch_index: str | None) -> list[str]:
    """A Dockerfile up to where its last stage has the packages.

    Args:
        base: image of every stage.
        packages: ``index``: pip installs the context's lock; ``vendored``: its ``site-packages`` are
            copied; ``base``: the base has them.
        torch_index: where pip looks for torch too; ``None`` where it is not needed.
    """
    lines = [f"FROM --platform=linux/amd64 {base} AS base", ""]
    if packages == "index":
        extra = f"--extra-index-url {torch_index} " if torch_index else ""
        lines += [
            "FROM base AS packages",
            f"COPY {LOCK} /build/{LOCK}",
            "RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --no-compile "
            f"{extra}--requirement /build/{LOCK}",
            "",
        ]
    lines += ["FROM base"]
    if packages == "index":
        lines += ["COPY --from=packages /opt/venv /opt/venv", "ENV PATH=/opt/venv/bin:$PATH"]
    if packages == "vendored":
        lines += ["COPY site-packages /opt/site-packages", "ENV PYTHONPATH=/opt/site-packages"]
    return lines


def python_image() -> str:
    """The official Python image of the version that was tested here."""
    return f"docker.io/library/python:{machine.python_version()}-slim-bookworm"


def user_lines() -> list[str]:
    """Lines of a Dockerfile that make the user, with nothing but Python, and its environment."""
    user = f"user:x:{USER}:{USER}::/home/user:/usr/sbin/nologin"
    return [
        "RUN python -c \"import os; os.makedirs('/home/user', exist_ok=True); "
        f"os.chown('/home/user', {USER}, {USER}); "
        f"open('/etc/passwd', 'a').write('{user}\\n'); "
        f"open('/etc/group', 'a').write('user:x:{USER}:\\n')\"",
        "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/home/user MEDBENCH_CACHE=/tmp/medbench "
        "MPLCONFIGDIR=/tmp/matplotlib",
    ]


def labels(built: Built) -> dict[str, str]:
    """Labels of the image: what the platform reads, and where model and weights come from."""
    manifest = built.manifest
    return {
        **built.platform.image_labels(built.submission),
        "org.opencontainers.image.title": built.submission.name,
        "org.opencontainers.image.authors": built.submission.author,
        "org.opencontainers.image.licenses": built.submission.image.licence,
        "org.opencontainers.image.version": manifest["medbench_version"],
        "org.opencontainers.image.revision": manifest["medbench_commit"] or "unknown",
        "medbench.challenge": built.submission.challenge,
        "medbench.model": built.submission.model,
        "medbench.weights.sha256": manifest["weights_sha256"] or "none",
    }


def _weights(submission: Submission, file: Path) -> str:
    named = submission.weights.file
    if named in ("auto", "none"):
        return named
    path = Path(os.path.expanduser(named))
    return str(path if path.is_absolute() else file.parent / path)


def _inference(submission: Submission) -> Inference:
    return Inference("cpu", **submission.inference.model_dump())


def _manifest(submission: Submission, job: Job) -> dict[str, Any]:
    commit, changed = git_state()
    return {
        "submission": submission.model_dump(mode="json"),
        "weights_sha256": job.setup.weights.sha256,
        "seed": job.request.seed,
        "data": job.data.kind,
        "medbench_version": __version__,
        "medbench_commit": f"{commit}{'-dirty' if changed else ''}" if commit else None,
    }


def _write_app(built: Built, progress: Progress) -> None:
    app = built.app
    if built.platform.delivers == "image":
        copy_package(app / "medbench", "container")
        write_text(app / "inference.py", _ENTRY)
    for name, text in built.platform.app_files(built.submission).items():
        write_text(app / name, text)
    write_json(app / MANIFEST, built.manifest)
    built.model_archive.unlink(missing_ok=True)
    if built.platform.delivers != "image":
        built.platform.write_bundle(built.job, app / "bundle", progress)
        return
    if built.job.weights is None:
        return
    if built.submission.weights.delivery == "baked":
        (app / "model").mkdir()
        shutil.copyfile(built.job.weights, app / "model" / WEIGHTS)
        (app / "model" / WEIGHTS).chmod(0o644)
        return
    with tarfile.open(built.model_archive, "w:gz") as archive:
        archive.add(built.job.weights, arcname=WEIGHTS, filter=anonymous)


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whoever packs it: no owner, no time."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode, member.mtime = 0o644, 0
    return member
