"""Files of BraTS: cases, patients, splits and checks.

The organisers publish no test references, so ``train``, ``val`` and ``test`` are folders of these names or
a split by patient, made here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from medbench.challenges.brats.editions import Edition
from medbench.challenges.card import Card
from medbench.challenges.families.mr_volumes.files import TWICE, MRVolumeRelease, volume_files
from medbench.challenges.release import SplitFacts
from medbench.challenges.stray import Finding, findings_of
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io.images import suffix_of

SPLITS = ("train", "val", "test", "all")
_NUMBER = re.compile(r"(\d{5}-\d{3}|\d{4}-\d|\d{5}|[A-Z0-9]+_\d+|\d{3})$")


class BraTSRelease(MRVolumeRelease):
    """Files of one edition of BraTS."""

    splits = SPLITS
    data_hint = (
        "Expected one folder a case with its NIfTI files (<case>/<case>-t1c.nii.gz … -seg.nii.gz from 2023 "
        "on, <case>_t1ce.nii.gz … _seg.nii.gz before, <case>_t1c.nii.gz with _gtv.nii.gz for radiotherapy), "
        "in train/, val/ and test/ or all together, or a folder of reference label maps *seg.nii.gz."
    )
    sample_version = "2"
    label_advice = (
        "Enhancing tumour is 4 until 2022 and 3 from 2023 on: convert the label maps, or choose the edition "
        "that they belong to."
    )

    def __init__(self, card: Card, edition: Edition) -> None:
        super().__init__(card)
        self.edition = edition

    def split_facts(self, split: str) -> SplitFacts:
        """The rule: a folder of that name, else a split by patient."""
        self.check_split(split)
        if split == "all":
            return SplitFacts("every case of the folder, those of train, val and test together")
        share = {"train": 60, "val": 20, "test": 20}[split]
        return SplitFacts(f"the folder {split}/, or {share} % of the patients by the SHA-256 of their name")

    def overlap(self, training_split: str, split: str) -> bool:
        """Whether one split is ``all``, which holds the cases of the three others."""
        return "all" in (training_split, split)

    def cases(self, root: Path, split: str) -> list[Case]:
        """Cases in the order of their names; a patient's follow-ups are one group.

        Without folders train/, val/ and test/ cases are split by patient. A folder of label maps alone is not
        split, since it serves as reference of predictions.

        Raises:
            MedbenchError: ``split.unknown``, ``data.split_missing`` or ``data.layout_unknown``.
        """
        self.check_split(split)
        parts = [root / name for name in SPLITS[:3] if (root / name).is_dir()]
        if parts and split != "all":
            if not (root / split).is_dir():
                raise MedbenchError("data.split_missing", f"{root}: has no folder '{split}'.", self.data_hint)
            return self._cases_in(root, [root / split])
        cases = self._cases_in(root, parts or [root])
        masks_only = not any(case.inputs for case in cases)
        if parts or split == "all" or masks_only:
            return cases
        return [case for case in cases if split_of(case.group) == split]

    def _cases_in(self, root: Path, folders: Sequence[Path]) -> list[Case]:
        cases = find_cases(folders, self.edition)
        if not cases:
            separator = self.edition.separator
            names = (*self.edition.suffixes.values(), self.edition.reference)
            raise self.layout_error(root, (f"*{separator}{name}.nii.gz" for name in names))
        return cases

    def check_files(self, root: Path) -> list[Finding]:
        """Files, geometry and labels of every case; patients in two splits."""
        findings: list[Finding] = []
        owners: dict[str, str] = {}
        parts = [name for name in SPLITS[:3] if (root / name).is_dir()] or ["all"]
        for split in parts:
            cases = self.cases(root, split)
            findings.append(Finding("note", f"{split}: {counted(len(cases), 'case')}."))
            for case in cases:
                findings += findings_of(case.id, partial(self.check_case, case))
                if owners.setdefault(case.group, split) != split:
                    findings.append(
                        Finding(
                            "error",
                            f"patient {case.group} is in both {owners[case.group]} and {split}.",
                            "Scores on it would be of training data: remove it from one split.",
                        )
                    )
        return findings

    def check_unlabelled(self, case: Case) -> Iterator[Finding]:
        """A note: organisers' validation and test cases come without references."""
        yield Finding("note", f"{case.id}: has no reference.")

    def check_reference(self, case: Case, reference: Volume) -> Iterator[Finding]:
        """A warning for a reference without tumour."""
        if not reference.array.any():
            yield Finding("warning", f"{case.reference['labels']}: holds no tumour.")

    def write_sample(self, root: Path, options: Mapping[str, int]) -> None:
        """Draw 6 training, 2 validation and 4 test heads at reduced size in the edition's layout."""
        from medbench.challenges.brats.sample import write_sample

        write_sample(root, self.edition)


def find_cases(folders: Sequence[Path], edition: Edition) -> list[Case]:
    """Cases in the order of their folders, then label maps that stand alone.

    A folder with at least one modality is a case; ``inputs`` holds the modalities that it has.
    """
    files = sorted({path for folder in folders for path in volume_files(folder, below=True)})
    homes = sorted({path.parent for path in files if modality_of(path, edition)})
    alone = [path for path in files if path.parent not in set(homes) and _is_reference(path, edition)]
    return [_case(folder, edition) for folder in homes] + [_mask_case(path, edition) for path in alone]


def modality_of(path: Path, edition: Edition) -> str | None:
    """Which modality a file holds, by the end of its name."""
    for modality, suffix in edition.suffixes.items():
        if _stem(path).endswith(edition.separator + suffix):
            return modality
    return None


def number_of(case: str) -> str | None:
    """The number at the end of a case's name, by which organisers find predictions."""
    match = _NUMBER.search(case)
    return match[0] if match else None


def patient_of(case: str) -> str:
    """The patient of a case: ``BraTS-GLI-00005`` of ``BraTS-GLI-00005-100``; until 2022 the case's own name.

    >>> patient_of("BraTS-MEN-RT-0012-1"), patient_of("BraTS2021_00005")
    ('BraTS-MEN-RT-0012', 'BraTS2021_00005')
    """
    return re.sub(r"-(\d{5}-\d{3}|\d{4}-\d)$", lambda match: match[0].rpartition("-")[0], case)


def split_of(patient: str) -> str:
    """Split of a patient by the SHA-256 of the name: three fifths ``train``, one ``val``, one ``test``."""
    share = int(hashlib.sha256(patient.encode()).hexdigest()[:8], 16) % 5
    return {0: "test", 1: "val"}.get(share, "train")


def _stem(path: Path) -> str:
    return path.name[: len(path.name) - len(suffix_of(path))]


def _is_reference(path: Path, edition: Edition) -> bool:
    return _stem(path).lower().endswith((f"-{edition.reference}", f"_{edition.reference}"))


def _case(folder: Path, edition: Edition) -> Case:
    """The case of a folder; the only file of another name (``W39_1998.09.19_Segm``) is its reference."""
    inputs: dict[str, Path] = {}
    others: list[Path] = []
    facts: dict[str, str] = {}
    for path in volume_files(folder):
        modality = modality_of(path, edition)
        if modality is None:
            others.append(path)
        elif inputs.setdefault(modality, path) != path:
            facts.setdefault(TWICE, str(path))
    by_modality = {modality: inputs[modality] for modality in edition.suffixes if modality in inputs}
    references = [path for path in others if _is_reference(path, edition)]
    references = references or [path for path in others if edition.reference in path.name.lower()]
    reference = {"labels": references[0]} if references else {}
    return Case(folder.name, by_modality, reference, patient_of(folder.name), facts)


def _mask_case(path: Path, edition: Edition) -> Case:
    name = re.sub(rf"[-_]{edition.reference}$", "", _stem(path), flags=re.IGNORECASE)
    return Case(name, {}, {"labels": path}, patient_of(name))
