"""The interface of platforms: facts, files beside the image, serving, and rehearsal."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from medbench.core.case import Case
from medbench.core.progress import Progress
from medbench.core.sample import AnySample
from medbench.submissions.description import Submission
from medbench.submissions.findings import Finding
from medbench.submissions.limits import Limits

if TYPE_CHECKING:
    from medbench.challenges.base import Challenge
    from medbench.running.job import Job
    from medbench.submissions.serving.session import Session

Role = Literal["input", "output", "model", "scratch"]
RunsAs = Literal["image", "root", "caller"]
"""The user as whom a platform's own program starts the container.

``image``: as the image's user, which may write the folders that the platform hands over; ``root``: as the
image's user as well, but into a folder of the caller (mode 0755), so that only root can write it;
``caller``: with ``--user`` and the ids of the caller, who owns the folder (0755).
"""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder that the platform mounts into the container."""

    path: str
    role: Role
    writable: bool = False


@dataclass(frozen=True, slots=True)
class ImageRules:
    """Rules of a platform on uploaded images.

    Attributes:
        non_root: whether the image's user must not be root.
        formats: accepted formats, of ``docker-archive`` and ``oci-archive``.
        compressions: accepted compressions of the archive.
        distinct: whether the same image cannot be uploaded twice.
        reserved_paths: paths that are mounted over or emptied, so that the image must have no files there.
        reserved_variables: prefixes of environment variables that are removed or set by the platform.
    """

    non_root: bool = True
    formats: tuple[str, ...] = ("docker-archive",)
    compressions: tuple[str, ...] = ("none", "gz", "xz")
    distinct: bool = False
    reserved_paths: tuple[str, ...] = ("/input", "/output", "/tmp")  # noqa: S108 - a rule, not a use
    reserved_variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """A case of a rehearsal.

    Attributes:
        case: the case.
        sample: sample of the case.
        expected: the prediction file that ``medbench run`` writes for it.
    """

    case: Case
    sample: AnySample
    expected: Path


@dataclass(frozen=True, slots=True)
class SavedArchive:
    """The saved upload of a submission.

    Attributes:
        path: path of the archive, the zip or the table.
        image: name of the image after an engine has loaded the archive.
    """

    path: Path
    image: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A way in which the platform calls the container.

    Attributes:
        name: name in the report.
        arguments: of the command line.
        serve: whether the container is a server with a call per case; else it runs and ends.
    """

    name: str
    arguments: tuple[str, ...] = ()
    serve: bool = False


class Platform(abc.ABC):
    """The base of platforms.

    Attributes:
        name: name in submission files.
        title: title in tables.
        challenges: shell-style patterns of the challenges that are or were run there.
        reads_any: whether cases of any challenge come as single images and volumes; else as its challenges'
            own files.
        delivers: ``image`` for a container, ``bundle`` for a zip of files that the platform runs, ``table``
            for one file of results.
        split: split to predict; ``None`` for the challenge's default.
        per_case: whether the container is started once per case.
        mounts: folders of the container.
        model_folder: mount of weights that are uploaded apart; ``None`` where the image must hold them.
        limits: the platform's own; phases may differ.
        rules: rules on uploaded images.
        runs_as: users under which the platform's programs start the container; all are rehearsed.
        needs_registry: whether the image is pushed to a registry, which files beside the context name.
        unpacked_model: folder beside the context that gets a copy of weights that are uploaded apart.
        method_line: line on the method in a new submission file; empty where there is only one.
        known_labels: labels that the platform reads.
        bundle_files: names in a bundle's flat zip, or of the table.
        source: source of these facts.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    challenges: ClassVar[Sequence[str]] = ()
    reads_any: ClassVar[bool] = False
    delivers: ClassVar[Literal["image", "bundle", "table"]] = "image"
    split: ClassVar[str | None] = None
    per_case: ClassVar[bool] = False
    mounts: ClassVar[Sequence[Mount]] = (Mount("/input", "input"), Mount("/output", "output", True))
    model_folder: ClassVar[str | None] = None
    limits: ClassVar[Limits] = Limits()
    rules: ClassVar[ImageRules] = ImageRules()
    runs_as: ClassVar[Sequence[RunsAs]] = ("image",)
    needs_registry: ClassVar[bool] = False
    unpacked_model: ClassVar[str | None] = None
    method_line: ClassVar[str] = ""
    known_labels: ClassVar[Sequence[str]] = ()
    bundle_files: ClassVar[Sequence[str]] = ()
    source: ClassVar[str]

    def reads(self, challenge: Challenge) -> bool:
        """Whether the container finds the cases of a challenge in the files that the platform hands over."""
        of_platform = any(fnmatch(challenge.name, pattern) for pattern in self.challenges)
        return self.reads_any or not self.challenges or of_platform

    def check(self, submission: Submission) -> Iterator[Finding]:
        """Findings on a submission file that does not suit the platform."""
        yield from ()

    def takes(self, case: Case, sample: AnySample) -> bool:
        """Whether the platform accepts the case; by default it accepts label maps and masks of slides."""
        return "label_map" in sample.demands

    def template(self, challenge: Challenge) -> str:
        """TOML on the platform's interface for a new submission file."""
        return ""

    def entrypoint(self, submission: Submission) -> Sequence[str]:
        """Command of the image, in exec form."""
        return ("python", "/opt/app/inference.py")

    def default_arguments(self, submission: Submission) -> Sequence[str]:
        """Arguments that the platform does not give and the image therefore must."""
        return ()

    def image_labels(self, submission: Submission) -> Mapping[str, str]:
        """Labels that the platform reads."""
        return {}

    def files(self, submission: Submission) -> Mapping[str, str]:
        """Files that lie beside the image's context, by relative path."""
        return {}

    def app_files(self, submission: Submission) -> Mapping[str, str]:
        """Files of the image's ``/opt/app`` beyond ``inference.py``, by relative path."""
        return {}

    def write_bundle(self, job: Job, folder: Path, progress: Progress) -> None:
        """Write :attr:`bundle_files` into a folder, for platforms that take no image.

        Args:
            job: the model with its weights.
            folder: folder for the files of the zip, or for the table.
            progress: advanced by every case, where cases are predicted for the table.
        """
        raise NotImplementedError(f"{self.name} takes an image")

    def lint_table(self, path: Path) -> Iterator[Finding]:
        """Findings on a table, where the platform takes one."""
        yield from ()

    def variants(self, submission: Submission) -> Sequence[Variant]:
        """The ways in which the platform may call the container; all are rehearsed."""
        return (Variant("run"),)

    @abc.abstractmethod
    def serve(self, session: Session, arguments: Sequence[str]) -> None:
        """In the container: read the inputs, predict, and write the outputs.

        Raises:
            MedbenchError: for bad input, in words for the user of the platform.
        """

    @abc.abstractmethod
    def stage(
        self,
        submission: Submission,
        challenge: Challenge,
        cases: Sequence[Trial],
        root: Path,
        number: int,
    ) -> None:
        """In a rehearsal: write inputs below ``root`` as the platform mounts them.

        Args:
            submission: what is rehearsed.
            challenge: of the cases.
            cases: one where the platform starts the container a case.
            root: stands for ``/``.
            number: counts the calls, so that the forms a platform has had can alternate.
        """

    @abc.abstractmethod
    def examine(
        self, submission: Submission, challenge: Challenge, case: Trial, root: Path
    ) -> Iterable[Finding]:
        """In a rehearsal: findings on the outputs below ``root``, compared with ``case.expected``."""

    @abc.abstractmethod
    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """Steps of the upload; a step that is a command starts with its program."""
