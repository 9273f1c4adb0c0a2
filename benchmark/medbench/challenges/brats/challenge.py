"""BraTS, the brain tumour segmentation challenges, 2018 to 2025.

Sources: label schemes, file names and scoring of each year from the organisers' public programs:
CBICA/CaPTk@cce8818 (until 2022), rachitsaluja/BraTS-2023-Metrics@43c9052, BraTS-2024-Metrics@f1131e3,
BraTS_evaluation 0.0.8 (2025), Sage-Bionetworks-Challenges/brats-infra@4d6b4b8 (names of predictions).

Enhancing tumour is label 4 until 2022 and label 3 from 2023 on, where 4 may be a resection cavity. A label
that the edition does not have is an error here; the organisers' programs silently take it for background.
Each edition has one protocol, so numbers of two protocols never share a column. What stands in for CaPTk's
HD95, whose program is not public, is the pooled one (medpy).

Two-dimensional networks see axial slices with t1c, t2f and t2w as their three channels; t1n is left out, and
a file that is not there is an empty channel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from medbench.challenges.base import Finding, SplitFacts
from medbench.challenges.brats.editions import EDITIONS, OLD_NAMES, Edition
from medbench.challenges.brats.files import DATA_HINT, find_cases, number_of, split_of
from medbench.challenges.brats.scoring import score_regions, score_tissues
from medbench.challenges.families.mr_volumes import SequenceChallenge, check_axes, check_labels
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores
from medbench.core.score import Score, Status
from medbench.io.geometry import ONE_GRID, check_geometry
from medbench.io.images import read_labels

SPLITS = ("train", "val", "test", "all")
_OTHER_EDITION = (
    "Enhancing tumour is 4 until 2022 and 3 from 2023 on: convert the label maps, or choose the edition that "
    "they belong to."
)
_PUBLISHED_ORDER = (
    "t2w", "t1c", "t1n", "t2f", "t1c t2w", "t1c t1n", "t2f t1n", "t1n t2w", "t2f t2w", "t2f t1c",
    "t2f t1c t1n", "t2f t1n t2w", "t2f t1c t2w", "t1c t1n t2w", "t2f t1c t1n t2w",
)  # fmt: skip


class BraTS(SequenceChallenge):
    """One edition; :data:`EDITIONS` holds what distinguishes it."""

    edition: ClassVar[Edition]
    channels = ("t1c", "t2f", "t2w")
    task = "three-dimensional segmentation of brain tumours in four MR sequences"
    splits = SPLITS
    citation = "The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS), doi 10.1109/TMI.2014.2377694"
    license = "by registration with the organisers; CC BY-NC 4.0 for most cohorts"
    homepage = "https://www.synapse.org/brats"
    sample_version = "2"
    failure_rule = (
        "a failed or missing case scores as the organisers score a missing file: 0, and the penalty distance "
        "of the edition (374 voxels until 2024, but 337 for glioma after treatment and the image's diagonal "
        "for metastases and radiotherapy in 2024; 373 in 2025; CaPTk's failures: Dice 0, HD95 374, "
        "sensitivity and specificity 0; 1 in papers on missing sequences)."
    )
    data_hint = DATA_HINT

    def split_facts(self, split: str) -> SplitFacts:
        """A folder of that name, or our own split by patient: the organisers publish no test references."""
        self.check_split(split)
        if split == "all":
            return SplitFacts("every case of the folder, those of train, val and test together")
        share = {"train": 60, "val": 20, "test": 20}[split]
        return SplitFacts(f"the folder {split}/, or {share} % of the patients by the SHA-256 of their name")

    def share_cases(self, training_split: str, split: str) -> bool:
        """``all`` holds the cases of the three others, which share none."""
        return "all" in (training_split, split)

    def cases(self, root: Path, split: str) -> list[Case]:
        """Cases in the order of their names; a patient's follow-ups are one group.

        Without folders train/, val/ and test/ our own split by patient applies; label maps alone are not
        split, as they are there to be scored.
        """
        self.check_split(split)
        parts = [root / name for name in SPLITS[:3] if (root / name).is_dir()]
        if parts and split != "all":
            if not (root / split).is_dir():
                raise MedbenchError("data.split_missing", f"{root}: has no folder '{split}'.", self.data_hint)
            return self._found(root, [root / split])
        found = self._found(root, parts or [root])
        masks_only = not any(case.inputs for case in found)
        if parts or split == "all" or masks_only:
            return found
        return [case for case in found if split_of(case.group) == split]

    def _found(self, root: Path, folders: Sequence[Path]) -> list[Case]:
        cases = find_cases(folders, self.edition)
        if not cases:
            separator = self.edition.separator
            names = (*self.edition.suffixes.values(), self.edition.reference)
            raise self.layout_error(root, (f"*{separator}{name}.nii.gz" for name in names))
        return cases

    def read_labels(self, path: Path) -> Volume:
        """A label map with the edition's labels, axes ``(z, y, x)``.

        Raises:
            MedbenchError: when it is damaged, not 3-D or holds labels of another edition.
        """
        volume = read_labels(path)
        check_axes(volume, path)
        check_labels(volume, path, tuple(self.labels), self.title, _OTHER_EDITION)
        return volume

    def prediction_name(self, case: Case) -> str:
        """``<case>.nii.gz``, as the containers of 2023 and later write it."""
        return f"{case.id}.nii.gz"

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The prediction by name, or the one file that ends with the case's number, as the organisers do.

        Raises:
            MedbenchError: ``predictions.ambiguous`` when several files end so.
        """
        named = super().locate(case, folder, rename)
        number = number_of(case.id)
        if named is not None or number is None:
            return named
        found = sorted(folder.glob(f"*{number}.nii.gz"))
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise MedbenchError(
                "predictions.ambiguous", f"{case.id}: several predictions: {names}.", "Keep one of them."
            )
        return found[0] if found else None

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """The protocol's values.

        Args:
            reference: 3-D label map with the edition's labels.
            prediction: the same shape and labels.
            spacing: mm along each axis, 1 if not given.
        """
        steps = spacing or (1.0, 1.0, 1.0)
        if self.edition.tissue_rules:
            return score_tissues(self.edition, reference, prediction, steps)
        return score_regions(self.edition, reference, prediction, steps)

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :attr:`failure_rule`; a case without a readable reference has none."""
        try:
            reference = self.read_reference(case)
        except MedbenchError as error:
            return CaseScores({spec.name: Score.undefined(error.message) for spec in self.metrics})
        diagonal = math.sqrt(sum(side * side for side in reference.shape))
        far = diagonal if self.edition.penalty_mm is None else self.edition.penalty_mm
        return CaseScores(
            {
                spec.name: Score(far if math.isnan(measure.penalty) else measure.penalty, status, reason)
                for spec, measure, _ in self.edition.columns()
            }
        )

    def sample(self, root: Path) -> None:
        """Draw 6 training, 2 validation and 4 test heads at reduced size in the edition's layout."""
        from medbench.challenges.brats.sample import write_sample

        write_sample(root, self.edition)

    def check(self, root: Path) -> list[Finding]:
        """Files, geometry and labels of every case; patients in two splits."""
        findings: list[Finding] = []
        owners: dict[str, str] = {}
        parts = [name for name in SPLITS[:3] if (root / name).is_dir()] or ["all"]
        for split in parts:
            cases = self.cases(root, split)
            findings.append(Finding("note", f"{split}: {len(cases)} cases."))
            for case in cases:
                findings += self._look_at(case)
                if owners.setdefault(case.group, split) != split:
                    findings.append(
                        Finding(
                            "error",
                            f"patient {case.group} is in both {owners[case.group]} and {split}.",
                            "Scores on it would be of training data: remove it from one split.",
                        )
                    )
        return findings

    def _look_at(self, case: Case) -> Iterator[Finding]:
        missing = sorted(set(self.modalities) - set(case.inputs))
        if missing:
            yield Finding("warning", f"{case.id}: has no {', '.join(missing)}.")
        try:
            grid = next(iter(self.read_sequences(case).values())) if case.inputs else None
            if not case.reference:
                yield Finding("note", f"{case.id}: has no reference.")
                return
            reference = self.read_reference(case)
            if grid is not None:
                check_geometry(grid, reference, str(case.reference["labels"]), "the reference", ONE_GRID)
            if not reference.array.any():
                yield Finding("warning", f"{case.reference['labels']}: holds no tumour.")
        except MedbenchError as error:
            yield Finding("error", error.message, error.hint)


def _combinations(edition: Edition) -> tuple[tuple[str, ...], ...]:
    """All 15 in the order of RFNet, mmFormer and PASSION, where there are four sequences."""
    if len(edition.suffixes) < len(OLD_NAMES):
        return ()
    return tuple(tuple(names.split()) for names in _PUBLISHED_ORDER)


def _edition(name: str) -> type[BraTS]:
    title, edition = EDITIONS[name]
    facts = {
        "__module__": __name__,
        "__doc__": f"{title}, scored by the protocol {edition.protocol}.",
        "name": name,
        "title": title,
        "edition": edition,
        "modalities": {name: (OLD_NAMES[name],) for name in edition.suffixes},
        "modality_combinations": _combinations(edition),
        "labels": edition.labels,
        "task": BraTS.task if len(edition.suffixes) > 1 else "segmentation of gross tumour volumes in MR",
        "metrics": tuple(spec for spec, _, _ in edition.columns()),
    }
    return type(title.replace(" ", ""), (BraTS,), facts)


BRATS2018, BRATS2019, BRATS2020, BRATS2021 = map(
    _edition, ("brats2018", "brats2019", "brats2020", "brats2021")
)
BRATS2023_GLI, BRATS2023_SSA, BRATS2023_PED, BRATS2023_MEN, BRATS2023_MET = map(
    _edition, ("brats2023_gli", "brats2023_ssa", "brats2023_ped", "brats2023_men", "brats2023_met")
)
BRATS2024_GLI, BRATS2024_SSA, BRATS2024_MET, BRATS2024_PED, BRATS2024_MEN_RT = map(
    _edition, ("brats2024_gli", "brats2024_ssa", "brats2024_met", "brats2024_ped", "brats2024_men_rt")
)
BRATS2025_GLI, BRATS2025_MET = map(_edition, ("brats2025_gli", "brats2025_met"))
