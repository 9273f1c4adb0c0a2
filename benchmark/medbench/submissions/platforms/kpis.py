"""KPIs 2024: the dockers of patches (task 1) and of whole slides (task 2).

Source: hrlblab/KPIs2024@7d56473; where participants' input and output differ, huuquan1994/
wsi_glomerulus_seg@95fdb39 and ZhiJianLife's public dockers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from medbench.core.case import Case
from medbench.submissions.description import GIGABYTE, Submission
from medbench.submissions.limits import Limits
from medbench.submissions.platforms.base import ImageRules, Mount, RunsAs, SavedArchive
from medbench.submissions.platforms.folders import FolderPlatform
from medbench.submissions.platforms.registries import pushing_steps

if TYPE_CHECKING:
    from medbench.submissions.serving.session import Session

_RULES = ImageRules(non_root=False, reserved_paths=("/input", "/output", "/model", "/tmp"))  # noqa: S108
_SLIDE_RULES = ImageRules(
    non_root=False,
    reserved_paths=(
        *("/input_slide", "/output_slide", "/input_patch", "/output_patch"),
        *("/input", "/output", "/model", "/tmp"),  # noqa: S108
    ),
)


class KPIsPatch(FolderPlatform):
    """KPIs task 1: reads patches below ``/input``, writes a mask of each below ``/output``."""

    name = "kpis-patch"
    title = "KPIs 2024 docker of patches"
    challenges: ClassVar[Sequence[str]] = ("kpis_patch",)
    mounts: ClassVar[Sequence[Mount]] = (
        Mount("/input", "input"),
        Mount("/output", "output", True),
        Mount("/model", "model"),
    )
    model_folder = "/model"
    limits = Limits(memory_bytes=32 * GIGABYTE)
    rules = _RULES
    runs_as: ClassVar[Sequence[RunsAs]] = ("root",)
    needs_registry = True
    source = "hrlblab/KPIs2024@7d56473"

    def place(self, case: Case, file: Path) -> Path:
        """``<group>/<slide>/img/<patch>_img.jpg``."""
        return Path(case.facts["group"], case.facts["slide"], "img", file.name)

    def serve(self, session: Session, arguments: Sequence[str]) -> None:
        """Predict every patch; weights may be mounted at ``/model``."""
        session.model_folders.append(session.roots("/model"))
        super().serve(session, arguments)

    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """Steps that push the image to Docker Hub and notify the organisers."""
        return _steps(submission, archive, "patch")


class KPIsSlide(KPIsPatch):
    """KPIs task 2: reads slides below ``/input_slide`` (or ``/input``), writes masks at the working level."""

    name = "kpis-slide"
    title = "KPIs 2024 docker of whole slides"
    challenges: ClassVar[Sequence[str]] = ("kpis_slide",)
    input_folder, output_folder = "/input_slide", "/output_slide"
    mounts: ClassVar[Sequence[Mount]] = (
        Mount("/input_slide", "input"),
        Mount("/output_slide", "output", True),
        Mount("/input_patch", "scratch", True),
        Mount("/output_patch", "scratch", True),
        Mount("/model", "model"),
    )
    rules = _SLIDE_RULES

    def place(self, case: Case, file: Path) -> Path:
        """``<group>/img/<slide>_wsi.tiff``."""
        return Path(case.facts["group"], "img", file.name)

    def serve(self, session: Session, arguments: Sequence[str]) -> None:
        """Predict every slide, in ``/input`` where that holds the slides."""
        session.model_folders.append(session.roots("/model"))
        source, target = (session.roots(path) for path in self.folders(arguments))
        if not source.is_dir() or not any(source.iterdir()):
            plain = session.roots("/input")
            source, target = (plain, session.roots("/output")) if plain.is_dir() else (source, target)
        self.predict_folder(session, source, target)

    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """Steps that push the image to Docker Hub and notify the organisers."""
        return _steps(submission, archive, "slide")


def _steps(submission: Submission, archive: SavedArchive, kind: str) -> Sequence[str]:
    return (
        *pushing_steps(submission, archive, f"kpis:validation_{kind}"),
        "Send the image's name and the command of the README to the organisers, as the task's page says.",
    )
