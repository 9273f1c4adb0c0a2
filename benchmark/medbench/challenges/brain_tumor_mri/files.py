"""Files of the public sets of brain tumours in MRI: folders of four classes, once or twice.

Two copies are public: ``Training`` and ``Testing`` with glioma, meningioma, notumor and pituitary (5,712 and
1,311 images), and an older one with glioma_tumor, meningioma_tumor, no_tumor and pituitary_tumor (2,870 and
394). No file says which patient an image is of, so that slices of one patient may lie on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.families.class_folders import images_in_folders
from medbench.challenges.families.image_classes.files import ClassedImage, ImageClassRelease
from medbench.challenges.release import Finding, SplitFacts

CLASSES = {
    "glioma": ("glioma", "glioma_tumor"),
    "meningioma": ("meningioma", "meningioma_tumor"),
    "notumor": ("notumor", "no_tumor"),
    "pituitary": ("pituitary", "pituitary_tumor"),
}
PARTS = {"train": "Training", "test": "Testing"}
SIZES = {"train": 5712, "test": 1311}
OLDER_SIZES = {"train": 2870, "test": 394}
NO_PATIENTS = (
    "the release's own folders; it names no patients, so that slices of one patient may lie in both, and "
    "scores are no clinical evidence"
)


class BrainTumorRelease(ImageClassRelease):
    """Files of the brain tumours in MRI."""

    splits = ("train", "test")
    data_hint = (
        "Expected Training/ and Testing/ with glioma/, meningioma/, notumor/ and pituitary/ (or "
        "glioma_tumor/, …) full of images."
    )
    sample_writer = "medbench.challenges.brain_tumor_mri.sample:write_sample"
    sample_version = "1"
    colours = False

    def split_facts(self, split: str) -> SplitFacts:
        """The release's folders."""
        return SplitFacts(NO_PATIENTS)

    def completeness(self, root: Path, split: str) -> tuple[int, int]:
        """Images of the split, and of the public copy whose folders have these names."""
        older = (root / PARTS[split] / "glioma_tumor").is_dir()
        return len(self.cases(root, split)), (OLDER_SIZES if older else SIZES)[split]

    def disjoint_splits(self) -> Sequence[Sequence[str]]:
        """The two folders."""
        return (self.splits,)

    def images(self, root: Path) -> list[ClassedImage]:
        """Every image of the folders of classes."""
        images = [
            image
            for part, name in PARTS.items()
            for image in images_in_folders(root, root / name, CLASSES, part)
        ]
        if not images:
            raise self.layout_error(root, ("Training/glioma/", "Testing/glioma/"))
        return images

    def images_of(self, images: Sequence[ClassedImage], split: str) -> list[ClassedImage]:
        """Images of the split's folder."""
        return [image for image in images if image.part == split]

    def check(self, root: Path) -> list[Finding]:
        """As for all images with classes, how much of the public copy is there, and what nobody can check."""
        findings = super().check(root)
        for split in self.splits:
            if any(image.part == split for image in self.images(root)):
                present, whole = self.completeness(root, split)
                message = f"{split}: {present} of the public copy's {whole} images."
                findings.insert(0, Finding("note" if present == whole else "warning", message))
        return [*findings, Finding("note", f"Splits are {NO_PATIENTS}.")]
