"""PSFHS 2023 (FH-PS-AOP): pubic symphysis and fetal head in frames of intrapartum ultrasound.

Sources: scoring from ``evaluation.py`` and ``ellipse.py`` of maskoffs/PS-FH-MICCAI23@de5d789; ranking from
the participation rules of ps-fh-aop-2023.grand-challenge.org; labels and the geometry of the files from the
organisers' algorithm template, lanesra10/FH-PS-AOP-grandchallenge@b3b8d0e; the challenge's report is
arXiv 2409.10980.

The 4,000 training pictures are public (Zenodo 7851339); the 401 of the preliminary and the 700 of the final
test were never released. Splits here are therefore ours, of the training pictures. No file says which video
a picture is from, so that pictures with neighbouring numbers are kept together: the splits are three runs of
numbers, and pictures of one fifty count as one group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Finding, SplitFacts
from medbench.challenges.families.image_masks import Pair, PictureMaskChallenge
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, Weights, mean_statistic
from medbench.core.sample import Prediction
from medbench.core.score import Score, Status
from medbench.io import images, nifti_mha
from medbench.statistics.ranking import Standing, significance_standings

SIDE = 256
RELEASED = 4000
RUNS = {"train": range(2800), "val": range(2800, 3200), "test": range(3200, RELEASED + 1)}
GROUP_LENGTH = 50
PENALTY_PX = 100.0
_STRUCTURES = {"ps": "PS", "fh": "FH", "all": "PS+FH"}
SEGMENTATION = (
    *(
        MetricSpec(f"dice_{key}", f"Dice {name}", "", "higher", "dice.plus_one", (0.0, 1.0), headline=True)
        for key, name in _STRUCTURES.items()
    ),
    *(
        MetricSpec(f"{metric}_{key}", f"{metric.upper()} {name}", "px", "lower", convention)
        for metric, convention in (("hd", "hd.set"), ("asd", "asd.edge8"))
        for key, name in _STRUCTURES.items()
    ),
)
ANGLE = MetricSpec("aop_ellipse", "ΔAoP", "°", "lower", "aop.ellipse", (0.0, 180.0), headline=True)
_RULE = (
    "by number of the file: below 2800 train, below 3200 val, else test (ours; the challenge's own test sets "
    "are not public, and neighbouring pictures may be of one video)"
)


class PSFHS(PictureMaskChallenge):
    """Segmentation of pubic symphysis and fetal head, and the angle of progression that follows."""

    name = "psfhs"
    title = "PSFHS 2023"
    task = "segmentation of pubic symphysis and fetal head in intrapartum ultrasound"
    labels = {0: "background", 1: "pubic symphysis", 2: "fetal head"}  # noqa: RUF012
    splits = ("train", "val", "test", "all")
    metrics = (
        MetricSpec("score", "S", "", "higher", "psfhs.score", (None, 1.0), pooled=True, headline=True),
        ANGLE,
        *SEGMENTATION,
    )
    picture_size = (SIDE, SIDE)
    failure_rule = (
        "medbench-1 (the organisers' program leaves missing predictions out): a failed or missing case "
        "scores as an empty mask does in the official program: Dice 0, HD and ASD 100 px, an angle of 0°, so "
        "that ΔAoP is the reference's angle. Where the reference lacks a structure that the prediction has, "
        "the official program ends with an error; here the case's scores of it are undefined and enter no "
        "mean, and the case does not count in S."
    )
    citation = (
        "PSFHS Challenge Report: Pubic Symphysis and Fetal Head Segmentation from Intrapartum Ultrasound "
        "Images, arXiv 2409.10980"
    )
    license = "CC BY 4.0, as other projects state it"
    homepage = "https://ps-fh-aop-2023.grand-challenge.org/"
    data_hint = "Expected image_mha/ and label_mha/ with NNNNN.mha, from Zenodo record 7851339."
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The rule; how many pictures of the release fall into a split depends on how it numbers them."""
        return SplitFacts("every picture of the folder" if split == "all" else _RULE)

    def release_share(self, root: Path, split: str) -> tuple[int, int]:
        """Pictures of the folder and of the released training set."""
        return len(self.pairs(root)), RELEASED

    def share_cases(self, training_split: str, split: str) -> bool:
        """``all`` holds the others."""
        return (training_split == "all") != (split == "all")

    def schemes(self) -> Sequence[Sequence[str]]:
        """The three runs of numbers."""
        return (self.splits[:3],)

    def pairs(self, root: Path) -> list[Pair]:
        """The pictures of ``image_mha/`` in the order of their names."""
        folder = root / "image_mha"
        if not folder.is_dir():
            raise self.layout_error(root, ("image_mha/", "label_mha/"))
        return [
            Pair(path.stem, path, root / "label_mha" / path.name, _group(int(path.stem)))
            for path in sorted(folder.glob("*.mha"))
            if re.fullmatch(r"\d{1,6}", path.stem)
        ]

    def members(self, pairs: Sequence[Pair], split: str) -> list[Pair]:
        """Pictures whose number is in the split's run."""
        if split == "all":
            return list(pairs)
        run = RUNS[split]
        return [pair for pair in pairs if int(pair.id) in run]

    def read_picture(self, path: Path) -> npt.NDArray[np.uint8]:
        """A frame, ``(256, 256, 3)``: 8 bit, three equal planes.

        Raises:
            MedbenchError: also ``data.picture_format`` for another type, size or planes that differ, which
                no frame of the release has.
        """
        volume = nifti_mha.read_volume(path)
        found = ""
        if volume.array.dtype != np.uint8:
            found = f"holds {volume.array.dtype} values"
        elif volume.shape != (3, SIDE, SIDE):
            found = f"is {'×'.join(map(str, volume.shape))}"
        elif np.any(volume.array != volume.array[:1]):
            found = "holds three planes that differ (a colour picture)"
        if found:
            raise MedbenchError(
                "data.picture_format",
                f"{path}: {found}; the release holds 8-bit frames of three equal planes, 3×{SIDE}×{SIDE}.",
                "Copy the file again from its source.",
            )
        return np.ascontiguousarray(np.moveaxis(volume.array, 0, -1))

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The reference label map, ``(256, 256)``, 0, 1 and 2.

        Raises:
            MedbenchError: when the file is missing, damaged or holds other labels.
        """
        return read_label_map(case.reference["labels"])

    def read_prediction(self, path: Path) -> npt.NDArray[np.uint8]:
        """A predicted label map, ``.mha`` or any other image type, ``(height, width)``."""
        return read_label_map(path)

    def prediction_name(self, case: Case) -> str:
        """``<case>.mha``, as the picture is called."""
        return f"{case.id}.mha"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write 8-bit labels with the spacing, origin and direction of the picture's plane."""
        assert prediction.labels is not None
        path = folder / self.prediction_name(case)
        nifti_mha.write_volume(
            path, plane_like(prediction.labels[0], nifti_mha.read_geometry(case.inputs["picture"]))
        )
        return path

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """The nine official values and the error of the angle of one frame.

        Args:
            reference: ``(height, width)`` integers, 0 background, 1 PS, 2 FH.
            prediction: the same shape and labels.
            spacing: not used: the official program works in pixels.
        """
        from medbench.metrics.official.intrapartum import ellipse_score, segmentation_scores

        return {
            ANGLE.name: ellipse_score(reference, prediction),
            **segmentation_scores(reference, prediction),
        }

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """The columns of one label map, and whether the case counts in S: when all of them have a value."""
        return _counted(self.score_arrays(*self.read_both(case, path)))

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :attr:`failure_rule`."""
        from medbench.metrics.official.intrapartum import ellipse_score

        try:
            reference = self.read_reference(case)
        except MedbenchError as error:
            undefined = Score.undefined(error.message)
            return CaseScores({spec.name: undefined for spec in (ANGLE, *SEGMENTATION)})
        angle = ellipse_score(reference, np.zeros_like(reference))
        scores = {ANGLE.name: Score(angle.value, status, reason)}
        for spec in SEGMENTATION:
            worst = 0.0 if spec.better == "higher" else PENALTY_PX
            scores[spec.name] = Score(worst, status, reason)
        return _counted(scores)

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """S follows from the means of the other columns."""
        if metric.name != "score":
            return super().statistic(metric, rows)
        from medbench.metrics.official.intrapartum import psfhs_score

        parts = {spec.name: mean_statistic(spec, rows) for spec in (ANGLE, *SEGMENTATION)}

        def score(weights: Weights) -> npt.NDArray[np.float64]:
            means = {name: np.atleast_1d(part(weights)) for name, part in parts.items()}
            return psfhs_score(means).reshape(weights.shape[:-1])

        return score

    def rank(self, entries: Mapping[str, Sequence[CaseRow]]) -> list[Standing]:
        """The challenge's ranking: ranks by significance in each of the ten columns, added.

        A rank is 1 + the number of entries that a Wilcoxon signed-rank test finds better; equal sums are
        separated by S. The rules name neither the level nor the sides of the test (here 0.05, one-sided, not
        corrected), and say "the mean of all metrics" where we take S, their weighted mean.

        Args:
            entries: name -> its rows, all of the same cases.

        Raises:
            MedbenchError: ``ranking.cases`` when an entry has other cases than the first.
        """
        score = self.metric("score")
        means = {
            name: float(self.statistic(score, rows)(np.ones(len(rows)))) for name, rows in entries.items()
        }
        return significance_standings(entries, (ANGLE, *SEGMENTATION), means)

    def look_at_mask(self, pair: Pair) -> tuple[npt.NDArray[np.uint8], Sequence[str]]:
        """The label map, and which structure it lacks."""
        labels = read_label_map(pair.mask)
        lacking = [
            f"label maps hold no {name}"
            for label, name in self.labels.items()
            if label not in labels and label
        ]
        return labels, lacking

    def check(self, root: Path) -> list[Finding]:
        """As for all pictures with masks, and how many of the release are there."""
        findings, present = super().check(root), len(self.pairs(root))
        if present != RELEASED:
            told = f"{present:,} of the release's {RELEASED:,} pictures."
            findings.insert(0, Finding("warning", told, "A subset: its scores are marked so."))
        return findings

    def sample(self, root: Path) -> None:
        """Draw frames of all three splits as the release stores them."""
        from medbench.challenges.psfhs.sample import write_sample

        write_sample(root)


def _counted(scores: Mapping[str, Score]) -> CaseScores:
    complete = all(score.value is not None for score in scores.values())
    return CaseScores(scores, {"counts_in_s": True} if complete else {})


def _group(number: int) -> str:
    first = number // GROUP_LENGTH * GROUP_LENGTH
    return f"{first:05}-{first + GROUP_LENGTH - 1:05}"


def read_label_map(path: Path) -> npt.NDArray[np.uint8]:
    """Labels ``(height, width)`` of 0 background, 1 pubic symphysis, 2 fetal head.

    A map that is stored with a third axis of length 1, or with three equal planes, is a plane.

    Raises:
        MedbenchError: when the file is missing, damaged or no label map; ``data.label_unknown`` with the
            values found.
    """
    labels = images.read_labels(path).array
    if labels.ndim == 3 and labels.shape[0] in (1, 3) and not np.any(labels != labels[:1]):
        labels = labels[0]
    if labels.ndim != 2:
        raise MedbenchError(
            "data.dimensions",
            f"{path}: is {'×'.join(map(str, labels.shape))}, a label map is one plane.",
            "Write one label map a frame.",
        )
    found = np.unique(labels)
    if found.min(initial=0) < 0 or found.max(initial=0) > 2:
        shown = ", ".join(map(str, found[:6])) + (", …" if len(found) > 6 else "")
        scaled = 255 in found or {7, 8} & set(found.tolist())
        raise MedbenchError(
            "data.label_unknown",
            f"{path}: holds the label values {shown}; known are 0, 1 (pubic symphysis), 2 (head).",
            "The file is coded for viewing or of another set: map its values to 0, 1 and 2."
            if scaled
            else "Write the labels 0, 1 and 2 only.",
        )
    return np.ascontiguousarray(labels.astype(np.uint8))


def plane_like(labels: npt.NDArray[np.uint8], stack: Volume) -> Volume:
    """A label map with the geometry of one plane of ``stack``, a picture of two or three axes."""
    if len(stack.shape) == 2:
        return Volume(labels, stack.spacing, stack.origin, stack.direction)
    assert stack.spacing is not None
    assert stack.origin is not None
    assert stack.direction is not None
    turn = np.reshape(stack.direction, (3, 3))[:2, :2]
    direction = tuple(turn.ravel().tolist()) if abs(np.linalg.det(turn)) > 0.5 else None
    return Volume(labels, stack.spacing[-2:], stack.origin[-2:], direction)
