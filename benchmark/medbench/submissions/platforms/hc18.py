"""HC18: a table of ellipses of the 335 test images, uploaded as results.

Source: the challenge's page, hc18.grand-challenge.org, and Zenodo record 1327317; the columns are those of
:data:`medbench.challenges.hc18.table.SUBMISSION_COLUMNS`.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.challenges.hc18.files import RELEASED, TEST, HC18Release
from medbench.challenges.hc18.table import SUBMISSION_COLUMNS, ellipse_row, write_submission
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json
from medbench.core.progress import Progress
from medbench.core.text import counted
from medbench.io import images
from medbench.io.tables import read_table
from medbench.submissions.description import Submission
from medbench.submissions.findings import Finding, error, warning
from medbench.submissions.platforms.base import Mount, Platform, SavedArchive, Trial
from medbench.submissions.platforms.outputs import compare_numbers

if TYPE_CHECKING:
    from medbench.challenges.base import Challenge
    from medbench.running.job import Job
    from medbench.submissions.serving.session import Session

TABLE = "hc18.csv"
NUMBERS = SUBMISSION_COLUMNS[1:]
TEMPLATES = Path(__file__).parent / "templates"


class HC18Table(Platform):
    """HC18's test set: a CSV of ellipses instead of a container."""

    name = "hc18"
    title = "HC18, a table of ellipses"
    challenges = ("hc18",)
    delivers = "table"
    split = "official_test"
    mounts = (Mount("/input", "input"), Mount("/output", "output", True))
    bundle_files = (TABLE,)
    source = "hc18.grand-challenge.org, Zenodo 1327317"

    def app_files(self, submission: Submission) -> Mapping[str, str]:
        """A program for the rehearsal that stands for the site and reads the table."""
        return {"inference.py": (TEMPLATES / "hc18_site.py").read_text(encoding="utf-8")}

    def write_bundle(self, job: Job, folder: Path, progress: Progress) -> None:
        """Predict the test set and write its ellipses.

        Raises:
            MedbenchError: ``submission.incomplete`` naming images without a mask that an ellipse fits.
        """
        from medbench.running.loop import predict_and_score

        release, exchange = job.challenge.release, job.challenge.exchange
        assert isinstance(release, HC18Release)
        assert isinstance(exchange, ImageMaskExchange)
        with tempfile.TemporaryDirectory() as temporary:
            predict_and_score(
                job.challenge, job.cases, job.predictor, Path(temporary), progress, read=job.read, score=False
            )
            predictions = Path(temporary) / "predictions"
            write_submission(release, exchange, job.data.root, predictions, folder / TABLE)

    def lint_table(self, path: Path) -> Iterator[Finding]:
        """Findings on the columns, the images, the numbers and the order of the semi-axes."""
        try:
            rows = read_table(path, *SUBMISSION_COLUMNS)
        except MedbenchError as failure:
            yield error("table.columns", failure.message, f"The columns are {', '.join(SUBMISSION_COLUMNS)}.")
            return
        names = [row["filename"] for row in rows]
        duplicate = next((name for name in names if names.count(name) > 1), None)
        if duplicate:
            yield error("table.repeated", f"{path}: {duplicate} has two rows.", "Write one row an image.")
        if len(names) != RELEASED[TEST]:
            yield warning(
                "table.rows",
                f"{path}: has {counted(len(names), 'row')}; the site's test set has {RELEASED[TEST]} images.",
                "Build with --data of the whole release.",
            )
        for row in rows:
            reason = _bad_ellipse(row)
            if reason:
                yield error("table.ellipse", f"{path}: {row['filename']}: {reason}.", "Predict it again.")

    def serve(self, session: Session, arguments: Sequence[str]) -> None:
        """Not called: the site reads the table."""
        raise NotImplementedError("a table serves nothing")

    def stage(
        self,
        submission: Submission,
        challenge: Challenge,
        cases: Sequence[Trial],
        root: Path,
        number: int,
    ) -> None:
        """Write the names of the images that the site looks up."""
        write_json(root / "input" / "images.json", [f"{trial.case.id}.png" for trial in cases])

    def examine(
        self, submission: Submission, challenge: Challenge, case: Trial, root: Path
    ) -> Iterable[Finding]:
        """Compare the image's row with the ellipse of ``medbench run``'s mask."""
        name = case.case.id
        numbers = json.loads((root / "output" / f"{name}.json").read_text(encoding="utf-8"))
        mask = images.read_labels(case.expected).array.squeeze()
        due = ellipse_row(name, mask, float(case.case.facts["pixel_size_mm"]))
        if due is None:
            yield error("output.differs", f"{name}: no ellipse fits the mask of medbench run.")
            return
        yield from compare_numbers([float(value) for value in due[1:]], numbers, name, "numbers of its row")

    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """Steps that upload a table."""
        return (
            "On hc18.grand-challenge.org compare the table with its example: columns, units, angle.",
            f"Choose Submit and upload {archive.path}.",
            "Compare the site's Dice and ADF with those of split test; a large difference is a convention's.",
        )


def _bad_ellipse(row: Mapping[str, str]) -> str:
    """Description of a fault in a row's numbers; empty for a valid row."""
    try:
        x, y, long, short, turn = (float(row[column]) for column in NUMBERS)
    except ValueError:
        return "holds what is no number"
    if not all(map(math.isfinite, (x, y, long, short, turn))):
        return "holds what is not finite"
    if not 0 < short <= long:
        return f"has semi-axes of {long:g} and {short:g} mm, and the first must be the longer"
    return "" if 0 <= turn < math.pi + 1e-6 else f"has an angle of {turn:g}, expected 0 to π"
