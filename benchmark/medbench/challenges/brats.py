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

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import CaseScores, Challenge, Finding, SplitFacts
from medbench.challenges.brats_editions import EDITIONS, OLD_NAMES, Edition
from medbench.challenges.brats_files import (
    DATA_HINT,
    eight_bit,
    find_cases,
    look_at,
    number_of,
    read_label_map,
    read_sequences,
    split_of,
)
from medbench.challenges.brats_scoring import score_regions, score_tissues
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, sha256_json
from medbench.core.sample import Prediction, Sample, TrainingImage, TrainingVolume, VolumeSample
from medbench.core.score import Score, Status
from medbench.io import nifti_mha
from medbench.io.geometry import check_geometry

CHANNELS = ("t1c", "t2f", "t2w")
SPLITS = ("train", "val", "test", "all")
_PUBLISHED_ORDER = (
    "t2w", "t1c", "t1n", "t2f", "t1c t2w", "t1c t1n", "t2f t1n", "t1n t2w", "t2f t2w", "t2f t1c",
    "t2f t1c t1n", "t2f t1n t2w", "t2f t1c t2w", "t1c t1n t2w", "t2f t1c t1n t2w",
)  # fmt: skip


class BraTS(Challenge):
    """One edition; :data:`EDITIONS` holds what distinguishes it."""

    edition: ClassVar[Edition]
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

    def read_reference(self, case: Case) -> Volume:
        """The case's label map, axes ``(z, y, x)``.

        Raises:
            MedbenchError: when there is none, or it is damaged, not 3-D or holds labels of another edition.
        """
        if "labels" not in case.reference:
            raise MedbenchError(
                "data.no_reference", f"{case.id}: has no *{self.edition.reference}.nii.gz.", self.data_hint
            )
        return self._labels(case.reference["labels"])

    def _labels(self, path: Path) -> Volume:
        return read_label_map(path, self.edition.labels, self.title)

    def read(self, case: Case) -> Sample:
        """Axial slices ``(z, y, x, 3)``, 8 bit, each sequence scaled to its brain's 0.5 to 99.5 %.

        Raises:
            MedbenchError: as :func:`read_sequences`, or ``data.no_channel``.
        """
        pictures = self._pictures(case)
        if not set(case.inputs) & set(CHANNELS):
            raise MedbenchError(
                "data.no_channel",
                f"{case.id}: a two-dimensional network sees {', '.join(CHANNELS)} alone, and none of them is "
                "there.",
                "Choose a three-dimensional model, or other sequences.",
            )
        return Sample(case, pictures, frozenset({"labels"}))

    def _pictures(self, case: Case) -> npt.NDArray[np.uint8]:
        volumes = read_sequences(case)
        empty = np.zeros(next(iter(volumes.values())).shape, np.uint8)
        channels = [eight_bit(volumes[name].array) if name in volumes else empty for name in CHANNELS]
        return np.stack(channels, axis=-1)

    def read_volumes(self, case: Case) -> VolumeSample:
        """The edition's sequences as stored; those without a file are zero and marked.

        Raises:
            MedbenchError: as :func:`read_sequences`.
        """
        volumes = read_sequences(case)
        first = next(iter(volumes.values()))
        kind = np.result_type(*(volume.array.dtype for volume in volumes.values()))
        stacked = np.zeros((len(self.modalities), *first.shape), kind)
        for channel, name in enumerate(self.modalities):
            if name in volumes:
                stacked[channel] = volumes.pop(name).array
        present = tuple(name in case.inputs for name in self.modalities)
        return VolumeSample(case, tuple(self.modalities), stacked, present, first.spacing)

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

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the edition's labels, 8 bit, in the geometry of the case's first sequence."""
        assert prediction.labels is not None
        values = np.array(list(self.edition.labels), np.uint8)
        grid = nifti_mha.read_volume(next(iter(case.inputs.values())))
        path = folder / self.prediction_name(case)
        labels = values[prediction.labels]
        nifti_mha.write_volume(path, Volume(labels, grid.spacing, grid.origin, grid.direction))
        return path

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """The protocol's values of every region."""
        reference, prediction = self.read_reference(case), self._labels(path)
        check_geometry(reference, prediction, str(path))
        spacing = prediction.spacing or (1.0, 1.0, 1.0)
        return CaseScores(self.score_arrays(reference.array, prediction.array, spacing))

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

    def illustrate(
        self, case: Case, path: Path
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        """The axial slice with most reference tumour."""
        reference, prediction = self.read_reference(case).array, self._labels(path).array
        z = int((reference > 0).sum(axis=(1, 2)).argmax())
        pictures = self._pictures(case) if case.inputs else np.zeros((*reference.shape, 3), np.uint8)
        return pictures[z], reference[z], prediction[z]

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """Axial slices that show any brain, each with its label map."""
        images = []
        for case in self._to_learn(root, split):
            kept = self._kept(case, cache)
            pictures = np.load(kept[0], mmap_mode="r")
            images += [
                TrainingImage(f"{case.id}#{z}", case.group, functools.partial(_slice, kept, z), True)
                for z in range(len(pictures))
                if pictures[z].any()
            ]
        return images

    def training_volumes(self, root: Path, split: str) -> list[TrainingVolume]:
        """Whole cases with class indices in the order of the edition's labels."""
        return [
            TrainingVolume(
                case.id,
                case.group,
                functools.partial(self._lesson, case),
                (*case.inputs.values(), *case.reference.values()),
            )
            for case in self._to_learn(root, split)
        ]

    def _to_learn(self, root: Path, split: str) -> list[Case]:
        return [case for case in self.cases(root, split) if case.reference and case.inputs]

    def _lesson(self, case: Case) -> tuple[VolumeSample, npt.NDArray[np.uint8]]:
        sample = self.read_volumes(case)
        return sample, self._indices(case)

    def _indices(self, case: Case) -> npt.NDArray[np.uint8]:
        """Class indices of the reference, on the grid of the images."""
        reference = self.read_reference(case)
        grid = nifti_mha.read_volume(next(iter(case.inputs.values())))
        check_geometry(grid, reference, str(case.reference["labels"]), "the reference")
        table = np.zeros(max(self.edition.labels) + 1, np.uint8)
        table[list(self.edition.labels)] = np.arange(len(self.edition.labels))
        indices: npt.NDArray[np.uint8] = table[reference.array]
        return indices

    def _kept(self, case: Case, cache: Path) -> tuple[Path, Path]:
        """Slices and label indices of a case as memory-mappable arrays, made once."""
        files = [*case.inputs.values(), *case.reference.values()]
        states = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        key = sha256_json(["brats-slices-1", self.name, states])[:16]
        paths = cache / f"{case.id}-{key}-images.npy", cache / f"{case.id}-{key}-labels.npy"
        if not all(path.exists() for path in paths):
            for path, array in zip(paths, (self._pictures(case), self._indices(case)), strict=True):
                with atomic_path(path) as temporary:
                    np.save(temporary, array)
        return paths

    def sample(self, root: Path) -> None:
        """Draw 6 training, 2 validation and 4 test heads at reduced size in the edition's layout."""
        from medbench.challenges.synthesis.brats import write_sample

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
                findings += look_at(case, self.edition, self.title)
                if owners.setdefault(case.group, split) != split:
                    findings.append(
                        Finding(
                            "error",
                            f"patient {case.group} is in both {owners[case.group]} and {split}.",
                            "Scores on it would be of training data: remove it from one split.",
                        )
                    )
        return findings


def _slice(
    kept: tuple[Path, Path], z: int, size: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
    from medbench.io.raster import resize_labels, resize_picture

    picture, labels = (np.load(path, mmap_mode="r")[z] for path in kept)
    return resize_picture(np.array(picture), size, size), resize_labels(np.array(labels), size, size)


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
