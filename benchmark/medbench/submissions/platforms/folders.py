"""Platforms whose container reads all cases from one folder and writes one file per case to another."""

from __future__ import annotations

import abc
import functools
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.submissions.description import Submission
from medbench.submissions.findings import Finding
from medbench.submissions.platforms.base import Platform, Trial
from medbench.submissions.platforms.outputs import compare_files
from medbench.submissions.serving.outcome import publishing, require_writable

if TYPE_CHECKING:
    from medbench.challenges.base import Challenge
    from medbench.submissions.serving.session import Session


class FolderPlatform(Platform):
    """A platform whose container is started once for all cases.

    The challenge's release and exchange read cases and write predictions, as in ``medbench run``.

    Attributes:
        input_folder: folder of the cases.
        output_folder: folder of the predictions, one file per case.
        served_split: of the challenge, under which the container finds unsorted cases without a reference.
    """

    input_folder: ClassVar[str] = "/input"
    output_folder: ClassVar[str] = "/output"
    served_split: ClassVar[str] = "test"

    @abc.abstractmethod
    def place(self, case: Case, file: Path) -> Path:
        """In a rehearsal: path of an input file of a case, relative to the input folder."""

    def serve(self, session: Session, arguments: Sequence[str]) -> None:
        """Predict every case of the input folder; a case that fails does not stop the others."""
        self.predict_folder(session, *(session.roots(path) for path in self.folders(arguments)))

    def folders(self, arguments: Sequence[str]) -> tuple[str, str]:
        """Input and output folder, by the arguments of the call.

        Raises:
            MedbenchError: ``arguments.unknown``.
        """
        if arguments:
            raise MedbenchError(
                "arguments.unknown", f"'{' '.join(arguments)}' is not understood.", "Give no arguments."
            )
        return self.input_folder, self.output_folder

    def predict_folder(self, session: Session, source: Path, target: Path) -> None:
        """Predict all cases of a folder.

        Raises:
            MedbenchError: ``output.unwritable`` before anything is read, ``input.empty`` where there is no
                case, or ``cases.failed``.
        """
        require_writable(target)
        try:
            cases = session.challenge.cases(source, self.served_split)
        except MedbenchError as failure:
            raise MedbenchError("input.empty", f"{source}: holds no case. {failure.message}") from failure

        rivals: dict[str, list[Case]] = {}
        for case in cases:
            rivals.setdefault(str(session.challenge.exchange.prediction_name(case)), []).append(case)

        def predict(case: Case) -> None:
            name = str(session.challenge.exchange.prediction_name(case))
            for files in self.sources(session.challenge, case, rivals[name]):
                _refuse_several(files)
            prediction = session.predict(session.read(case))
            with publishing(target) as staging:
                session.challenge.write(prediction, case, staging)

        _ = session.predictor
        session.every((case.id, functools.partial(predict, case)) for case in cases)

    def sources(self, challenge: Challenge, case: Case, rivals: Sequence[Case]) -> Iterable[Sequence[Path]]:
        """For every input of a case, the files that could be this input.

        Args:
            challenge: of the case.
            case: that is predicted.
            rivals: the cases, itself among them, whose predictions would have its prediction's name.
        """
        yield [next(iter(rival.inputs.values())) for rival in rivals if rival.inputs]

    def stage(
        self,
        submission: Submission,
        challenge: Challenge,
        cases: Sequence[Trial],
        root: Path,
        number: int,
    ) -> None:
        """Copy the files of all cases, references left out."""
        folder = root / self.input_folder.lstrip("/")
        for trial in cases:
            for file in trial.case.inputs.values():
                copy = folder / self.place(trial.case, file)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)

    def examine(
        self, submission: Submission, challenge: Challenge, case: Trial, root: Path
    ) -> Iterable[Finding]:
        """Compare the file with that of ``medbench run``, byte by byte."""
        name = challenge.exchange.prediction_name(case.case)
        return compare_files(case.expected, root / self.output_folder.lstrip("/") / name, case.case.id)


def _refuse_several(files: Sequence[Path]) -> None:
    if len(files) > 1:
        names = ", ".join(path.name for path in files[:3])
        raise MedbenchError(
            "input.several", f"{names}: are {len(files)} images for one input.", "Hand in one image."
        )
