"""BraTS: the MLCube of 2023 and 2024, the plain docker from 2025 on, MedPerf's container, and Synapse.

One image answers all of them: without arguments it reads ``/input`` and writes ``/output``; ``infer`` takes
the folders as options. Sources: BrainLesion/BraTS@6c3fb6b, mlcommons/medperf@5f3c4c4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.submissions.description import GIGABYTE, Submission
from medbench.submissions.limits import Limits
from medbench.submissions.platforms.base import ImageRules, Mount, RunsAs, SavedArchive, Variant
from medbench.submissions.platforms.folders import FolderPlatform
from medbench.submissions.platforms.registries import pushed_image, pushing_steps

if TYPE_CHECKING:
    from medbench.challenges.base import Challenge
    from medbench.submissions.serving.session import Session

ADDITIONAL = "--additional_files"
_DOCKERS_SHARED_MEMORY = 64 << 20
"""Size of ``/dev/shm`` where ``docker run`` is not told another."""
_IGNORED = ("--parameters_file",)
_CUBE = """\
name: {name}
description: {description}
authors:
  - {{name: {author}}}
platform: {{accelerator_count: {gpus}}}
docker:
  image: {image}
  gpu_args: "--gpus=all"
tasks:
  infer:
    parameters:
      inputs:
        data_path: {{type: directory, default: data}}
        parameters_file: {{type: file, default: parameters.yaml}}
        additional_files: {{type: directory, default: additional_files}}
      outputs:
        output_path: {{type: directory, default: predictions}}
"""
_CONTAINER = """\
container_type: DockerImage
image: {image}
tasks:
  infer:
    run_args:{gpu_option}
      command:
        - infer
        - --data_path=/mlcommons/volumes/data
        - --output_path=/mlcommons/volumes/predictions
        - --parameters_file=/mlcommons/volumes/parameters/parameters.yaml
        - --additional_files=/mlcommons/volumes/additional_files
    input_volumes:
      data_path: {{mount_path: /mlcommons/volumes/data, type: directory}}
      parameters_file: {{mount_path: /mlcommons/volumes/parameters/parameters.yaml, type: file}}
      additional_files: {{mount_path: /mlcommons/volumes/additional_files, type: directory}}
    output_volumes:
      output_path: {{mount_path: /mlcommons/volumes/predictions, type: directory}}
"""


class BraTSDocker(FolderPlatform):
    """BraTS from 2025 on: reads one folder per case in ``/input``, writes ``/output/<case>.nii.gz``."""

    name = "brats-docker"
    title = "BraTS docker (2025 on)"
    challenges: ClassVar[Sequence[str]] = ("brats2025*",)
    served_split = "all"
    limits = Limits(memory_bytes=32 * GIGABYTE, shared_memory_bytes=4 << 30)
    rules = ImageRules(non_root=False)
    runs_as: ClassVar[Sequence[RunsAs]] = ("caller", "root")
    needs_registry = True
    source = "BrainLesion/BraTS@6c3fb6b; its package brats 0.1.14 for the caller's user"

    def reads(self, challenge: Challenge) -> bool:
        """Whether the challenge is BraTS, of whatever year."""
        return challenge.name.startswith("brats")

    def place(self, case: Case, file: Path) -> Path:
        """``<case>/<case>-t1c.nii.gz``."""
        return Path(case.id, file.name)

    def folders(self, arguments: Sequence[str]) -> tuple[str, str]:
        """``/input`` and ``/output``, or what ``infer --data_path=… --output_path=…`` says.

        Raises:
            MedbenchError: ``arguments.unknown`` or ``arguments.missing``.
        """
        options = parse_options(arguments)
        if not arguments:
            return "/input", "/output"
        for name in ("--data_path", "--output_path"):
            if name not in options:
                raise MedbenchError("arguments.missing", f"infer needs {name}=FOLDER.", "Give the folder.")
        return options["--data_path"], options["--output_path"]

    def serve(self, session: Session, arguments: Sequence[str]) -> None:
        """Predict every case; weights may be mounted among the additional files."""
        extra = parse_options(arguments).get(ADDITIONAL)
        if extra is not None:
            session.model_folders.append(session.roots(extra))
        super().serve(session, arguments)

    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """Steps that push the image to Synapse."""
        return synapse_steps(submission, archive)


class BraTSMLCube(BraTSDocker):
    """BraTS 2023 and 2024: ``infer --data_path=… --output_path=…``, every folder mounted writable."""

    name = "brats-mlcube"
    title = "BraTS MLCube (2023, 2024)"
    challenges: ClassVar[Sequence[str]] = ("brats2023*", "brats2024*")
    input_folder, output_folder = "/mlcube_io0", "/mlcube_io2"
    model_folder = "/mlcube_io1"
    mounts: ClassVar[Sequence[Mount]] = (
        Mount("/mlcube_io0", "input", True),
        Mount("/mlcube_io1", "model", True),
        Mount("/mlcube_io2", "output", True),
        Mount("/mlcube_io3", "scratch", True),
    )
    unpacked_model: ClassVar[str | None] = "workspace/additional_files"
    rules = ImageRules(
        non_root=False,
        reserved_paths=("/mlcube_io0", "/mlcube_io1", "/mlcube_io2", "/mlcube_io3", "/tmp"),  # noqa: S108
    )
    source = "BrainLesion/BraTS@6c3fb6b; mlcube and mlcube-docker 0.0.9; mlcommons/medperf@5f3c4c4"

    def variants(self, submission: Submission) -> Sequence[Variant]:
        """Calls with and without a file of parameters."""
        call = ("infer", "--data_path=/mlcube_io0", "--output_path=/mlcube_io2", f"{ADDITIONAL}=/mlcube_io1")
        return (Variant("infer", (*call, "--parameters_file=/mlcube_io3/parameters.yaml")),)

    def files(self, submission: Submission) -> Mapping[str, str]:
        """``mlcube.yaml`` and its workspace with an empty file of parameters."""
        return {
            "mlcube.yaml": _filled(_CUBE, submission),
            "workspace/parameters.yaml": "{}\n",
        }

    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """Steps that push the image, try the cube, and pack it."""
        folder = archive.path.parent
        return (
            *pushing_steps(submission, archive),
            "Try the cube on a folder of cases, by full paths:",
            f"mlcube run --mlcube={folder} --task=infer data_path=DATA output_path=PREDICTIONS",
            f"tar -czf mlcube.tar.gz -C {folder} mlcube.yaml workspace",
            "Hand the tarball in to the task's evaluation queue on Synapse.",
        )


class MedPerf(BraTSMLCube):
    """MedPerf's container, described by ``container_config.yaml``."""

    name = "medperf"
    title = "MedPerf container"
    challenges: ClassVar[Sequence[str]] = ("brats2023*", "brats2024*", "brats2025*")
    input_folder, output_folder = "/mlcommons/volumes/data", "/mlcommons/volumes/predictions"
    model_folder = "/mlcommons/volumes/additional_files"
    mounts: ClassVar[Sequence[Mount]] = (
        Mount("/mlcommons/volumes/data", "input"),
        Mount("/mlcommons/volumes/parameters", "input"),
        Mount("/mlcommons/volumes/additional_files", "model"),
        Mount("/mlcommons/volumes/predictions", "output", True),
    )
    unpacked_model = None
    limits = Limits(memory_bytes=32 * GIGABYTE, shared_memory_bytes=_DOCKERS_SHARED_MEMORY)
    rules = ImageRules(reserved_paths=("/mlcommons", "/tmp"))  # noqa: S108
    runs_as = ("caller",)
    source = "mlcommons/medperf@5f3c4c4; its container_execution.py and cube.py for the volumes' names"

    def variants(self, submission: Submission) -> Sequence[Variant]:
        """The call that ``container_config.yaml`` describes."""
        folders = f"--data_path={self.input_folder}", f"--output_path={self.output_folder}"
        parameters = "--parameters_file=/mlcommons/volumes/parameters/parameters.yaml"
        return (Variant("infer", ("infer", *folders, parameters, f"{ADDITIONAL}={self.model_folder}")),)

    def files(self, submission: Submission) -> Mapping[str, str]:
        """``container_config.yaml`` and ``parameters.yaml``."""
        return {"container_config.yaml": _filled(_CONTAINER, submission), "parameters.yaml": "{}\n"}

    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """Steps that register a model at MedPerf and ask for its place in a benchmark."""
        folder = archive.path.parent
        is_apart = submission.weights.delivery == "mounted"
        hosting = f"Host {folder}/model.tar.gz where MedPerf can download it, and put its address for URL:"
        return (
            *pushing_steps(submission, archive),
            *([hosting] if is_apart else []),
            f"medperf model submit --name {submission.name} "
            f"--container-config-file {folder}/container_config.yaml "
            f"--parameters-file {folder}/parameters.yaml "
            f"{'--additional-file URL ' if is_apart else ''}--operational",
            "With the numbers that medperf benchmark ls and medperf model ls --mine show:",
            "medperf model associate --benchmark BENCHMARK --model_uid MODEL",
        )


class SynapseDocker(BraTSDocker):
    """An image in a Synapse project, submitted to an evaluation queue; mounts as in BraTS 2025."""

    name = "synapse-docker"
    title = "Synapse docker"
    challenges: ClassVar[Sequence[str]] = ()
    limits = Limits(memory_bytes=32 * GIGABYTE, shared_memory_bytes=_DOCKERS_SHARED_MEMORY)
    runs_as = ("root",)
    source = "the Synapse documentation; vpchung/nf-synapse-challenge for the user; the rest is per challenge"

    def reads(self, challenge: Challenge) -> bool:
        """Always: what a queue hands over is a matter of its challenge."""
        return True


def parse_options(arguments: Sequence[str]) -> dict[str, str]:
    """Options of ``infer`` as name -> value, given as ``--name=value`` or ``--name value``.

    >>> parse_options(["infer", "--data_path=/a", "--output_path", "/b"])
    {'--data_path': '/a', '--output_path': '/b'}

    Raises:
        MedbenchError: ``arguments.unknown``.
    """
    if not arguments:
        return {}
    names = ("--data_path", "--output_path", ADDITIONAL, *_IGNORED)
    options: dict[str, str] = {}
    words = list(arguments[1:])
    while words:
        name, _, value = words.pop(0).partition("=")
        if name not in names or not (value or words):
            raise _unknown(name)
        options[name] = value or words.pop(0)
    if arguments[0] != "infer":
        raise _unknown(arguments[0])
    return options


def synapse_steps(submission: Submission, archive: SavedArchive) -> Sequence[str]:
    """Steps that push an image to a Synapse project and submit it."""
    return (
        *pushing_steps(submission, archive),
        "On the project's Docker tab choose the image, then Submit to Challenge, and the task's queue.",
    )


def _filled(text: str, submission: Submission) -> str:
    return text.format(
        name=submission.name,
        description=_quoted(f"{submission.model} on {submission.challenge}"),
        author=_quoted(submission.author or "unknown"),
        gpus=int(submission.image.accelerator == "cuda"),
        image=pushed_image(submission),
        gpu_option="\n      gpus: all" if submission.image.accelerator == "cuda" else "",
    )


def _quoted(text: str) -> str:
    """A text of a YAML file, whatever its letters."""
    return json.dumps(text, ensure_ascii=False)


def _unknown(word: str) -> MedbenchError:
    return MedbenchError(
        "arguments.unknown",
        f"'{word}' is not understood.",
        "Call it without arguments, or as infer --data_path=FOLDER --output_path=FOLDER.",
    )
