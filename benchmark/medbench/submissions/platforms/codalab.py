"""Codalab 1.5 code submission of IUGC 2024: a flat zip that the organisers' ingestion program imports.

Sources: codalab/codalab-competitions@c7ef5e2; the classes from maskoffs/IUGC2024@bad8150 (``model`` in the
validation phase, ``modelInter`` in the final test). The network travels as TorchScript, so that the worker
needs numpy and torch alone; OpenCV too where the network's size is not the frames'.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, write_json, write_text
from medbench.core.progress import Progress
from medbench.core.sample import AnySample, Sample
from medbench.core.text import agreeing, counted
from medbench.io import raster
from medbench.io.tables import read_table
from medbench.submissions.description import Submission
from medbench.submissions.findings import Finding, error
from medbench.submissions.limits import Limits
from medbench.submissions.platforms.base import Mount, Platform, SavedArchive, Trial
from medbench.submissions.platforms.outputs import compare_numbers

if TYPE_CHECKING:
    from medbench.challenges.base import Challenge
    from medbench.running.job import Job
    from medbench.submissions.serving.session import Session

TEMPLATES = Path(__file__).parent / "templates"
BUNDLE = ("metadata", "model.py", "model.pickle")
FRAME_SIDE = 512


class Codalab(Platform):
    """IUGC 2024 on Codalab: a zip with ``metadata``, ``model.py`` and ``model.pickle``.

    Attributes:
        program: the template of ``model.py``.
    """

    name = "codalab"
    title = "Codalab 1.5 code submission (IUGC 2024)"
    challenges = ("iugc2024",)
    delivers = "bundle"
    mounts = (Mount("/input", "input"), Mount("/output", "output", True))
    limits = Limits()
    bundle_files = BUNDLE
    source = "codalab-competitions@c7ef5e2, maskoffs/IUGC2024@bad8150"
    program: ClassVar[str] = "codalab_model.py"

    def takes(self, case: Case, sample: AnySample) -> bool:
        """Whether the platform accepts the case: a frame to segment or a video to classify."""
        return isinstance(sample, Sample)

    def app_files(self, submission: Submission) -> Mapping[str, str]:
        """A program for the rehearsal that stands for the organisers' ingestion program."""
        return {"inference.py": (TEMPLATES / "codalab_ingestion.py").read_text(encoding="utf-8")}

    def write_bundle(self, job: Job, folder: Path, progress: Progress) -> None:
        """Trace the network at its input size and write the three files.

        Raises:
            MedbenchError: ``submission.resampling`` for a protocol whose resizing needs more than OpenCV.
        """
        import torch

        from medbench.inference.predictor import NetworkPredictor

        predictor = job.predictor()
        if not isinstance(predictor, NetworkPredictor) or predictor.contract.resampling != "image":
            raise MedbenchError(
                "submission.resampling",
                f"{job.network.name} on {job.challenge.title} cannot be submitted as a network of frames.",
                "Choose a two-dimensional model and a container platform.",
            )
        contract = predictor.contract
        side = contract.size or FRAME_SIDE
        facts = {name: getattr(contract, name) for name in ("size", "channel_order", "scale", "mean", "std")}
        example = torch.zeros(1, 3, side, side)
        folder.mkdir(parents=True, exist_ok=True)
        with torch.inference_mode():
            script = torch.jit.trace(predictor.network, example, check_trace=False)
        with atomic_path(folder / "model.pickle") as temporary:
            torch.jit.save(script, str(temporary), _extra_files={"contract.json": json.dumps(facts)})
        shutil.copyfile(TEMPLATES / self.program, folder / "model.py")
        write_text(folder / "metadata", f"description: {job.network.name} by medbench\n")

    def serve(self, session: Session, arguments: Sequence[str]) -> None:
        """Not called: the organisers' program imports the bundle."""
        raise NotImplementedError("a bundle serves nothing")

    def stage(
        self,
        submission: Submission,
        challenge: Challenge,
        cases: Sequence[Trial],
        root: Path,
        number: int,
    ) -> None:
        """Write frames as the ingestion program cuts them, with a flag for labelled frames."""
        entries = []
        for index, trial in enumerate(cases):
            assert isinstance(trial.sample, Sample)
            np.save(root / "input" / f"{index}.npy", np.moveaxis(trial.sample.images, -1, 1))
            is_labelled = "label_map" in trial.sample.demands
            entries.append({"case": trial.case.id, "frames": f"{index}.npy", "labelled": is_labelled})
        write_json(root / "input" / "cases.json", entries)

    def examine(
        self, submission: Submission, challenge: Challenge, case: Trial, root: Path
    ) -> Iterable[Finding]:
        """Compare a frame's labels in every pixel, a video's class scores up to rounding."""
        name = case.case.id
        path = root / "output" / f"{name.replace('/', '_')}.npz"
        if not path.is_file():
            yield error("output.missing", f"{name}: predict gave no answer.", "Read the traceback above.")
            return
        with np.load(path) as answer:
            answers = {key: answer[key] for key in answer.files}
        for kind in ("model", "modelInter"):
            yield from self._compare(case, kind, answers)

    @staticmethod
    def _compare(case: Trial, kind: str, answers: Mapping[str, Any]) -> Iterable[Finding]:
        name, classes = case.case.id, answers[f"{kind}_classes"]
        if case.expected.suffix == ".png":
            due, labels = raster.read_label_map(case.expected), answers[f"{kind}_labels"]
            different = int((due != labels).sum()) if due.shape == labels.shape else due.size
            if different:
                yield error(
                    "output.differs",
                    f"{name}: {kind}: {different} of {counted(due.size, 'label')} "
                    f"{agreeing(different, 'differs', 'differ')} from medbench run's.",
                    "The bundle is of another build, or torch of another version.",
                )
        else:
            rows = read_table(case.expected, "frame", "non_standard_plane", "standard_plane")
            rows_due = [[float(row["non_standard_plane"]), float(row["standard_plane"])] for row in rows]
            yield from compare_numbers(rows_due, classes, name, f"class scores of {kind}")

    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """Steps that upload a zip."""
        return (
            "Open the competition's page, Participate, Submit / View Results, and choose the phase.",
            f"Upload {archive.path}: the validation phase uses its class model, the final modelInter.",
            "Wait for 'Finished', open the output log, and compare its times with the report.",
            "Push the result to the leaderboard by the button beside it.",
        )
