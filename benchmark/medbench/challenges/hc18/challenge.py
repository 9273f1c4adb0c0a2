"""HC18: circumference of the fetal head in two-dimensional ultrasound, 999 training and 335 test pictures.

Sources: van den Heuvel et al. 2018, PLOS ONE 13:e0200412 (task, DF, ADF, DSC, HD); the release's file names
and tables from Zenodo 1327317 as its copies hold them. The organisers' evaluation program is not public:
definitions beyond those names are ours, see :mod:`medbench.metrics.tasks.biometry`.

References of the test set were never released, so ``train``, ``val`` and ``test`` here are drawn from the
training set; ``official_test`` is the test set, which can be predicted and handed in by
:meth:`HC18.write_submission` but not be scored.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Finding, SplitFacts
from medbench.challenges.families.image_masks import Pair, PictureMaskChallenge, View
from medbench.challenges.hc18.outlines import read_head
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.result_table import CaseScores, MetricSpec
from medbench.core.score import Score, Status
from medbench.core.seeds import hashed_share
from medbench.io import pictures
from medbench.io.tables import read_table

TRAINING, TEST = "training_set", "test_set"
TABLES = {TRAINING: "training_set_pixel_size_and_HC.csv", TEST: "test_set_pixel_size.csv"}
PIXEL_COLUMN, CIRCUMFERENCE_COLUMN = "pixel size(mm)", "head circumference (mm)"
RELEASED = {TRAINING: 999, TEST: 335}
SUBMISSION_COLUMNS = (
    "filename", "center_x_mm", "center_y_mm", "semi_axes_a_mm", "semi_axes_b_mm", "angle_rad",
)  # fmt: skip
CIRCUMFERENCE_TOLERANCE_MM = 2.5
SEED = 18
SHARES = (("test", 0.2), ("val", 0.3), ("train", 1.0))
_NAME = re.compile(r"(\d{3})_\d?HC")
_RULE = (
    "by subject, the number before _HC: the first 32 bits of the SHA-256 of '18/<number>' as a share of "
    "their range, below 0.2 test, below 0.3 val, else train (ours)"
)
_FACTS = {
    "train": SplitFacts(_RULE, 727, "b54fa3b5812fef295686f5bac69c0859eeded6868aaee511fef690b43775c02b"),
    "val": SplitFacts(_RULE, 68, "12818736cbccb6cb0f47894542697d3d8e28cd1ab6b9bb4b79902be1fad7518c"),
    "test": SplitFacts(_RULE, 204, "3454a0e718cb1d844feec81c7c89c8a6fd07509df289c182eebc248e53764e16"),
    "official_test": SplitFacts("the organisers' test set", RELEASED[TEST]),
}


def subject_split(subject: str) -> str:
    """Which of ``train``, ``val`` and ``test`` a subject of the training set belongs to.

    >>> [subject_split(number) for number in ("000", "001", "008")]
    ['train', 'train', 'train']
    """
    position = hashed_share(f"{SEED}/{subject}")
    return next(split for split, end in SHARES if position < end)


class HC18(PictureMaskChallenge):
    """Segmentation of the fetal head and its circumference."""

    name = "hc18"
    title = "HC18"
    task = "segmentation and circumference of the fetal head in ultrasound"
    labels = {0: "background", 1: "fetal head"}  # noqa: RUF012
    splits = ("train", "val", "test", "official_test")
    metrics = (
        MetricSpec("dice", "DSC", "", "higher", "dice", (0.0, 1.0), headline=True),
        MetricSpec("adf", "ADF", "mm", "lower", "hc.adf", headline=True),
        MetricSpec("df", "DF", "mm", "lower", "hc.df", (None, None), headline=True),
        MetricSpec("hd", "HD", "mm", "lower", "hd.set", headline=True),
    )
    failure_rule = (
        "medbench-1 (the organisers' rule is not public): a failed, missing or empty prediction has no head: "
        "DSC 0, a circumference of 0 mm (DF is minus the reference's, ADF the reference's), HD the picture's "
        "diagonal in mm. Without a reference or a pixel size the scores are undefined and enter no mean."
    )
    citation = (
        "van den Heuvel, de Bruijn, de Korte, van Ginneken: Automated measurement of fetal head "
        "circumference using 2D ultrasound images. PLOS ONE 13:e0200412 (2018)"
    )
    bibtex = """@article{vandenheuvel2018automated,
  title = {Automated measurement of fetal head circumference using {2D} ultrasound images},
  author = {van den Heuvel, Thomas L. A. and de Bruijn, Dagmar and de Korte, Chris L. and van Ginneken, Bram},
  journal = {PLOS ONE},
  volume = {13},
  number = {8},
  pages = {e0200412},
  year = {2018},
  doi = {10.1371/journal.pone.0200412}
}"""
    license = "CC BY 4.0, as other projects state it"
    homepage = "https://hc18.grand-challenge.org/"
    data_hint = (
        "Expected training_set/ with NNN_HC.png and NNN_HC_Annotation.png (or filled NNN_HC_Mask.png) and "
        "training_set_pixel_size_and_HC.csv, and for the test set test_set/ and test_set_pixel_size.csv, "
        "from Zenodo record 1327317."
    )
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The rule, size and, but for the organisers' test set, hash of the complete split."""
        return _FACTS[split]

    def schemes(self) -> Sequence[Sequence[str]]:
        """All four."""
        return (self.splits,)

    def pairs(self, root: Path) -> list[Pair]:
        """Pictures of both sets, in the order of their names; those of the test set have no reference."""
        found = []
        for part in (TRAINING, TEST):
            for path in sorted((root / part).glob("*.png")):
                match = _NAME.fullmatch(path.stem)
                if match:
                    outline, mask = (
                        path.with_name(f"{path.stem}_{kind}.png") for kind in ("Annotation", "Mask")
                    )
                    reference = mask if mask.is_file() and not outline.is_file() else outline
                    subject = f"subject {match[1]}" if part == TRAINING else f"test subject {match[1]}"
                    found.append(Pair(path.stem, path, reference, subject, part))
        if not found:
            raise self.layout_error(root, (f"{TRAINING}/NNN_HC.png", f"{TEST}/NNN_HC.png"))
        return found

    def members(self, pairs: Sequence[Pair], split: str) -> list[Pair]:
        """Pictures of the split."""
        if split == "official_test":
            return [pair for pair in pairs if pair.part == TEST]
        return [pair for pair in pairs if pair.part == TRAINING and subject_split(pair.id[:3]) == split]

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's pictures with their pixel size in mm, ``None`` where the table has no such row."""
        part = TEST if split == "official_test" else TRAINING
        cases = super().cases(root, split)
        sizes = pixel_sizes_mm(root / TABLES[part])
        return [
            Case(
                case.id,
                case.inputs,
                {} if part == TEST else case.reference,
                case.group,
                {"pixel_size_mm": sizes.get(f"{case.id}.png")},
            )
            for case in cases
        ]

    def read_picture(self, path: Path) -> npt.NDArray[np.uint8]:
        """A picture, ``(height, width, 3)``: 8-bit grey in the release, here three equal channels."""
        return np.repeat(pictures.read_grey(path)[:, :, np.newaxis], 3, axis=2)

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The filled head, ``(height, width)``, 0 and 1.

        Raises:
            MedbenchError: ``data.no_reference`` for the organisers' test set, and as
                :func:`medbench.challenges.hc18.outlines.read_head`.
        """
        if "labels" not in case.reference:
            raise MedbenchError(
                "data.no_reference",
                f"{case.id}: the test set's references are not public.",
                "Hand the predictions in at hc18.grand-challenge.org.",
            )
        return read_head(case.reference["labels"])

    def look_at_mask(self, pair: Pair) -> tuple[npt.NDArray[np.uint8], Sequence[str]]:
        """The filled head, and whether the file is filled already."""
        filled = "masks are filled already where the release has outlines; both are read"
        return read_head(pair.mask), [filled] if pair.mask.stem.endswith("_Mask") else []

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """DSC, ADF, DF and HD of one mask.

        Raises:
            MedbenchError: ``data.pixel_size`` without a row in the table, ``data.size_mismatch``.
        """
        step = self._pixel_size_mm(case)
        return CaseScores(self.score_arrays(*self.read_both(case, path), (step, step)))

    def _pixel_size_mm(self, case: Case) -> float:
        step = case.facts["pixel_size_mm"]
        if step is None:
            table = TABLES[case.inputs["picture"].parent.name]
            raise MedbenchError(
                "data.pixel_size",
                f"{case.id}.png: has no row with a positive pixel size in {table}.",
                "Copy the table of the release again; millimetres need it.",
            )
        return float(step)

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """DSC, and ADF, DF and HD in mm, of one pair of masks at the picture's own size.

        Both circumferences are of ellipses fitted to the masks' outer contours, so that what filling adds to
        an outline is on both sides of the difference.

        Args:
            reference: ``(height, width)``, 0 and 1.
            prediction: the same shape.
            spacing: mm along both axes, equal.

        Raises:
            MedbenchError: ``metric.spacing_missing`` without a spacing, ``metric.spacing`` for pixels that
                are not square.
        """
        from medbench.metrics.engine import evaluate_arrays
        from medbench.metrics.official.frame_labels import head_circumference

        both = (np.asarray(reference, np.uint8), np.asarray(prediction, np.uint8))
        if spacing is None:
            raise MedbenchError(
                "metric.spacing_missing",
                "HC18 scores in millimetres.",
                "Give the pixel size: spacing=(s, s).",
            )
        if both[0].any() and not both[1].any():
            return self._without_head(both[0], spacing, "failed", "nothing is marked")
        found = evaluate_arrays(*both, ["dice", "hd.set"], {"head": 1}, spacing)["head"]
        scores = {"dice": found["dice"], "hd": found["hd.set"]}
        for name in ("adf", "df"):
            scores[name] = head_circumference(*both, value=f"{name}_mm", spacing=spacing)
        if scores["adf"].status == "failed":
            without = self._without_head(both[0], spacing, "failed", scores["adf"].reason)
            scores |= {name: without[name] for name in ("adf", "df")}
        return scores

    def _without_head(
        self, reference: npt.NDArray[np.uint8], spacing: tuple[float, ...], status: Status, reason: str
    ) -> dict[str, Score]:
        from medbench.metrics.tasks.biometry import LandmarkError, head_circumference_mm

        diagonal = math.hypot(*(side * step for side, step in zip(reference.shape, spacing, strict=True)))
        scores = {"dice": Score(0.0, status, reason), "hd": Score(diagonal, status, reason)}
        try:
            whole = head_circumference_mm(reference, pixel_size_mm=spacing[0])
        except LandmarkError as error:
            return scores | {name: Score.undefined(f"reference: {error}") for name in ("adf", "df")}
        return scores | {"adf": Score(whole, status, reason), "df": Score(-whole, status, reason)}

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :attr:`failure_rule`."""
        try:
            reference, step = self.read_reference(case), self._pixel_size_mm(case)
        except MedbenchError as error:
            return CaseScores({spec.name: Score.undefined(error.message) for spec in self.metrics})
        return CaseScores(self._without_head(reference, (step, step), status, reason))

    def write_submission(self, root: Path, predictions: Path, path: Path) -> Path:
        """Write the table that the site takes: an ellipse in mm for each picture of the test set, 335 rows.

        Centres are in mm from the centre of the upper left pixel, x to the right and y down; a is the longer
        semi-axis and ``angle_rad`` its angle from the x axis towards y, from 0 up to π. The site's own text
        on these conventions was not found: compare with its example before the first hand-in.

        Args:
            root: the release, for names and pixel sizes.
            predictions: folder of masks as :meth:`write` names them.
            path: of the ``.csv`` file.

        Raises:
            MedbenchError: ``submission.incomplete`` naming the pictures without a usable mask; nothing is
                written then. ``data.pixel_size`` as :meth:`score_file`.
        """
        rows, lacking = [], []
        for case in self.cases(root, "official_test"):
            step = self._pixel_size_mm(case)
            found = self.locate(case, predictions)
            row = None if found is None else ellipse_row(case.id, self.read_prediction(found), step)
            if row is None:
                lacking.append(f"{case.id} ({'no mask' if found is None else 'no ellipse fits its mask'})")
            else:
                rows.append(row)
        if lacking:
            raise MedbenchError(
                "submission.incomplete",
                f"{predictions}: {len(lacking)} of {len(lacking) + len(rows)} test pictures have no ellipse, "
                f"the first is {lacking[0]}.",
                "The site takes one row for every picture: predict split official_test again.",
            )
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([SUBMISSION_COLUMNS, *rows])
        write_text(path, text.getvalue())
        return path

    def check(self, root: Path) -> list[Finding]:
        """As for all pictures with masks, and the tables: a row for each picture, HC as the outline says."""
        findings = super().check(root)
        for part, table in TABLES.items():
            present = [pair for pair in self.pairs(root) if pair.part == part]
            if not present:
                continue
            try:
                findings += self._check_table(root / table, present)
            except MedbenchError as error:
                findings.append(Finding("error", error.message, error.hint))
        return findings

    def _check_table(self, path: Path, pairs: Sequence[Pair]) -> list[Finding]:
        from medbench.metrics.tasks.biometry import LandmarkError, head_circumference_mm

        sizes = pixel_sizes_mm(path)
        lengths = {} if path.name == TABLES[TEST] else _numbers(path, CIRCUMFERENCE_COLUMN)
        findings = []
        for pair in pairs:
            name = pair.picture.name
            if name not in sizes:
                told = f"{path}: has no row with a positive pixel size for {name}."
                findings.append(Finding("error", told, "Copy the table of the release again."))
            elif name in lengths:
                try:
                    fitted = head_circumference_mm(read_head(pair.mask), pixel_size_mm=sizes[name])
                except (MedbenchError, LandmarkError):
                    continue
                if abs(fitted - lengths[name]) > CIRCUMFERENCE_TOLERANCE_MM:
                    findings.append(
                        Finding(
                            "warning",
                            f"{pair.mask}: its ellipse measures {fitted:.1f} mm, {path.name} says "
                            f"{lengths[name]:.1f} mm.",
                            "Mask and row may be of different pictures, or the mask was resized.",
                        )
                    )
        return findings

    def look_at(self, pair: Pair) -> View:
        """As for all pictures with masks; the test set has pictures alone."""
        if pair.part == TEST:
            return self.look_at_picture(pair)[0]
        return super().look_at(pair)

    def sample(self, root: Path) -> None:
        """Draw both sets with their tables as the release has them."""
        from medbench.challenges.hc18.sample import write_sample

        write_sample(root)


def pixel_sizes_mm(table: Path) -> Mapping[str, float]:
    """File name -> side of a pixel in mm, for the rows that have a positive one.

    Raises:
        MedbenchError: when the table or its columns are missing.
    """
    return {name: size for name, size in _numbers(table, PIXEL_COLUMN).items() if 0 < size < math.inf}


def _numbers(table: Path, column: str) -> dict[str, float]:
    found = {}
    for row in read_table(table, "filename", column):
        try:
            found[row["filename"]] = float(row[column])
        except (TypeError, ValueError):
            continue
    return found


def ellipse_row(name: str, mask: npt.NDArray[np.uint8], pixel_size_mm: float) -> list[str] | None:
    """A row of the submission: the ellipse fitted to a mask's outer contour; ``None`` when none fits."""
    from medbench.metrics.tasks.biometry import fitted_ellipse

    ellipse = fitted_ellipse(mask, simplify=False)
    if ellipse is None:
        return None
    x, y = (value * pixel_size_mm for value in ellipse.center)
    short, long = (value / 2 * pixel_size_mm for value in ellipse.axes)
    turn = math.radians(ellipse.angle + 90) % math.pi
    return [f"{name}.png", *(f"{value:.6f}" for value in (x, y, long, short, turn))]
