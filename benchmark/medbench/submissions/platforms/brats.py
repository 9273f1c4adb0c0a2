"""BraTS: the MLCube of 2023 and 2024, the plain docker from 2025 on, MedPerf's container, and Synapse.

One image answers all of them: without arguments it reads ``/input`` and writes ``/output``; ``infer`` takes
the folders as options. Sources: BrainLesion/BraTS@6c3fb6b, mlcommons/medperf@5f3c4c4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.submissions.description import GIGABYTE, Submission
from medbench.submissions.limits import Limits
from medbench.submissions.platforms.base import ImageRules, Mount, Variant
from medbench.submissions.platforms.folders import FolderPlatform

if TYPE_CHECKING:
    from medbench.submissions.serving.session import Session

ADDITIONAL = "--additional_files"
_IGNORED = ("--parameters_file",)
_CUBE = """\
name: {name}
description: {model} on {challenge}
authors:
  - {{name: "{author}"}}
platform: {{accelerator_count: {gpus}}}
docker:
  image: {image}
  build_context: "context"
  build_file: "Dockerfile"
tasks:
  infer:
    parameters:
      inputs: {{data_path: data/, parameters_file: parameters.yaml, additional_files: additional_files/}}
      outputs: {{output_path: {{type: directory, default: predictions}}}}
"""
_CONTAINER = """\
container_type: DockerImage
image: {image}
tasks:
  infer:
    run_args:
      command:
        - infer
        - --data_path=/mlcommons/volumes/data
        - --output_path=/mlcommons/volumes/predictions
        - --additional_files=/mlcommons/volumes/additional_files
    input_volumes:
      data_path: {{mount_path: /mlcommons/volumes/data, type: directory}}
      parameters: {{mount_path: /mlcommons/volumes/parameters/parameters_file.yaml, type: file}}
      additional_files: {{mount_path: /mlcommons/volumes/additional_files, type: directory}}
    output_volumes:
      predictions: {{mount_path: /mlcommons/volumes/predictions, type: directory}}
"""


class BraTSDocker(FolderPlatform):
    """From 2025 on: a folder a case in ``/input``, ``/output/<case>.nii.gz``, no arguments."""

    name = "brats-docker"
    title = "BraTS docker (2025 on)"
    challenges: ClassVar[Sequence[str]] = ("brats2025*",)
    served_split = "all"
    limits = Limits(memory_bytes=32 * GIGABYTE, shared_memory_bytes=4 << 30)
    source = "BrainLesion/BraTS@6c3fb6b"

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
        """Weights may come among the additional files."""
        extra = parse_options(arguments).get(ADDITIONAL)
        if extra is not None:
            session.model_folders.append(session.roots(extra))
        super().serve(session, arguments)

    def steps(self, submission: Submission) -> Sequence[str]:
        """Pushing the image to Synapse."""
        return synapse_steps(submission)


class BraTSMLCube(BraTSDocker):
    """2023 and 2024: ``infer --data_path=… --output_path=…``, everything mounted writable."""

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
    rules = ImageRules(
        reserved_paths=("/mlcube_io0", "/mlcube_io1", "/mlcube_io2", "/mlcube_io3", "/tmp")  # noqa: S108
    )
    source = "BrainLesion/BraTS@6c3fb6b, mlcommons/medperf@5f3c4c4"

    def variants(self, submission: Submission) -> Sequence[Variant]:
        """With and without a file of parameters."""
        call = ("infer", "--data_path=/mlcube_io0", "--output_path=/mlcube_io2", f"{ADDITIONAL}=/mlcube_io1")
        return (Variant("infer", (*call, "--parameters_file=/mlcube_io3/parameters.yaml")),)

    def files(self, submission: Submission) -> Mapping[str, str]:
        """``mlcube.yaml`` and the empty parameters that it names."""
        return {"mlcube.yaml": _filled(_CUBE, submission), "parameters.yaml": "{}\n"}

    def steps(self, submission: Submission) -> Sequence[str]:
        """Pushing the image, and a tarball of the cube."""
        return (
            *synapse_steps(submission)[:-1],
            "tar -czf mlcube.tar.gz mlcube.yaml parameters.yaml, and additional_files.tar.gz if there is one",
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
        Mount("/mlcommons/volumes/additional_files", "model"),
        Mount("/mlcommons/volumes/predictions", "output", True),
    )
    rules = ImageRules(reserved_paths=("/mlcommons", "/tmp"))  # noqa: S108
    source = "mlcommons/medperf@5f3c4c4"

    def variants(self, submission: Submission) -> Sequence[Variant]:
        """The command of the configuration."""
        folders = f"--data_path={self.input_folder}", f"--output_path={self.output_folder}"
        return (Variant("infer", ("infer", *folders, f"{ADDITIONAL}={self.model_folder}")),)

    def files(self, submission: Submission) -> Mapping[str, str]:
        """``container_config.yaml`` and ``parameters_file.yaml``."""
        return {
            "container_config.yaml": _filled(_CONTAINER, submission),
            "parameters_file.yaml": "{}\n",
        }

    def steps(self, submission: Submission) -> Sequence[str]:
        """Registering a model."""
        return (
            *synapse_steps(submission)[:2],
            "docker push the image to a registry that the data owners reach.",
            "medperf container submit --name NAME --container-config-file container_config.yaml "
            "--parameters-file parameters_file.yaml",
            "Ask for its association with the benchmark: medperf model associate.",
        )


class SynapseDocker(BraTSDocker):
    """An image in a Synapse project, handed in to an evaluation queue; mounts as of BraTS 2025."""

    name = "synapse-docker"
    title = "Synapse docker"
    challenges: ClassVar[Sequence[str]] = ()
    source = "the Synapse documentation; mounts and limits are per challenge"


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


def synapse_steps(submission: Submission) -> Sequence[str]:
    """Pushing an image to a Synapse project."""
    registry = submission.registry or "docker.synapse.org/synPROJECT"
    return (
        f"docker load --input {submission.name}.tar.gz",
        f"docker tag medbench/{submission.name} {registry}/{submission.name}:1",
        "docker login docker.synapse.org, with a personal access token as the password",
        f"docker push {registry}/{submission.name}:1",
        "On the project's Docker tab choose the image, then Submit to Challenge, and the task's queue.",
    )


def _filled(text: str, submission: Submission) -> str:
    registry = submission.registry or "docker.synapse.org/synPROJECT"
    return text.format(
        name=submission.name,
        model=submission.model,
        challenge=submission.challenge,
        author=submission.author or "unknown",
        gpus=int(submission.image.accelerator == "cuda"),
        image=f"{registry}/{submission.name}:1",
    )


def _unknown(word: str) -> MedbenchError:
    return MedbenchError(
        "arguments.unknown",
        f"'{word}' is not understood.",
        "Call it without arguments, or as infer --data_path=FOLDER --output_path=FOLDER.",
    )
