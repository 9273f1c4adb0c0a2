"""Files of BraTS: which belong to a case, reading them, and refusing what does not fit the edition."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Finding
from medbench.challenges.brats_editions import Edition
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.io import nifti_mha
from medbench.io.geometry import check_geometry
from medbench.io.images import read_labels

DATA_HINT = (
    "Expected one folder a case with its NIfTI files (<case>/<case>-t1c.nii.gz … -seg.nii.gz from 2023 on, "
    "<case>_t1ce.nii.gz … _seg.nii.gz before, <case>_t1c.nii.gz with _gtv.nii.gz for radiotherapy), in "
    "train/, val/ and test/ or all together, or a folder of reference label maps *seg.nii.gz."
)
_NUMBER = re.compile(r"(\d{5}-\d{3}|\d{4}-\d|\d{5}|[A-Z0-9]+_\d+|\d{3})$")


def find_cases(folders: Sequence[Path], edition: Edition) -> list[Case]:
    """Cases in the order of their folders, then label maps that stand alone.

    A folder is a case as soon as it holds one sequence; those that it lacks are not in ``inputs``.
    """
    files = sorted({path for folder in folders for path in folder.rglob("*.nii*")})
    homes = sorted({path.parent for path in files if modality_of(path, edition)})
    alone = [path for path in files if path.parent not in set(homes) and _is_reference(path, edition)]
    return [_case(folder, edition) for folder in homes] + [_mask_case(path, edition) for path in alone]


def modality_of(path: Path, edition: Edition) -> str | None:
    """Which sequence a file holds, by the end of its name."""
    for modality, suffix in edition.suffixes.items():
        if _stem(path).endswith(edition.separator + suffix):
            return modality
    return None


def number_of(case: str) -> str | None:
    """The number at the end of a case's name, by which organisers find predictions."""
    found = _NUMBER.search(case)
    return found[0] if found else None


def patient_of(case: str) -> str:
    """``BraTS-GLI-00005-100`` belongs to ``BraTS-GLI-00005``; names until 2022 are patients already.

    >>> patient_of("BraTS-MEN-RT-0012-1"), patient_of("BraTS2021_00005")
    ('BraTS-MEN-RT-0012', 'BraTS2021_00005')
    """
    return re.sub(r"-(\d{5}-\d{3}|\d{4}-\d)$", lambda found: found[0].rpartition("-")[0], case)


def split_of(patient: str) -> str:
    """Our own split: three fifths train, one validates, one tests, by the SHA-256 of the name."""
    share = int(hashlib.sha256(patient.encode()).hexdigest()[:8], 16) % 5
    return {0: "test", 1: "val"}.get(share, "train")


def read_sequences(case: Case) -> dict[str, Volume]:
    """The sequences that the case has, on one grid, axes ``(z, y, x)``.

    Raises:
        MedbenchError: when there is none, or a file is damaged, empty, not 3-D or on another grid.
    """
    if not case.inputs:
        raise MedbenchError("data.no_input", f"{case.id}: this folder holds no images.", DATA_HINT)
    found: dict[str, Volume] = {}
    first = next(iter(case.inputs.values()))
    for modality, path in case.inputs.items():
        volume = nifti_mha.read_volume(path)
        _check_axes(volume, path)
        if not volume.array.any():
            raise MedbenchError(
                "data.all_zero", f"{path}: every voxel is 0.", "Copy it again from its source."
            )
        grid = next(iter(found.values()), volume)
        check_geometry(grid, volume, str(path), f"this sequence, unlike {first.name},")
        found[modality] = volume
    return found


def read_label_map(path: Path, known: Mapping[int, str], title: str) -> Volume:
    """A label map with the edition's labels, axes ``(z, y, x)``.

    Raises:
        MedbenchError: when it is damaged, not 3-D or holds other labels.
    """
    volume = read_labels(path)
    _check_axes(volume, path)
    strange = [int(value) for value in np.unique(volume.array) if int(value) not in known]
    if strange:
        raise MedbenchError(
            "data.label_unknown",
            f"{path}: holds label {', '.join(map(str, strange[:8]))}, which {title} does not have "
            f"({', '.join(map(str, known))}).",
            "Enhancing tumour is 4 until 2022 and 3 from 2023 on: convert the label maps, or choose the "
            "edition that they belong to.",
        )
    return volume


def look_at(case: Case, edition: Edition, title: str) -> Iterator[Finding]:
    """What is wrong with a case: missing sequences, damaged files, other grids, unknown labels."""
    missing = sorted(set(edition.suffixes) - set(case.inputs))
    if missing:
        yield Finding("warning", f"{case.id}: has no {', '.join(missing)}.")
    try:
        grid = next(iter(read_sequences(case).values())) if case.inputs else None
        if not case.reference:
            yield Finding("note", f"{case.id}: has no reference.")
            return
        path = case.reference["labels"]
        reference = read_label_map(path, edition.labels, title)
        if grid is not None:
            check_geometry(grid, reference, str(path), "the reference")
        if not reference.array.any():
            yield Finding("warning", f"{path}: holds no tumour.")
    except MedbenchError as error:
        yield Finding("error", error.message, error.hint)


def eight_bit(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A sequence scaled to the 0.5 to 99.5 % of its brain: 1 to 255, and 0 outside."""
    low, high = np.percentile(array[array != 0], (0.5, 99.5))
    scaled = np.clip((array.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1)
    grey: npt.NDArray[np.uint8] = np.where(array != 0, np.rint(1 + 254 * scaled), 0).astype(np.uint8)
    return grey


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name)


def _is_reference(path: Path, edition: Edition) -> bool:
    return _stem(path).lower().endswith((f"-{edition.reference}", f"_{edition.reference}"))


def _case(folder: Path, edition: Edition) -> Case:
    """A folder's case; a segmentation of another name (``W39_1998.09.19_Segm``) serves when it is alone."""
    inputs: dict[str, Path] = {}
    others: list[Path] = []
    for path in sorted(folder.glob("*.nii*")):
        modality = modality_of(path, edition)
        if modality is None:
            others.append(path)
        else:
            inputs.setdefault(modality, path)
    ordered = {modality: inputs[modality] for modality in edition.suffixes if modality in inputs}
    references = [path for path in others if _is_reference(path, edition)]
    references = references or [path for path in others if edition.reference in path.name.lower()]
    reference = {"labels": references[0]} if references else {}
    return Case(folder.name, ordered, reference, patient_of(folder.name))


def _mask_case(path: Path, edition: Edition) -> Case:
    name = re.sub(rf"[-_]{edition.reference}$", "", _stem(path), flags=re.IGNORECASE)
    return Case(name, {}, {"labels": path}, patient_of(name))


def _check_axes(volume: Volume, path: Path) -> None:
    if volume.array.ndim != 3:
        raise MedbenchError(
            "data.not_3d",
            f"{path}: has {volume.array.ndim} axes {volume.shape}, not three.",
            "Each sequence and each label map is a 3-D NIfTI of its own.",
        )
