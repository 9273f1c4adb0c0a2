"""Files of ACDC: as the TransUNet lineage prepares them, as single volumes, and as released.

Three layouts:

* ``train/case_001_sliceED_0.npz``, ``valid/…``, ``test/case_002_volume_ED.npz`` with the arrays ``img`` and
  ``label``: the folders say the split (70, 10 and 20 patients).
* ``patientNNN_frameNN.h5`` with ``image`` and ``label`` (as SSL4MIS and WSL4MIS hold them), in one folder: a
  hash of the patient says the split.
* ``training/patientNNN/patientNNN_frameNN.nii.gz`` and ``…_gt.nii.gz``, the release of 100 patients:
  likewise.

Only the last has a spacing; a ``spacing.csv`` (``case,z_mm,y_mm,x_mm``) beside the others gives them one.

Sources: names of the first as the lineage's repositories give them (Dootmaan/MT-UNet and followers); names
and arrays of the second from HiLab-git/WSL4MIS@a594da8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.sliced_volumes.files import (
    SlicedVolumeRelease,
    check_prepared,
    check_volumes,
    stacked,
)
from medbench.challenges.families.sliced_volumes.spacing import spacing_table
from medbench.challenges.release import SplitFacts
from medbench.challenges.stray import Finding
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.seeds import hashed_part
from medbench.core.text import agreeing, counted
from medbench.io import hdf5, images, nifti_mha
from medbench.io.gate.listing import check_alone
from medbench.io.gate.meaning import unknown_labels

STRUCTURES = {"rv": 1, "myo": 2, "lv": 3}
PLACES = (".", "ACDC", "data/ACDC", "ACDC_training_volumes", "data")
FOLDERS = {"train": "train", "val": "valid", "test": "test"}
PATIENTS = {"train": 70, "val": 10, "test": 20}
VOLUMES = 200
SHARES = (("test", 0.20), ("val", 0.30), ("train", 1.0))
_PREPARED = re.compile(r"(case_\d+)_(slice|volume)(_?)(ED|ES)(_\d+)?")
_VOLUME = re.compile(r"(patient\d{3})_frame\d{2}")
_RULE = (
    "train/, valid/ and test/ of the prepared set (70, 10 and 20 patients); volumes in one folder by "
    "patient: the first 32 bits of the SHA-256 of '42/patientNNN' as a share of their range, below 0.20 "
    "test, below 0.30 val, else train (ours)"
)


def hashed_split(patient: str) -> str:
    """Which of ``train``, ``val`` and ``test`` a patient belongs to.

    >>> [hashed_split(f"patient{number:03}") for number in (1, 4, 9)]
    ['train', 'test', 'val']
    """
    return hashed_part(f"42/{patient}", SHARES)


class ACDCRelease(SlicedVolumeRelease):
    """Files of ACDC."""

    splits = ("train", "val", "test")
    structures = STRUCTURES
    image_arrays = ("image", "img")
    label_hint = "Number structures as 'medbench challenges show acdc' does: 1 RV, 2 Myo, 3 LV."
    data_hint = (
        "Expected train/, valid/ and test/ with case_NNN_….npz as the TransUNet lineage prepares them, "
        "patientNNN_frameNN.h5, or training/patientNNN/ with NIfTI files."
    )
    sample_writer = "medbench.challenges.acdc.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The rule; how many cases a split has depends on the layout."""
        return SplitFacts(_RULE)

    def completeness(self, root: Path, split: str) -> tuple[int, int]:
        """Patients of the split in the prepared set; volumes of all splits in the other layouts."""
        slices = list(_prepared(root, split))
        if slices:
            return len({case.group for case in slices}), PATIENTS[split]
        return sum(len(self._volumes(root, name)) for name in self.splits), VOLUMES

    def cases(self, root: Path, split: str) -> list[Case]:
        """Volumes; slices of the prepared training and validation sets."""
        self.check_split(split)
        cases = list(_prepared(root, split)) or self._volumes(root, split)
        if not cases and any(self._volumes(root, name) for name in self.splits):
            raise MedbenchError("data.empty", f"{root}: holds no patient of split {split}.", self.data_hint)
        if not cases:
            raise self.layout_error(
                root, ("train/", "test/", "patientNNN_frameNN.h5", "training/patientNNN/")
            )
        return cases

    @staticmethod
    def _volumes(root: Path, split: str) -> list[Case]:
        cases = list(_single_volumes(root)) or list(_released(root))
        return [case for case in cases if hashed_split(case.group) == split]

    def read_volume(self, case: Case) -> Volume:
        """Cine MRI as ``(slices, height, width)`` float32 from 0 to 1; NIfTI files are scaled by their range.

        Raises:
            MedbenchError: when the file is missing or damaged, or ``data.value_range`` when prepared values
                are not 0 to 1.
        """
        path = case.inputs["image"]
        if images.suffix_of(path) in images.VOLUME_SUFFIXES:
            check_alone(path, images.VOLUME_SUFFIXES)
            volume = nifti_mha.read_volume(path)
            values = volume.array.astype(np.float32)
            low, high = float(values.min()), float(values.max())
            intensities = (values - low) / (high - low if high > low else 1.0)
            return Volume(stacked(intensities, path), volume.spacing, volume.origin, volume.direction)
        values = stacked(_array(path, *self.image_arrays), path)
        check_prepared(values, path, "Scale each volume to 0 … 1.")
        return Volume(values.astype(np.float32), case.facts.get("spacing_mm"))

    def read_reference(self, case: Case) -> Volume:
        """Labels 0 to 3 with the spacing, where it is known.

        Raises:
            MedbenchError: when the file is missing, damaged or holds unknown labels.
        """
        path = case.reference["labels"]
        if images.suffix_of(path) in images.VOLUME_SUFFIXES:
            check_alone(path, images.VOLUME_SUFFIXES)
            volume = images.read_labels(path)
        else:
            volume = Volume(hdf5.read_labels(path, "label"), case.facts.get("spacing_mm"))
        labels = stacked(volume.array, path)
        strangers = unknown_labels(labels, [0, *STRUCTURES.values()])
        if strangers:
            raise MedbenchError(
                "data.label_unknown",
                f"{path}: holds the label values {strangers}, known are 0 to 3.",
                "The file is scaled (0/255), interpolated, or of another set.",
            )
        return Volume(labels.astype(np.uint8), volume.spacing, volume.origin, volume.direction)

    def count_slices(self, case: Case) -> int:
        """Slices of the case; a prepared slice is not opened."""
        return 1 if "_slice" in case.id else super().count_slices(case)

    def check_files(self, root: Path) -> list[Finding]:
        """Counts, value ranges, labels, patients and images that lie in two splits."""
        findings: list[Finding] = []
        by_split: dict[str, list[Case]] = {}
        owners: dict[str, set[str]] = {}
        for split in self.splits:
            try:
                by_split[split] = self.cases(root, split)
            except MedbenchError as error:
                findings.append(Finding("note", f"{split}: {error.message}", error.hint))
                continue
            groups = {case.group for case in by_split[split]}
            owners[split] = groups
            cases, patients = counted(len(by_split[split]), "case"), counted(len(groups), "patient")
            findings.append(Finding("note", f"{split}: {cases} of {patients}."))
        for split, own in owners.items():
            others = {group: other for other in owners if other != split for group in owners[other]}
            leaks = sorted(own & others.keys())
            if leaks and split != "train":
                many = f"{counted(len(leaks), 'patient')} {agreeing(len(leaks), 'does', 'do')}"
                message = f"{split}: {leaks[0]} lies in {others[leaks[0]]} too ({many})."
                findings.append(Finding("error", message, "Scores on it would be of training data."))
        return [*findings, *check_volumes(self, by_split, {})]


def _prepared(root: Path, split: str) -> Iterator[Case]:
    for base in (root / place for place in PLACES):
        folder = base / FOLDERS[split]
        paths = sorted(path for path in folder.glob("case_*.npz") if _PREPARED.fullmatch(path.stem))
        if not paths:
            continue
        spacing = spacing_table(base / "spacing.csv")
        for path in paths:
            match = _PREPARED.fullmatch(path.stem)
            assert match is not None
            yield _case(path.stem, path, path, match[1], spacing)
        return


def _single_volumes(root: Path) -> Iterator[Case]:
    for base in (root / place for place in PLACES):
        paths = sorted(path for path in base.glob("patient*.h5") if _VOLUME.fullmatch(path.stem))
        if not paths:
            continue
        spacing = spacing_table(base / "spacing.csv")
        for path in paths:
            yield _case(path.stem, path, path, path.stem.partition("_")[0], spacing)
        return


def _released(root: Path) -> Iterator[Case]:
    for base in (root, root / "training", root / "database" / "training"):
        for path in sorted(base.glob("patient*/patient*_frame*.nii.gz")):
            name = path.name.removesuffix(".nii.gz")
            if _VOLUME.fullmatch(name):
                labels = path.with_name(f"{name}_gt.nii.gz")
                yield _case(name, path, labels, name.partition("_")[0], {})


def _case(name: str, image: Path, labels: Path, patient: str, spacing: dict[str, tuple[float, ...]]) -> Case:
    steps = spacing.get(name) or spacing.get(patient)
    return Case(name, {"image": image}, {"labels": labels}, patient, {"spacing_mm": steps} if steps else {})


def _array(path: Path, *names: str) -> npt.NDArray[Any]:
    """The first of the named arrays that the file has."""
    for name in names[:-1]:
        try:
            return hdf5.read_arrays(path, name)[name]
        except MedbenchError as error:
            if error.code != "data.array_missing":
                raise
    return hdf5.read_arrays(path, names[-1])[names[-1]]
