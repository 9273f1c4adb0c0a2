"""Files of BraTS: which belong to a case, and whose case it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.brats.editions import Edition
from medbench.challenges.families.mr_volumes import TWICE
from medbench.core.case import Case

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


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name)


def _is_reference(path: Path, edition: Edition) -> bool:
    return _stem(path).lower().endswith((f"-{edition.reference}", f"_{edition.reference}"))


def _case(folder: Path, edition: Edition) -> Case:
    """A folder's case; a segmentation of another name (``W39_1998.09.19_Segm``) serves when it is alone."""
    inputs: dict[str, Path] = {}
    others: list[Path] = []
    facts: dict[str, str] = {}
    for path in sorted(folder.glob("*.nii*")):
        modality = modality_of(path, edition)
        if modality is None:
            others.append(path)
        elif inputs.setdefault(modality, path) != path:
            facts.setdefault(TWICE, str(path))
    ordered = {modality: inputs[modality] for modality in edition.suffixes if modality in inputs}
    references = [path for path in others if _is_reference(path, edition)]
    references = references or [path for path in others if edition.reference in path.name.lower()]
    reference = {"labels": references[0]} if references else {}
    return Case(folder.name, ordered, reference, patient_of(folder.name), facts)


def _mask_case(path: Path, edition: Edition) -> Case:
    name = re.sub(rf"[-_]{edition.reference}$", "", _stem(path), flags=re.IGNORECASE)
    return Case(name, {}, {"labels": path}, patient_of(name))
