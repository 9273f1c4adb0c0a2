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
import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import CaseScores, Challenge, Finding, SplitFacts
from medbench.challenges.brats_editions import EDITIONS, Edition
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, sha256_json
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.core.score import Score, Status
from medbench.io import nifti_mha
from medbench.io.geometry import check_geometry
from medbench.io.images import read_labels

CHANNELS = ("t1c", "t2f", "t2w")
SPLITS = ("train", "val", "test", "all")
_NUMBER = re.compile(r"(\d{5}-\d{3}|\d{5}|[A-Z0-9]+_\d+|\d{3})$")


class BraTS(Challenge):
    """One edition; :data:`EDITIONS` holds what distinguishes it."""

    edition: ClassVar[Edition]
    task = "three-dimensional segmentation of brain tumours in four MR sequences"
    splits = SPLITS
    citation = "The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS), doi 10.1109/TMI.2014.2377694"
    license = "by registration with the organisers; CC BY-NC 4.0 for most cohorts"
    homepage = "https://www.synapse.org/brats"
    sample_version = "1"
    failure_rule = (
        "a failed or missing case scores as the organisers score a missing file: 0, and the penalty distance "
        "of the edition (374 voxels until 2024, 373 in 2025; CaPTk's failures: Dice 0, HD95 374, sensitivity "
        "and specificity 0)."
    )
    data_hint = (
        "Expected one folder a case with its NIfTI files (<case>/<case>-t1c.nii.gz … -seg.nii.gz from 2023 "
        "on, <case>_t1ce.nii.gz … _seg.nii.gz before), in train/, val/ and test/ or all together, or a "
        "folder of reference label maps *seg.nii.gz."
    )

    def split_facts(self, split: str) -> SplitFacts:
        """A folder of that name, or our own split by patient: the organisers publish no test references."""
        self.check_split(split)
        if split == "all":
            return SplitFacts("every case of the folder")
        share = {"train": 60, "val": 20, "test": 20}[split]
        return SplitFacts(f"the folder {split}/, or {share} % of the patients by the SHA-256 of their name")

    def cases(self, root: Path, split: str) -> list[Case]:
        """Cases in the order of their names; a patient's follow-ups are one group."""
        self.check_split(split)
        parts = [root / name for name in ("train", "val", "test") if (root / name).is_dir()]
        if parts and split != "all":
            if not (root / split).is_dir():
                raise MedbenchError("data.split_missing", f"{root}: has no folder '{split}'.", self.data_hint)
            return self._found(root, [root / split])
        found = self._found(root, parts or [root])
        masks_only = not any(case.inputs for case in found)
        if parts or split == "all" or masks_only:
            return found
        return [case for case in found if _split_of(case.group) == split]

    def _found(self, root: Path, folders: Sequence[Path]) -> list[Case]:
        references = sorted(
            path for folder in folders for path in folder.rglob("*.nii*") if self._is_reference(path)
        )
        images = sorted(
            path for folder in folders for path in folder.rglob("*.nii*") if self._modality(path) == "t2f"
        )
        homes = {path.parent for path in images}
        cases = [self._case(folder) for folder in sorted(homes)]
        cases += [self._mask_case(path) for path in references if path.parent not in homes]
        if not cases:
            raise self.layout_error(root, ("*-t2f.nii.gz or *_flair.nii.gz", "*seg.nii.gz"))
        return cases

    def _is_reference(self, path: Path) -> bool:
        return bool(re.search(r"[-_]seg\.nii(\.gz)?$", path.name, re.IGNORECASE))

    def _modality(self, path: Path) -> str | None:
        stem = _stem(path)
        for modality, suffix in self.edition.suffixes.items():
            if stem.endswith(self.edition.separator + suffix):
                return modality
        return None

    def _case(self, folder: Path) -> Case:
        inputs: dict[str, Path] = {}
        for path in sorted(folder.glob("*.nii*")):
            modality = self._modality(path)
            if modality is not None:
                inputs.setdefault(modality, path)
        references = [path for path in sorted(folder.glob("*.nii*")) if self._is_reference(path)]
        reference = {"labels": references[0]} if references else {}
        return Case(folder.name, inputs, reference, _patient(folder.name))

    @staticmethod
    def _mask_case(path: Path) -> Case:
        name = re.sub(r"[-_]seg$", "", _stem(path), flags=re.IGNORECASE)
        return Case(name, {}, {"labels": path}, _patient(name))

    def read_reference(self, case: Case) -> Volume:
        """The case's label map, axes ``(z, y, x)``.

        Raises:
            MedbenchError: when there is none, or it is damaged, not 3-D or holds labels of another edition.
        """
        if "labels" not in case.reference:
            raise MedbenchError("data.no_reference", f"{case.id}: has no *seg.nii.gz.", self.data_hint)
        return self._labels(case.reference["labels"])

    def _labels(self, path: Path) -> Volume:
        volume = read_labels(path)
        _check_axes(volume, path)
        found = np.unique(volume.array)
        strange = [int(value) for value in found if int(value) not in self.edition.labels]
        if strange:
            known = ", ".join(map(str, self.edition.labels))
            raise MedbenchError(
                "data.label_unknown",
                f"{path}: holds label {', '.join(map(str, strange[:8]))}, which {self.title} does not have "
                f"({known}).",
                "Enhancing tumour is 4 until 2022 and 3 from 2023 on: convert the label maps, or choose the "
                "edition that they belong to.",
            )
        return volume

    def read(self, case: Case) -> Sample:
        """Axial slices ``(z, y, x, 3)``, 8 bit, each sequence scaled to its brain's 0.5 to 99.5 %."""
        return Sample(case, self._pictures(case)[0], frozenset({"labels"}))

    def _pictures(self, case: Case) -> tuple[npt.NDArray[np.uint8], Volume]:
        if not case.inputs:
            raise MedbenchError("data.no_input", f"{case.id}: this folder holds no images.", self.data_hint)
        grid: Volume | None = None
        channels: dict[str, npt.NDArray[np.uint8]] = {}
        for modality, path in case.inputs.items():
            volume = nifti_mha.read_volume(path)
            _check_axes(volume, path)
            _check_values(volume, path)
            if grid is None:
                grid = volume
            first = next(iter(case.inputs.values()))
            check_geometry(grid, volume, str(path), f"this sequence, unlike {first.name},")
            if modality in CHANNELS:
                channels[modality] = _eight_bit(volume.array)
        assert grid is not None
        empty = np.zeros(grid.shape, np.uint8)
        return np.stack([channels.get(name, empty) for name in CHANNELS], axis=-1), grid

    def prediction_name(self, case: Case) -> str:
        """``<case>.nii.gz``, as the containers of 2023 and later write it."""
        return f"{case.id}.nii.gz"

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The prediction by name, or the one file that ends with the case's number, as the organisers do.

        Raises:
            MedbenchError: ``predictions.ambiguous`` when several files end so.
        """
        named = super().locate(case, folder, rename)
        number = _NUMBER.search(case.id)
        if named is not None or number is None:
            return named
        found = sorted(folder.glob(f"*{number[0]}.nii.gz"))
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
        from medbench.metrics import evaluate_arrays
        from medbench.metrics.conventions import EmptyPolicy

        columns = self.edition.columns()
        diagonal = math.sqrt(sum(side * side for side in np.shape(reference)))
        policies: dict[str, Any] = {
            "brats_sensitivity": EmptyPolicy("brats_sensitivity", both=1.0, reference=0.0),
            "diagonal": EmptyPolicy("diagonal", both=0.0, prediction=diagonal, reference=diagonal),
        }
        found = evaluate_arrays(
            reference,
            prediction,
            list(dict.fromkeys(spec.convention for spec, _, _ in columns)),
            dict(self.edition.regions),
            spacing or (1.0, 1.0, 1.0),
            empty={spec.convention: policies.get(m.empty, m.empty) for spec, m, _ in columns},
        )
        return {spec.name: found[region][spec.convention] for spec, _, region in columns}

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :attr:`failure_rule`; a case without a readable reference has none."""
        try:
            self.read_reference(case)
        except MedbenchError as error:
            return CaseScores({spec.name: Score.undefined(error.message) for spec in self.metrics})
        return CaseScores(
            {
                spec.name: Score(
                    self.edition.penalty_mm if math.isnan(measure.penalty) else measure.penalty,
                    status,
                    reason,
                )
                for spec, measure, _ in self.edition.columns()
            }
        )

    def illustrate(
        self, case: Case, path: Path
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        """The axial slice with most reference tumour."""
        reference, prediction = self.read_reference(case).array, self._labels(path).array
        z = int((reference > 0).sum(axis=(1, 2)).argmax())
        pictures = self._pictures(case)[0] if case.inputs else np.zeros((*reference.shape, 3), np.uint8)
        return pictures[z], reference[z], prediction[z]

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """Axial slices that show any brain, each with its label map."""
        images = []
        for case in self.cases(root, split):
            if not case.reference or not case.inputs:
                continue
            for z in self._slices(case, cache):
                load = functools.partial(self._slice, case, z, cache)
                images.append(TrainingImage(f"{case.id}#{z}", case.group, load, True))
        return images

    def _slices(self, case: Case, cache: Path) -> list[int]:
        pictures = np.load(self._kept(case, cache)[0], mmap_mode="r")
        return [z for z in range(len(pictures)) if pictures[z].any()]

    def _kept(self, case: Case, cache: Path) -> tuple[Path, Path]:
        """Slices and label indices of a case as memory-mappable arrays, made once."""
        files = [*case.inputs.values(), *case.reference.values()]
        states = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        key = sha256_json(["brats-slices-1", self.name, states])[:16]
        paths = cache / f"{case.id}-{key}-images.npy", cache / f"{case.id}-{key}-labels.npy"
        if not all(path.exists() for path in paths):
            pictures, grid = self._pictures(case)
            reference = self.read_reference(case)
            check_geometry(grid, reference, str(case.reference["labels"]), "the reference")
            table = np.zeros(max(self.edition.labels) + 1, np.uint8)
            table[list(self.edition.labels)] = np.arange(len(self.edition.labels))
            for path, array in zip(paths, (pictures, table[reference.array]), strict=True):
                with atomic_path(path) as temporary:
                    np.save(temporary, array)
        return paths

    def _slice(
        self, case: Case, z: int, cache: Path, size: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
        from medbench.io.raster import resize_labels, resize_picture

        picture, labels = (np.load(path, mmap_mode="r")[z] for path in self._kept(case, cache))
        return resize_picture(np.array(picture), size, size), resize_labels(np.array(labels), size, size)

    def sample(self, root: Path) -> None:
        """Draw 6 training, 2 validation and 4 test heads at reduced size in the edition's layout."""
        from medbench.challenges.synthesis.brats import write_sample

        write_sample(root, self.edition)

    def check(self, root: Path) -> list[Finding]:
        """Files, geometry and labels of every case; patients in two splits."""
        findings: list[Finding] = []
        owners: dict[str, str] = {}
        parts = [name for name in ("train", "val", "test") if (root / name).is_dir()] or ["all"]
        for split in parts:
            cases = self.cases(root, split)
            findings.append(Finding("note", f"{split}: {len(cases)} cases."))
            for case in cases:
                findings += self._check_case(case)
                if owners.setdefault(case.group, split) != split:
                    findings.append(
                        Finding(
                            "error",
                            f"patient {case.group} is in both {owners[case.group]} and {split}.",
                            "Scores on it would be of training data: remove it from one split.",
                        )
                    )
        return findings

    def _check_case(self, case: Case) -> Iterator[Finding]:
        missing = sorted(set(self.edition.suffixes) - set(case.inputs))
        if missing:
            yield Finding("warning", f"{case.id}: has no {', '.join(missing)}.")
        try:
            grid = self._pictures(case)[1] if case.inputs else None
            if case.reference:
                reference = self.read_reference(case)
                if grid is not None:
                    check_geometry(grid, reference, str(case.reference["labels"]), "the reference")
                if not reference.array.any():
                    yield Finding("warning", f"{case.reference['labels']}: holds no tumour.")
            else:
                yield Finding("note", f"{case.id}: has no reference.")
        except MedbenchError as error:
            yield Finding("error", error.message, error.hint)


def _edition(name: str) -> type[BraTS]:
    title, edition = EDITIONS[name]
    facts = {
        "__module__": __name__,
        "__doc__": f"{title}, scored by the protocol {edition.protocol}.",
        "name": name,
        "title": title,
        "edition": edition,
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
BRATS2024_SSA, BRATS2024_MET, BRATS2024_PED = map(
    _edition, ("brats2024_ssa", "brats2024_met", "brats2024_ped")
)
BRATS2025_GLI, BRATS2025_MET = map(_edition, ("brats2025_gli", "brats2025_met"))


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name)


def _patient(case: str) -> str:
    """``BraTS-GLI-00005-100`` belongs to ``BraTS-GLI-00005``; older names are patients already."""
    return re.sub(r"(\d{5})-\d{3}$", r"\1", case)


def _split_of(patient: str) -> str:
    share = int(hashlib.sha256(patient.encode()).hexdigest()[:8], 16) % 5
    return {0: "test", 1: "val"}.get(share, "train")


def _check_axes(volume: Volume, path: Path) -> None:
    if volume.array.ndim != 3:
        raise MedbenchError(
            "data.not_3d",
            f"{path}: has {volume.array.ndim} axes {volume.shape}, not three.",
            "Each sequence and each label map is a 3-D NIfTI of its own.",
        )


def _check_values(volume: Volume, path: Path) -> None:
    if not volume.array.any():
        raise MedbenchError("data.all_zero", f"{path}: every voxel is 0.", "Copy it again from its source.")


def _eight_bit(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    brain = array[array != 0]
    low, high = np.percentile(brain, (0.5, 99.5))
    scaled = np.clip((array.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1)
    grey: npt.NDArray[np.uint8] = np.where(array != 0, np.rint(1 + 254 * scaled), 0).astype(np.uint8)
    return grey
