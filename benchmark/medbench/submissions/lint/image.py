"""The linter of images and their contexts: faults that a platform refuses, with cause and fix."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from medbench.core.text import counted
from medbench.submissions.build.locking import LOCK
from medbench.submissions.containers.archives import ImageFacts
from medbench.submissions.description import Submission
from medbench.submissions.findings import Finding, error, note, warning
from medbench.submissions.lint.bundle_reading import read_bundle
from medbench.submissions.platforms.base import Platform
from medbench.submissions.serving.session import MANIFEST, WEIGHTS

SHELLS = ("sh", "bash", "dash", "ash", "zsh")
ALWAYS_RESERVED_VARIABLES = ("LD_PRELOAD",)
_ROOT_USERS = ("", "root", "0")
_APP = "opt/app"


def lint_context(context: Path, submission: Submission, platform: Platform) -> list[Finding]:
    """Findings on a build context: its Dockerfile, its manifest, its weights."""
    findings: list[Finding] = []
    if platform.delivers == "image":
        findings += lint_dockerfile(
            (context / "Dockerfile").read_text(encoding="utf-8"), submission, platform
        )
    app = context / "app"
    if not (app / MANIFEST).is_file():
        findings.append(
            error(
                "context.manifest", f"{app}: has no {MANIFEST}.", "Build again: medbench submit build FILE."
            )
        )
        return findings
    manifest = json.loads((app / MANIFEST).read_text(encoding="utf-8"))
    if manifest["submission"] != submission.image_facts():
        findings.append(
            error(
                "context.stale",
                f"{context}: was built from another version of the submission file.",
                "Build again: medbench submit build FILE.",
            )
        )
    weights_sha256 = manifest["weights_sha256"]
    if weights_sha256 is None:
        findings.append(
            warning(
                "weights.none",
                "The submission has no weights: the network keeps its random start.",
                'Set file under [weights], or train: "auto" takes what medbench train left.',
            )
        )
    elif submission.weights.delivery == "baked" and platform.delivers == "image":
        findings += _baked(app / "model" / WEIGHTS, weights_sha256)
    if manifest.get("data") == "sample" and submission.weights.file == "auto":
        findings.append(
            warning(
                "weights.sample",
                "The weights were fitted to synthetic cases and mean nothing on real ones.",
                "Train on the challenge's data: medbench train --data DIR, then build with --data DIR.",
            )
        )
    if submission.image.packages == "index":
        findings += lint_lock(context / LOCK)
    return findings


def lint_bundle(path: Path, platform: Platform) -> list[Finding]:
    """Findings on a bundle: it is a flat zip that holds the platform's required files."""
    bundle = read_bundle(path, lambda name: False, "Save it again.")
    if isinstance(bundle, Finding):
        return [bundle]
    names, findings = list(bundle.sizes), []
    in_folders = [name for name in names if "/" in name]
    if in_folders:
        findings.append(
            error(
                "bundle.flat",
                f"{path}: {in_folders[0]} lies in a folder.",
                "Pack the files, not their folder.",
            )
        )
    findings += [
        error("bundle.missing", f"{path}: has no {name}.", "Save it again: medbench submit save FILE.")
        for name in platform.bundle_files
        if name not in names
    ]
    return findings


def _baked(path: Path, sha256: str) -> Iterator[Finding]:
    from medbench.core.files import sha256_file

    if not path.is_file():
        yield error("weights.missing", f"{path}: the weights are missing.", "Build again.")
    elif sha256_file(path) != sha256:
        yield error("weights.other", f"{path}: are not the weights of the manifest.", "Build again.")


def lint_lock(path: Path) -> Iterator[Finding]:
    """Findings on a lock: every package is pinned to one version."""
    lines = path.read_text(encoding="utf-8").split() if path.is_file() else []
    loose = [line for line in lines if "==" not in line]
    if not lines or loose:
        yield error(
            "lock.loose",
            f"{path}: {', '.join(loose[:3]) or 'nothing'} is not pinned to one version.",
            "Pin every package with ==.",
        )


def lint_dockerfile(text: str, submission: Submission, platform: Platform) -> Iterator[Finding]:
    """Findings on a submission's Dockerfile."""
    yield from lint_instructions(text, platform)
    steps = _instructions(text)
    last = [index for index, (name, _) in enumerate(steps) if name == "FROM"]
    if last:
        yield from _label_rules(_labels(steps[last[-1] :]), submission, platform)


def lint_instructions(text: str, platform: Platform) -> Iterator[Finding]:
    """Findings on the instructions of any Dockerfile, its labels left out."""
    steps = _instructions(text)
    last = [index for index, (name, _) in enumerate(steps) if name == "FROM"]
    if not last:
        yield error("dockerfile.from", "The Dockerfile has no FROM.", "Build again.")
        return
    final = steps[last[-1] :]
    users = [argument for name, argument in final if name == "USER"]
    yield from _user_rule(users[-1] if users else "", platform, "The Dockerfile's last stage")
    for name, argument in steps:
        yield from _instruction_rules(name, argument, platform)
    entries = [argument for name, argument in final if name == "ENTRYPOINT"]
    if not entries:
        yield error("image.entrypoint", "The Dockerfile sets no ENTRYPOINT.", "Set it in exec form.")
    bases = [shlex.split(argument) for name, argument in steps if name == "FROM"]
    stages = {words[-1] for words in bases if len(words) > 2 and words[-2].upper() == "AS"}
    for words in bases:
        image = next(word for word in words if not word.startswith("--"))
        if image in stages or image == "scratch":
            continue
        if "--platform=linux/amd64" not in words:
            yield error(
                "image.architecture",
                f"FROM {image} names no platform: built on an ARM machine it becomes an ARM image.",
                "Write FROM --platform=linux/amd64.",
            )
        if "@sha256:" not in image:
            tag = image.rpartition("/")[2].partition(":")[2]
            if tag in ("", "latest"):
                yield error(
                    "image.base",
                    f"FROM {image} names no fixed version.",
                    "Give the base image a version tag.",
                )
            else:
                yield note("image.digest", f"FROM {image} is not pinned by digest.", "Set digest in [image].")


def _instruction_rules(name: str, argument: str, platform: Platform) -> Iterator[Finding]:
    if name in ("ENTRYPOINT", "CMD") and not argument.startswith("["):
        yield error(
            "image.entrypoint",
            f"{name} {argument} is in shell form: signals do not reach the program, and platforms refuse it.",
            f'Write {name} ["python", "…"].',
        )
    if name == "ADD" and re.search(r"https?://", argument):
        yield error("image.add", f"ADD {argument} downloads while it builds.", "COPY a file that is here.")
    if name in ("COPY", "ADD"):
        target = shlex.split(argument)[-1]
        for folder in _reserved([target], platform):
            yield error(
                "image.reserved_path",
                f"{name} … {target} puts files under {folder}, where the platform mounts its own.",
                "Put them under /opt/app.",
            )
    if name == "RUN" and "pip install" in argument and "--no-cache-dir" not in argument:
        yield warning("image.pip_cache", "pip leaves its cache in the image.", "Add --no-cache-dir.")
    if name == "ENV":
        words = shlex.split(argument)
        legacy = words[:1] if words and "=" not in words[0] else []  # ENV NAME VALUE
        names = legacy or [word.partition("=")[0] for word in words if "=" in word]
        yield from _variable_rules(names, platform)


def lint_archive(
    image: ImageFacts, submission: Submission, platform: Platform, weights_sha256: str | None = None
) -> list[Finding]:
    """Findings on a saved image; ``weights_sha256`` is the hash of the weights it should hold."""
    return [
        *lint_upload(image, platform),
        *_upload_rules(image, submission, platform),
        *_file_rules(image, submission, platform),
        *_label_rules(image.labels, submission, platform),
        *_weights_label(image, weights_sha256),
    ]


def lint_upload(image: ImageFacts, platform: Platform) -> Iterator[Finding]:
    """Findings on any saved image, whatever its contents."""
    yield from _archive_rules(image, platform)
    yield from _user_rule(image.user, platform, "The image")
    yield from _entry_rules(image)
    yield from _variable_rules(image.environment, platform)


def _upload_rules(image: ImageFacts, submission: Submission, platform: Platform) -> Iterator[Finding]:
    if platform.rules.distinct and image.image_id in submission.uploaded:
        yield error(
            "image.duplicate",
            f"The platform already has this very image ({image.image_id[:19]}…) and refuses it twice.",
            "Choose the container that is there, or build another: medbench submit build FILE --stamp TEXT.",
        )


def _archive_rules(image: ImageFacts, platform: Platform) -> Iterator[Finding]:
    rules = platform.rules
    if image.format not in rules.formats:
        yield error(
            "archive.format",
            f"The archive is an {image.format}; {platform.title} reads {' or '.join(rules.formats)}.",
            "Save it with docker save, or podman save --format docker-archive.",
        )
    if image.compression not in rules.compressions:
        yield error(
            "archive.compression",
            f"The archive is packed by {image.compression}; {platform.title} takes "
            f"{', '.join(rules.compressions)}.",
            "Pack it with gzip.",
        )
    if image.images != 1:
        yield error(
            "archive.images",
            f"The archive holds {counted(image.images, 'image')}, expected one.",
            "Save one image alone.",
        )
    if (image.system, image.architecture) != ("linux", "amd64"):
        yield error(
            "image.architecture",
            f"The image is for {image.system}/{image.architecture}, expected linux/amd64.",
            "Build it with --platform linux/amd64.",
        )
    limit = platform.limits.image_bytes
    if limit is not None and image.image_bytes > limit:
        yield error(
            "image.size",
            f"The image has {image.image_bytes / 1e9:.2f} GB, {limit / 1e9:g} GB is the limit.",
            'Use accelerator = "cpu", upload weights apart, or leave packages out.',
        )
    elif limit is not None and image.image_bytes > 0.7 * limit:
        yield warning(
            "image.size",
            f"The image has {image.image_bytes / 1e9:.2f} GB: {image.image_bytes / limit:.0%} of the limit.",
            'Use accelerator = "cpu", upload weights apart, or leave packages out.',
        )


def _user_rule(user: str, platform: Platform, what: str) -> Iterator[Finding]:
    is_root = user.partition(":")[0] in _ROOT_USERS
    text = f"{what} runs as {user or 'the default user, root'}"
    if is_root and platform.rules.non_root:
        yield error("image.user", f"{text}; {platform.title} refuses that.", "Set USER 10001:10001.")
    elif is_root and "root" not in platform.runs_as:
        yield warning("image.user", f"{text}.", "Set USER 10001:10001; nothing here needs root.")
    elif not is_root and "root" in platform.runs_as:
        yield error(
            "image.user",
            f"{text}, who cannot write the output folder: {platform.title} keeps the image's user, and the "
            "folder belongs to the user who starts the program, mode 0755.",
            "Set USER 0:0.",
        )


def _entry_rules(image: ImageFacts) -> Iterator[Finding]:
    whole = (*image.entrypoint, *image.command)
    if not whole:
        yield error("image.entrypoint", "The image has neither entrypoint nor command.", "Set ENTRYPOINT.")
    elif whole[0].rpartition("/")[2] in SHELLS and "-c" in whole[1:2]:
        yield error(
            "image.entrypoint",
            f"The entrypoint is a shell's line ({' '.join(whole[2:])}), not in exec form.",
            'Write ENTRYPOINT ["python", "/opt/app/inference.py"].',
        )


def _variable_rules(names: Iterable[str], platform: Platform) -> Iterator[Finding]:
    prefixes = (*platform.rules.reserved_variables, *ALWAYS_RESERVED_VARIABLES)
    for name in names:
        if name.startswith(prefixes):
            yield error(
                "image.reserved_variable",
                f"The variable {name} is the platform's own and is removed or replaced.",
                "Rename it.",
            )


def _file_rules(image: ImageFacts, submission: Submission, platform: Platform) -> Iterator[Finding]:
    paths = [f"/{name}" for name, size in image.files.items() if size]
    for folder in _reserved(paths, platform):
        example = next(name for name in paths if name == folder or name.startswith(f"{folder}/"))
        yield error(
            "image.reserved_path",
            f"{example}: files under {folder} vanish, as the platform mounts its own there.",
            "Put them under /opt/app.",
        )
    weights_file = f"{_APP}/model/{WEIGHTS}"
    if (
        submission.weights.delivery == "baked"
        and submission.weights.file != "none"
        and weights_file not in image.files
    ):
        yield error(
            "weights.missing",
            f"/{weights_file} is not in the image.",
            'Build again, or set delivery = "mounted" and upload model.tar.gz.',
        )
    if f"{_APP}/{MANIFEST}" not in image.files:
        yield error(
            "image.manifest", f"/{_APP}/{MANIFEST} is not in the image.", "Build it from the context."
        )
    caches = [name for name in image.files if "/.cache/pip/" in f"/{name}"]
    if caches:
        yield warning("image.pip_cache", f"/{caches[0]}: pip left its cache.", "Add --no-cache-dir.")


def _label_rules(labels: object, submission: Submission, platform: Platform) -> Iterator[Finding]:
    values = dict(labels) if isinstance(labels, dict) else {}
    platform_labels = platform.image_labels(submission)
    for name, value in platform_labels.items():
        if values.get(name) != value:
            yield error(
                "image.label",
                f"The label {name} is {values.get(name, 'not set')}, expected {value}.",
                f"Set LABEL {name}={json.dumps(value)}.",
            )
    for name in platform.known_labels:
        if name in values and name not in platform_labels:
            yield error(
                "image.label",
                f'The label {name}={values[name]} does not fit method = "{submission.method}".',
                "Take it out, or set the method in the submission file.",
            )
    for name in ("medbench.model", "medbench.weights.sha256", "org.opencontainers.image.licenses"):
        if name not in values:
            yield warning("image.label", f"The label {name} is not set.", "Build again from the context.")


def _weights_label(image: ImageFacts, weights_sha256: str | None) -> Iterator[Finding]:
    label = image.labels.get("medbench.weights.sha256")
    if weights_sha256 is not None and label is not None and label != weights_sha256:
        yield error(
            "archive.stale",
            f"The image holds the weights {label[:12]}, this build {weights_sha256[:12]}.",
            "Save again: medbench submit save FILE.",
        )


def _reserved(paths: Iterable[str], platform: Platform) -> list[str]:
    """Reserved folders that paths lie in."""
    names = list(paths)
    return [
        folder
        for folder in platform.rules.reserved_paths
        if any(path.rstrip("/") == folder or path.startswith(f"{folder}/") for path in names)
    ]


def _instructions(text: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile with their arguments, continued lines joined."""
    whole = re.sub(r"\\\s*\n", " ", text)
    lines = [line.strip() for line in whole.splitlines()]
    return [
        (line.split(None, 1)[0].upper(), line.split(None, 1)[1] if " " in line else "")
        for line in lines
        if line and not line.startswith("#")
    ]


def _labels(steps: Iterable[tuple[str, str]]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for name, argument in steps:
        if name == "LABEL":
            labels |= dict(word.partition("=")[::2] for word in shlex.split(argument) if "=" in word)
    return labels
