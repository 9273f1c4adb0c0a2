"""Codabench code submission of IUGC 2025: a flat zip whose ``model.predict`` gives six numbers for an image.

Source: the starting kit 0oTyTo0/IUGC2025@bc8fce2 (read for facts): class ``model`` with ``load(path)`` and
``predict(X)``, X a PIL image, the answer x and y of PS1, PS2 and FH1 in pixels of the image. The network
travels as TorchScript, read-out included.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medbench.core.case import Case
from medbench.core.files import write_json
from medbench.core.sample import AnySample, Sample
from medbench.core.text import counted
from medbench.io import raster
from medbench.submissions.description import Submission
from medbench.submissions.findings import Finding, error
from medbench.submissions.platforms.base import SavedArchive, Trial
from medbench.submissions.platforms.codalab import TEMPLATES, Codalab
from medbench.submissions.platforms.outputs import compare_numbers

if TYPE_CHECKING:
    from medbench.challenges.base import Challenge

NUMBERS = 6


class IUGC2025Codabench(Codalab):
    """IUGC 2025 on Codabench: a zip with ``metadata``, ``model.py`` and ``model.pickle``."""

    name = "codabench-iugc2025"
    title = "Codabench code submission (IUGC 2025)"
    challenges = ("iugc2025",)
    source = "0oTyTo0/IUGC2025@bc8fce2, codalab/codabench@c7dbc75"
    program = "iugc2025_model.py"

    def takes(self, case: Case, sample: AnySample) -> bool:
        """Whether the platform accepts the case: one image with landmarks."""
        return isinstance(sample, Sample) and sample.demands == {"landmarks"}

    def app_files(self, submission: Submission) -> Mapping[str, str]:
        """A program for the rehearsal that stands for the organisers' ingestion program."""
        return {"inference.py": (TEMPLATES / "iugc2025_ingestion.py").read_text(encoding="utf-8")}

    def stage(
        self,
        submission: Submission,
        challenge: Challenge,
        cases: Sequence[Trial],
        root: Path,
        number: int,
    ) -> None:
        """Copy the images; those of another format than PIL's usual ones are written as PNG."""
        entries = []
        for trial in cases:
            assert isinstance(trial.sample, Sample)
            source = trial.case.inputs["image"]
            name = f"{trial.case.id}{source.suffix.lower()}"
            if source.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"):
                shutil.copyfile(source, root / "input" / name)
            else:
                name = f"{trial.case.id}.png"
                raster.write_image(root / "input" / name, trial.sample.images[0])
            entries.append({"case": trial.case.id, "image": name})
        write_json(root / "input" / "cases.json", entries)

    def examine(
        self, submission: Submission, challenge: Challenge, case: Trial, root: Path
    ) -> Iterable[Finding]:
        """Compare the six numbers with the landmarks of ``medbench run``."""
        name = case.case.id
        path = root / "output" / f"{name}.json"
        if not path.is_file():
            yield error("output.missing", f"{name}: predict gave no answer.", "Read the traceback above.")
            return
        numbers = json.loads(path.read_text(encoding="utf-8"))
        if len(numbers) != NUMBERS:
            count = counted(len(numbers), "number")
            yield error("output.size", f"{name}: predict gave {count}, expected six.", "")
            return
        due = challenge.exchange.read_prediction(case.case, case.expected)  # type: ignore[attr-defined]
        yield from compare_numbers(due, np.reshape(numbers, (-1, 2)), name, "coordinates")

    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """Steps that upload a zip."""
        return (
            "Open the competition's page on Codabench, My Submissions, and choose the phase.",
            f"Upload {archive.path}.",
            "Wait for 'Finished', open the output log, and compare its times with the report.",
            "Add the result to the leaderboard by the button beside it.",
        )
