"""Files of Synapse multi-organ CT: cases, splits, references and checks.

Sources: preparation and lists from Beckschen/TransUNet@ee8acce (``datasets/README.md``,
``lists/lists_Synapse``); label order of the prepared set from the scripts that repeat the preparation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medbench.challenges.families.sliced_volumes.files import SlicedVolumeRelease, check_volumes
from medbench.challenges.families.sliced_volumes.spacing import spacing_table
from medbench.challenges.release import Finding, SplitFacts
from medbench.challenges.synapse.volumes import read_case_image, read_case_labels
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.io import images, nifti_mha

ORGANS = {
    "spleen": 1,
    "rightkidney": 2,
    "leftkidney": 3,
    "gallbladder": 4,
    "liver": 5,
    "stomach": 6,
    "aorta": 7,
    "pancreas": 8,
}
TEST_CASES = (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38)
TRAIN_CASES = tuple(number for number in (*range(1, 11), *range(21, 41)) if number not in TEST_CASES)
TRAIN_SLICES = 2211
PREPARED = (".", "Synapse", "data/Synapse")
NIFTI = (".", "Training", "RawData/Training", "Abdomen/RawData/Training")


class SynapseRelease(SlicedVolumeRelease):
    """Files of Synapse multi-organ CT."""

    splits = ("train", "test")
    structures = ORGANS
    structure_word = "organ"
    slice_size = (512, 512)
    label_hint = "Number organs as 'medbench challenges show synapse' does; BTCV's own numbers run to 13."
    data_hint = (
        "Expected train_npz/ and test_vol_h5/ as TransUNet prepares them, or img/ and label/ with the NIfTI "
        "files of RawData/Training."
    )
    sample_writer = "medbench.challenges.synapse.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """Rule and size of a split, from TransUNet's lists."""
        rule = "lists_Synapse of Beckschen/TransUNet@ee8acce: 18 training and 12 test volumes of BTCV's 30"
        return SplitFacts(rule, len(TEST_CASES) if split == "test" else None)

    def completeness(self, root: Path, split: str) -> tuple[int, int]:
        """Number of volumes in the folder and in the release; of slices for the prepared training set.

        Raises:
            MedbenchError: as :meth:`cases`.
        """
        cases = self.cases(root, split)
        if split == "test":
            return len(cases), len(TEST_CASES)
        return len(cases), TRAIN_SLICES if "slice" in cases[0].id else len(TRAIN_CASES)

    def cases(self, root: Path, split: str) -> list[Case]:
        """The cases of a split: volumes, or slices of the prepared training set."""
        self.check_split(split)
        cases = list(self._prepared(root, split)) or list(self._nifti(root, split))
        if not cases:
            folders = ("train_npz/" if split == "train" else "test_vol_h5/", "img/ with label/")
            raise self.layout_error(root, folders)
        return cases

    @staticmethod
    def _prepared(root: Path, split: str) -> Iterator[Case]:
        for base in (root / name for name in PREPARED):
            folder = base / ("train_npz" if split == "train" else "test_vol_h5")
            if not folder.is_dir():
                continue
            spacing = spacing_table(base / "spacing.csv")
            for path in sorted(folder.glob("case*.npz" if split == "train" else "case*.h5")):
                name = path.name.split(".")[0]
                group = name.split("_")[0]
                facts = {"spacing_mm": spacing[group]} if group in spacing else {}
                yield Case(name, {"image": path}, {"labels": path}, group, facts)
            return

    @staticmethod
    def _nifti(root: Path, split: str) -> Iterator[Case]:
        numbers = TRAIN_CASES if split == "train" else TEST_CASES
        for base in (root / name for name in NIFTI):
            if not (base / "img").is_dir():
                continue
            for number in numbers:
                image, label = (
                    _nifti_file(base / f"{kind}{number:04}") for kind in ("img/img", "label/label")
                )
                if image.is_file():
                    yield Case(f"case{number:04}", {"image": image}, {"labels": label}, f"case{number:04}")
            return

    def read_volume(self, case: Case) -> Volume:
        """CT as ``(slices, height, width)`` float32 from 0 to 1 (HU −125 to 275).

        Raises:
            MedbenchError: when the file is missing or damaged.
        """
        return read_case_image(case.inputs["image"])

    def count_slices(self, case: Case) -> int:
        """Slices of the case; a prepared slice is not opened.

        Raises:
            MedbenchError: when the file cannot be read.
        """
        path = case.inputs["image"]
        if images.suffix_of(path) in nifti_mha.SUFFIXES:
            return nifti_mha.read_volume(path).shape[0]
        return 1 if path.suffix == ".npz" else super().count_slices(case)

    def read_reference(self, case: Case) -> Volume:
        """Labels 0 to 8 with the spacing, where it is known.

        Raises:
            MedbenchError: when the file is missing, damaged or holds unknown labels.
        """
        volume = read_case_labels(case.reference["labels"], len(ORGANS))
        return Volume(
            volume.array, volume.spacing or case.facts.get("spacing_mm"), volume.origin, volume.direction
        )

    def check(self, root: Path) -> list[Finding]:
        """Findings on counts, value ranges, labels, sizes, geometry, and volumes in both splits."""
        findings: list[Finding] = []
        by_split: dict[str, list[Case]] = {}
        for split in self.splits:
            try:
                by_split[split] = self.cases(root, split)
            except MedbenchError as error:
                findings.append(Finding("note", f"{split}: {error.message}", error.hint))
                continue
            present, whole = self.completeness(root, split)
            what = "slices" if "slice" in by_split[split][0].id else "volumes"
            findings.append(
                Finding(
                    "note" if present == whole else "warning",
                    f"{split}: {present} of the release's {whole} {what}.",
                )
            )
        wrong = {"train": TEST_CASES, "test": TRAIN_CASES}
        strangers = {split: {f"case{number:04}" for number in numbers} for split, numbers in wrong.items()}
        return [*findings, *check_volumes(self, by_split, strangers)]


def _nifti_file(stem: Path) -> Path:
    """Path of the compressed file, or of the plain one when only that is there."""
    plain = stem.with_name(f"{stem.name}.nii")
    return plain if plain.is_file() else stem.with_name(f"{stem.name}.nii.gz")
