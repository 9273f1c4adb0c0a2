"""Evaluation programs: their files, platform and image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medbench import __version__
from medbench.challenges.base import Challenge
from medbench.core.case import Case, Data
from medbench.core.files import write_json, write_text
from medbench.core.package import copy_package
from medbench.core.plugins import copy_plugins
from medbench.records.environment import git_state
from medbench.submissions.build.dockerfile import label_lines, package_lines, python_image
from medbench.submissions.build.locking import (
    LOCK,
    NETWORKS,
    evaluation_packages,
    gather,
    lock,
    requirement_lines,
)
from medbench.submissions.build.wheels import torch_index
from medbench.submissions.description import Packages
from medbench.submissions.platforms.base import Mount, RunsAs
from medbench.submissions.platforms.registries import image_tag
from medbench.submissions.serving.session import FACTS, PLUGINS

Host = Literal["grand-challenge", "codabench"]
HOSTS: tuple[Host, ...] = ("grand-challenge", "codabench")
TRUTH = "/opt/ml/input/data/ground_truth"
MOUNTS: Mapping[Host, Sequence[Mount]] = {
    "grand-challenge": (Mount("/input", "input"), Mount("/output", "output", True), Mount(TRUTH, "input")),
    "codabench": (
        Mount("/app/program", "input"),
        Mount("/app/input/ref", "input"),
        Mount("/app/input/res", "input"),
        Mount("/app/output", "output", True),
    ),
}
RUNS_AS: Mapping[Host, RunsAs] = {"grand-challenge": "image", "codabench": "root"}
COMMANDS: Mapping[Host, Sequence[str]] = {
    "grand-challenge": (),
    "codabench": ("python3", "/app/program/evaluate.py"),
}
TIME_S = 3600
_PROGRAM = '''"""Score what was handed in; medbench finds it by the platform's layout."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from medbench.submissions.host.serving import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run(HERE))
'''


@dataclass(frozen=True, slots=True)
class HostRequest:
    """The request for an evaluation program.

    Attributes:
        challenge: challenge name.
        platform: ``grand-challenge``: an evaluation image and ``ground_truth.tar.gz``; ``codabench``: a
            competition bundle that takes results.
        data: folder of the release; else as for ``medbench run``.
        split: split to score, with references; the challenge's default if not given.
        packages: source of the image's packages, as in a submission's ``[image]``.
        ingestion: whether participants submit programs (Codabench), which an ingestion program runs.
        registry: registry from which Codabench's workers pull the image; empty where it is not known yet.
    """

    challenge: str
    platform: Host
    data: Path | None = None
    split: str | None = None
    packages: Packages = "index"
    ingestion: bool = False
    registry: str = ""


@dataclass(frozen=True, slots=True)
class EvaluationProgram:
    """An evaluation program in a folder.

    Attributes:
        request: the request.
        challenge: challenge of the scoring.
        split: split to score.
        data: folder of the references, the release or the synthetic sample.
        cases: cases of the split.
        folder: ``build/<challenge>-evaluation-<platform>``, with ``-synthetic`` for the sample.
    """

    request: HostRequest
    challenge: Challenge
    split: str
    data: Data
    cases: Sequence[Case]
    folder: Path

    @property
    def root(self) -> Path:
        """Folder of the references."""
        return self.data.root

    @property
    def is_synthetic(self) -> bool:
        """Whether the program scores the synthetic sample, which says nothing about a real phase."""
        return self.data.kind == "sample"

    @property
    def platform(self) -> Host:
        """Platform of the program."""
        return self.request.platform

    @property
    def program(self) -> Path:
        """Folder of the program: of the image's ``/opt/app``, or Codabench's ``/app/program``."""
        place = {"grand-challenge": "context/app", "codabench": "bundle/scoring_program"}
        return self.folder / place[self.platform]

    @property
    def image(self) -> Path:
        """Folder that the image is built from: with the program, or, for Codabench, what it runs in."""
        return self.folder / ("context" if self.platform == "grand-challenge" else "image")

    @property
    def tag(self) -> str:
        """Name of the image, as an engine builds it here."""
        return image_tag(self.folder.name)

    @property
    def pushed_tag(self) -> str:
        """Name of the image in its registry, or here where none is given."""
        registry = self.request.registry
        return f"{registry}/{self.folder.name}:{__version__}" if registry else self.tag

    @property
    def archive(self) -> Path:
        """Path of the upload: the saved image, or Codabench's bundle."""
        suffix = ".tar.gz" if self.platform == "grand-challenge" else ".zip"
        return self.folder / f"{self.folder.name}{suffix}"

    @property
    def truth(self) -> Path:
        """Path of the uploaded ground truth."""
        return self.folder / "ground_truth.tar.gz"

    @property
    def files(self) -> list[Path]:
        """Files that the scoring reads: inputs and references of the cases, and tables of the release."""
        of_cases = {path for case in self.cases for path in case.files}
        tables = [path for path in sorted(self.root.glob("*")) if path.is_file() and path not in of_cases]
        return [*sorted(of_cases), *tables]

    def packages(self) -> dict[str, str]:
        """Name -> version of the program's packages, torch included where participants submit programs."""
        scoring = evaluation_packages(slides=self.challenge.card.slide_settings is not None)
        return lock([*scoring, *(NETWORKS if self.request.ingestion else ())])


def write_program(evaluation: EvaluationProgram) -> None:
    """Write the code of the scoring, and ``evaluation.json`` with challenge and split."""
    copy_package(evaluation.program / "medbench", "evaluation")
    copy_plugins(evaluation.program / PLUGINS)
    write_text(evaluation.program / "evaluate.py", _PROGRAM)
    commit, is_dirty = git_state()
    facts = {
        "challenge": evaluation.challenge.name,
        "split": evaluation.split,
        "platform": evaluation.platform,
        "data": evaluation.data.kind,
        "medbench_version": __version__,
        "medbench_commit": f"{commit}{'-dirty' if is_dirty else ''}" if commit else None,
    }
    write_json(evaluation.program / FACTS, facts)


def write_image(evaluation: EvaluationProgram, *program_lines: str) -> None:
    """Write the Dockerfile of what the program needs, and its lock; ``program_lines`` put the program in."""
    request, versions = evaluation.request, evaluation.packages()
    write_text(evaluation.image / LOCK, "\n".join(requirement_lines(versions, "cpu")) + "\n")
    if request.packages == "vendored":
        gather(versions, evaluation.image / "site-packages")
    index = torch_index("cpu", versions["torch"]) if request.ingestion else None
    text = package_lines(python_image(), request.packages, index)
    text += label_lines(_labels(evaluation))
    text += program_lines
    write_text(evaluation.image / "Dockerfile", "\n".join(text) + "\n")


def _labels(evaluation: EvaluationProgram) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": evaluation.folder.name,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": __version__,
        "medbench.challenge": evaluation.challenge.name,
        "medbench.data": evaluation.data.kind,
    }
