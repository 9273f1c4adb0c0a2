"""MyoPS 2020: scar and oedema of the myocardium in three registered cardiac MR sequences.

Sources: layout and label values from Jun-Jie-Shi/HGA@f20ef65 and HiLab's winning program @6ac6157; what the
challenge scored, scar and scar with oedema, from the abstract of arXiv 2409.12792; the rules of papers on
missing sequences from HGA/2D/predict.py. The organisers' own program could not be retrieved.

Two protocols never share a table:

* ``by volume``: Dice and HD95 (mm) of the whole volume for scar and for scar with oedema, which the challenge
  ranked, and for both ventricles, the whole myocardium and oedema alone. How the organisers averaged and what
  an empty mask scored is not public; ours: mean over patients, Dice 1 when both masks are empty.
* ``as papers on missing sequences``: Dice and HD95 (pixels) of every slice for the ventricles and the
  myocardium alone, an empty mask against another scoring HD95 1, mean over all slices. Such papers say
  nothing of pathology, although they name this challenge.

Slices lie 10 to 20 mm apart, so networks see them one by one; HD95 in mm hardly depends on the third axis.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges.base import Finding, SplitFacts
from medbench.challenges.families.mr_volumes import SequenceChallenge, check_axes, check_labels
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, Weights
from medbench.core.result_table import mean_statistic as plain_mean
from medbench.core.score import Score, Status
from medbench.io.geometry import ONE_GRID, check_geometry
from medbench.io.images import read_labels

BY_VOLUME, BY_SLICE = "by volume", "as papers on missing sequences"
REGIONS: Mapping[str, tuple[int, ...]] = {
    "scar": (2221,),
    "scar_edema": (1220, 2221),
    "lv": (500,),
    "rv": (600,),
    "myo": (200, 1220, 2221),
    "edema": (1220,),
}
TITLES = {"scar_edema": "scar+oedema", "edema": "oedema", "lv": "LV", "rv": "RV", "myo": "Myo"}
RANKED = ("scar", "scar_edema")
SLICE_REGIONS = ("lv", "rv", "myo")
PAPERS_TEST = (107, 111, 115, 117, 120)
_NAME = re.compile(r"(myops_(?:training|test)_(\d+))_(C0|DE|T2|gd)\.nii(?:\.gz)?$", re.IGNORECASE)


def _columns() -> Iterator[MetricSpec]:
    for region in REGIONS:
        title, headline = TITLES.get(region, region), region in RANKED
        yield MetricSpec(
            f"dice_{region}", f"Dice {title}", "", "higher", "dice", (0.0, 1.0),
            headline=headline, protocol=BY_VOLUME,
        )  # fmt: skip
        yield MetricSpec(
            f"hd95_{region}", f"HD95 {title}", "mm", "lower", "hd95.pooled", headline=headline,
            protocol=BY_VOLUME,
        )  # fmt: skip
    for region in SLICE_REGIONS:
        title = TITLES[region]
        yield MetricSpec(
            f"slice_dice_{region}", f"Dice {title} by slice", "", "higher", "dice.epsilon", (0.0, 1.0),
            headline=True, protocol=BY_SLICE,
        )  # fmt: skip
        yield MetricSpec(
            f"slice_hd95_{region}", f"HD95 {title} by slice", "px", "lower", "hd95.pooled", headline=True,
            protocol=BY_SLICE,
        )  # fmt: skip


class MyoPS2020(SequenceChallenge):
    """Myocardial pathology segmentation, MICCAI 2020."""

    name = "myops2020"
    title = "MyoPS 2020"
    task = "segmentation of myocardial scar and oedema in bSSFP, LGE and T2 cardiac MR"
    labels = {  # noqa: RUF012
        0: "background",
        200: "normal myocardium",
        500: "left ventricular blood pool",
        600: "right ventricular blood pool",
        1220: "oedema",
        2221: "scar",
    }
    splits = ("train", "test", "all", "unlabelled")
    modalities = {"C0": ("bssfp",), "DE": ("lge",), "T2": ("t2w",)}  # noqa: RUF012
    channels = ("C0", "DE", "T2")
    modality_combinations = (
        ("T2",),
        ("DE",),
        ("C0",),
        ("DE", "T2"),
        ("C0", "DE"),
        ("C0", "T2"),
        ("C0", "DE", "T2"),
    )
    metrics = tuple(_columns())
    failure_rule = (
        "a failed or missing case scores Dice 0 and HD95 the diagonal, of the volume in mm and of a slice in "
        "pixels (ours; the organisers' rule is not public)."
    )
    citation = (
        "Li et al.: MyoPS: a benchmark of myocardial pathology segmentation combining three-sequence cardiac "
        "magnetic resonance images, Medical Image Analysis 87, 2023, doi 10.1016/j.media.2023.102808"
    )
    bibtex = """@article{li2023myops,
  title = {{MyoPS}: A benchmark of myocardial pathology segmentation combining three-sequence cardiac magnetic
           resonance images},
  author = {Li, Lei and Wu, Fuping and Wang, Sihan and Luo, Xinzhe and others},
  journal = {Medical Image Analysis},
  volume = {87},
  pages = {102808},
  year = {2023},
  doi = {10.1016/j.media.2023.102808}
}"""
    license = "by registration with the organisers; CC BY-NC-ND by a participant's copy; no redistribution"
    homepage = "https://zmiclab.github.io/zxh/0/myops20/"
    data_hint = (
        "Expected myops_training_101_C0.nii.gz with _DE, _T2 and _gd (101 to 125), and myops_test_201_… "
        "without _gd, in one folder or in several below it (train25, train25_myops_gd, test20)."
    )
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The organisers' test references are not public, so papers hold five training patients out."""
        self.check_split(split)
        held = ", ".join(map(str, PAPERS_TEST))
        rules = {
            "train": (f"the 25 labelled patients but {held} (split of HGA and PASSION's authors)", 20),
            "test": (f"patients {held} of the 25 labelled ones (split of HGA and PASSION's authors)", 5),
            "all": ("the 25 labelled patients, those of train and test together", 25),
            "unlabelled": ("the organisers' 20 test patients, without references", 20),
        }
        return SplitFacts(*rules[split])

    def share_cases(self, training_split: str, split: str) -> bool:
        """``all`` holds the cases of ``train`` and ``test``."""
        return "all" in (training_split, split) and "unlabelled" not in (training_split, split)

    def cases(self, root: Path, split: str) -> list[Case]:
        """Patients in the order of their numbers."""
        self.check_split(split)
        files: dict[str, dict[str, Path]] = {}
        for path in sorted(root.rglob("*.nii*")):
            found = _NAME.search(path.name)
            if found:
                files.setdefault(found[1].lower(), {}).setdefault(found[3].lower(), path)
        if not files:
            raise self.layout_error(root, ("myops_training_101_C0.nii.gz", "myops_test_201_C0.nii.gz"))
        return [_case(name, parts) for name, parts in sorted(files.items()) if _belongs(name, split)]

    def read_labels(self, path: Path) -> Volume:
        """A label map with the challenge's own values, axes ``(slice, y, x)``.

        Raises:
            MedbenchError: when it is damaged, not 3-D or holds other values.
        """
        volume = read_labels(path)
        check_axes(volume, path)
        check_labels(
            volume, path, tuple(self.labels), self.title,
            "Write the challenge's own values in 16 bits: 8 bits cut 500 to 244, and class indices 1 to 5 "
            "are not values.",
        )  # fmt: skip
        return volume

    def prediction_name(self, case: Case) -> str:
        """``<case>.nii.gz``."""
        return f"{case.id}.nii.gz"

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """Also under the reference's name, or with ``_seg`` or ``_result`` at its end."""
        found = super().locate(case, folder, rename)
        others = (folder / f"{case.id}_{end}.nii.gz" for end in ("gd", "seg", "result"))
        return found or next((path for path in others if path.is_file()), None)

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """Both protocols; the number of slices weighs the case in the second."""
        found = super().score_file(case, path)
        return CaseScores(found.scores, {"slices": self.read_labels(path).shape[0]})

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """Both protocols on label arrays.

        Args:
            reference: ``(slices, height, width)`` with the challenge's values.
            prediction: the same shape and values.
            spacing: mm along each axis; without it HD95 in mm is undefined.
        """
        first, second = np.asarray(reference), np.asarray(prediction)
        return {**self._by_volume(first, second, spacing), **_by_slice(first, second)}

    @staticmethod
    def _by_volume(reference: Any, prediction: Any, spacing: tuple[float, ...] | None) -> dict[str, Score]:
        from medbench.metrics import evaluate_arrays

        ids = ["dice"] if spacing is None else ["dice", "hd95.pooled"]
        rules = {"dice": "agree", "hd95.pooled": "diagonal_if_one"}
        found = evaluate_arrays(reference, prediction, ids, dict(REGIONS), spacing, empty=rules)
        missing = Score.undefined("no spacing is known")
        scores = {f"dice_{region}": found[region]["dice"] for region in REGIONS}
        return scores | {f"hd95_{region}": found[region].get("hd95.pooled", missing) for region in REGIONS}

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :attr:`failure_rule`; a case without a readable reference has none."""
        try:
            reference = self.read_reference(case)
        except MedbenchError as error:
            return CaseScores({spec.name: Score.undefined(error.message) for spec in self.metrics})
        steps = reference.spacing or (1.0,) * 3
        far = {
            "": 0.0,
            "mm": math.hypot(*(side * step for side, step in zip(reference.shape, steps, strict=True))),
            "px": math.hypot(*reference.shape[1:]),
        }
        scores = {spec.name: Score(far[spec.unit], status, reason) for spec in self.metrics}
        return CaseScores(scores, {"slices": reference.shape[0]})

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """Means over patients; over all slices in the protocol by slice."""
        if metric.protocol != BY_SLICE:
            return plain_mean(metric, rows)
        values = plain_mean(metric, rows)
        counts = np.array([float(row.evidence.get("slices", 0)) for row in rows])

        def mean(weights: Weights) -> Weights:
            return values(weights * counts)

        return mean

    def sample(self, root: Path) -> None:
        """Draw six training, two test and one unlabelled patient at reduced size in the release's folders."""
        from medbench.challenges.myops2020.sample import write_sample

        write_sample(root)

    def check(self, root: Path) -> list[Finding]:
        """Counts, missing sequences, grids and label values."""
        findings: list[Finding] = []
        for split, expected in (("train", 20), ("test", 5), ("unlabelled", 20)):
            cases = self.cases(root, split)
            findings.append(Finding("note", f"{split}: {len(cases)} patients, the release has {expected}."))
            for case in cases:
                findings += self._look_at(case, split)
        return findings

    def _look_at(self, case: Case, split: str) -> Iterator[Finding]:
        missing = sorted(set(self.modalities) - set(case.inputs))
        if missing:
            yield Finding("warning", f"{case.id}: has no {', '.join(missing)}.")
        try:
            grid = next(iter(self.read_sequences(case).values())) if case.inputs else None
            if case.reference:
                reference = self.read_reference(case)
                if grid is not None:
                    check_geometry(grid, reference, str(case.reference["labels"]), "the reference", ONE_GRID)
                if not np.isin(reference.array, REGIONS["scar"]).any():
                    yield Finding("note", f"{case.id}: has no scar.")
            elif split != "unlabelled":
                yield Finding("error", f"{case.id}: has no _gd file.", self.data_hint)
        except MedbenchError as error:
            yield Finding("error", error.message, error.hint)


def _case(name: str, parts: Mapping[str, Path]) -> Case:
    inputs = {key: parts[key.lower()] for key in MyoPS2020.modalities if key.lower() in parts}
    return Case(name, inputs, {"labels": parts["gd"]} if "gd" in parts else {}, name)


def _belongs(name: str, split: str) -> bool:
    number = int(name.rpartition("_")[2])
    if "test" in name:
        return split == "unlabelled"
    held = number in PAPERS_TEST
    return {"train": not held, "test": held, "all": True, "unlabelled": False}[split]


def _by_slice(reference: Any, prediction: Any) -> dict[str, Score]:
    """Means over the slices, each a volume one voxel thick, as the papers' programs take them."""
    from medbench.metrics import evaluate_arrays

    regions = {region: REGIONS[region] for region in SLICE_REGIONS}
    rules = {"hd95.pooled": "incomplete_modality"}
    slices = [
        evaluate_arrays(
            reference[z : z + 1], prediction[z : z + 1], ["dice.epsilon", "hd95.pooled"], regions, "pixel",
            empty=rules,
        )
        for z in range(len(reference))
    ]  # fmt: skip
    scores = {}
    for measure, convention in (("dice", "dice.epsilon"), ("hd95", "hd95.pooled")):
        for region in SLICE_REGIONS:
            values = [found[region][convention].value for found in slices]
            known = [value for value in values if value is not None]
            scores[f"slice_{measure}_{region}"] = Score(sum(known) / len(slices))
    return scores
