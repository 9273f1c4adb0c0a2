"""What every platform provides: facts, files beside the image, the serving side, and the rehearsing side."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
"""As whom a platform's own program starts the container.

``image``: as the image's user, which may write the folders that the platform hands over; ``root``: as the
image's user as well, but into a folder of whoever started the program (mode 0755), so that only root can
write it; ``caller``: with ``--user`` and the ids of whoever started the program, whose folder it is (0755).
"""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder that the platform mounts into the container."""

    path: str
    role: Role
    writable: bool = False


@dataclass(frozen=True, slots=True)
class ImageRules:
    """What the platform refuses on upload.

    Attributes:
        non_root: the image's user must not be root.
        formats: archive formats that are read, of ``docker-archive`` and ``oci-archive``.
        compressions: of the archive.
        distinct: the same image cannot be uploaded twice.
        reserved_paths: mounted over or emptied, so nothing may be baked there.
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
    """A case of the rehearsal, read by its challenge.

    Attributes:
        case: the case.
        sample: its images.
        expected: the prediction file that ``medbench run`` writes for it.
    """

    case: Case
    sample: AnySample
    expected: Path


@dataclass(frozen=True, slots=True)
class SavedArchive:
    """What was saved, ready to be handed in.

    Attributes:
        path: of the archive, the zip or the table.
        image: the name that an engine knows the image by, once it has loaded the archive.
    """

    path: Path
    image: str


@dataclass(frozen=True, slots=True)
class Variant:
    """One way in which the platform calls the container.

    Attributes:
        name: for the report.
        arguments: of the command line.
        serve: the container is a server that is called a case; otherwise it runs and ends.
    """

    name: str
    arguments: tuple[str, ...] = ()
    serve: bool = False


class Platform(abc.ABC):
    """A platform, as its attributes state it.

    Attributes:
        name: as submission files call it.
        title: for people.
        challenges: shell-style patterns of the challenges that are or were run there.
        delivers: ``image`` for a container, ``bundle`` for a zip of files that the platform runs, ``table``
            for one file of results.
        split: whose cases are predicted; the challenge's default if not given.
        per_case: the container is started anew for every case.
        mounts: folders of the container.
        model_folder: where weights that are handed in apart are mounted; ``None`` where they must be baked.
        limits: the platform's own; phases may differ.
        rules: what is refused on upload.
        runs_as: as whom the platform's programs start the container; each of them is rehearsed.
        needs_registry: the image is pushed to a registry, and files beside the context name it.
        unpacked_model: folder beside the context that weights handed in apart are laid into as well.
        method_line: line of a new submission file on how the container is called; empty: one way only.
        known_labels: that the platform reads.
        bundle_files: names in a bundle's flat zip, or of the table.
        source: where the facts come from.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    challenges: ClassVar[Sequence[str]] = ()
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

    def check(self, submission: Submission) -> Iterator[Finding]:
        """What of a submission file does not suit the platform."""
        yield from ()

    def takes(self, case: Case, sample: AnySample) -> bool:
        """Whether the platform hands in such a case: by itself, label maps and masks of slides."""
        return "label_map" in sample.demands

    def template(self, challenge: Challenge) -> str:
        """What a new submission file says of the platform's interface, as TOML."""
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
        """Write :attr:`bundle_files` into a folder, where no image is handed in.

        Args:
            job: the model with its weights.
            folder: what becomes the zip, or holds the table.
            progress: told of every case, where cases are predicted for it.
        """
        raise NotImplementedError(f"{self.name} takes an image")

    def lint_table(self, path: Path) -> Iterator[Finding]:
        """What is wrong with a table, where one is handed in."""
        yield from ()

    def variants(self, submission: Submission) -> Sequence[Variant]:
        """The ways in which the platform may call the container; all are rehearsed."""
        return (Variant("run"),)

    @abc.abstractmethod
    def serve(self, session: Session, arguments: Sequence[str]) -> None:
        """In the container: find the inputs, predict, publish the outputs.

        Raises:
            MedbenchError: for bad input, in words for whoever handed in the job.
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
        """In a rehearsal: lay inputs below ``root`` as the platform mounts them.

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
        """In a rehearsal: what is wrong with the outputs below ``root``, compared with ``case.expected``."""

    @abc.abstractmethod
    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """How to hand in what was saved, step by step; a step that is a command starts with its program."""
