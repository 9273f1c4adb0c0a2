"""Files of MyoPS 2020: cases, splits and checks.

The organisers' test references are not public, so papers hold five training patients out. Sources: layout
and label values from Jun-Jie-Shi/HGA@f20ef65 and HiLab's winning program @6ac6157.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from medbench.challenges.families.mr_volumes.files import MRVolumeRelease, volume_files
from medbench.challenges.myops2020.missing import listed_modalities
from medbench.challenges.release import SplitFacts
from medbench.challenges.stray import Finding, findings_of
from medbench.core.case import Case, Volume
from medbench.core.text import counted
from medbench.io.images import suffix_of

REGIONS: Mapping[str, tuple[int, ...]] = {
    "scar": (2221,),
    "scar_edema": (1220, 2221),
    "lv": (500,),
    "rv": (600,),
    "myo": (200, 1220, 2221),
    "edema": (1220,),
}
RELEASED = {"train": 20, "test": 5, "unlabelled": 20}
PAPERS_TEST = (107, 111, 115, 117, 120)
_NAME = re.compile(r"(myops_(?:training|test)_(\d+))_(C0|DE|T2|gd)$", re.IGNORECASE)
_HELD_OUT = ", ".join(map(str, PAPERS_TEST))
_FACTS = {
    "train": SplitFacts(
        f"the 25 labelled patients but {_HELD_OUT} (split of HGA and PASSION's authors)", RELEASED["train"]
    ),
    "test": SplitFacts(
        f"patients {_HELD_OUT} of the 25 labelled ones (split of HGA and PASSION's authors)", RELEASED["test"]
    ),
    "all": SplitFacts("the 25 labelled patients, those of train and test together", 25),
    "unlabelled": SplitFacts("the organisers' 20 test patients, without references", RELEASED["unlabelled"]),
}


class MyoPSRelease(MRVolumeRelease):
    """Files of MyoPS 2020."""

    splits = ("train", "test", "all", "unlabelled")
    data_hint = (
        "Expected myops_training_101_C0.nii.gz with _DE, _T2 and _gd (101 to 125), and myops_test_201_… "
        "without _gd, in one folder or in several below it (train25, train25_myops_gd, test20)."
    )
    sample_writer = "medbench.challenges.myops2020.sample:write_sample"
    sample_version = "1"
    label_advice = (
        "Write the challenge's own values in 16 bits: 8 bits cut 500 to 244, and class indices 1 to 5 "
        "are not values."
    )

    def split_facts(self, split: str) -> SplitFacts:
        """Rule and size of a split: of papers on missing modalities, or of the organisers' test patients."""
        self.check_split(split)
        return _FACTS[split]

    def listed_modalities(self, rates: Mapping[str, float]) -> Mapping[str, tuple[str, ...]]:
        """Modalities of the training patients by the lists of papers on missing modalities."""
        return listed_modalities(rates)

    def overlap(self, training_split: str, split: str) -> bool:
        """Whether one split is ``all``, which holds the cases of ``train`` and ``test``."""
        return "all" in (training_split, split) and "unlabelled" not in (training_split, split)

    def cases(self, root: Path, split: str) -> list[Case]:
        """The cases of a split, patients in the order of their numbers."""
        self.check_split(split)
        files: dict[str, dict[str, Path]] = {}
        for path in volume_files(root, below=True):
            match = _NAME.search(path.name[: len(path.name) - len(suffix_of(path))])
            if match:
                files.setdefault(match[1].lower(), {}).setdefault(match[3].lower(), path)
        if not files:
            raise self.layout_error(root, ("myops_training_101_C0.nii.gz", "myops_test_201_C0.nii.gz"))
        return [self._case(name, parts) for name, parts in sorted(files.items()) if _belongs(name, split)]

    def _case(self, name: str, parts: Mapping[str, Path]) -> Case:
        inputs = {key: parts[key.lower()] for key in self.card.modalities if key.lower() in parts}
        return Case(name, inputs, {"labels": parts["gd"]} if "gd" in parts else {}, name)

    def check_files(self, root: Path) -> list[Finding]:
        """Findings on counts, missing modalities, grids and label values."""
        findings: list[Finding] = []
        for split, size in RELEASED.items():
            cases = self.cases(root, split)
            findings.append(
                Finding("note", f"{split}: {counted(len(cases), 'patient')}, the release has {size}.")
            )
            for case in cases:
                findings += findings_of(case.id, partial(self.check_case, case))
        return findings

    def check_unlabelled(self, case: Case) -> Iterator[Finding]:
        """An error for a patient of the training set; test patients come without label maps."""
        if not _is_organisers_test(case.id):
            yield Finding("error", f"{case.id}: has no _gd file.", self.data_hint)

    def check_reference(self, case: Case, reference: Volume) -> Iterator[Finding]:
        """A note for a reference without scar."""
        if not np.isin(reference.array, REGIONS["scar"]).any():
            yield Finding("note", f"{case.id}: has no scar.")


def _is_organisers_test(name: str) -> bool:
    return name.startswith("myops_test_")


def _belongs(name: str, split: str) -> bool:
    if _is_organisers_test(name):
        return split == "unlabelled"
    is_test = int(name.rpartition("_")[2]) in PAPERS_TEST
    return {"train": not is_test, "test": is_test, "all": True, "unlabelled": False}[split]
