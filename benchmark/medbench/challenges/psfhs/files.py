"""Files of PSFHS 2023: frames and label maps as ``.mha``, and the splits.

The 4,000 training images are public (Zenodo 7851339); the 401 of the preliminary and the 700 of the final
test were never released. Splits here are therefore ours, of the training images. No file says which video
an image is from, so that images with neighbouring numbers are kept together: the splits are three runs of
numbers, and images of one fifty count as one group.

Another public set has the same layout: 1,358 pairs of 1,124 patients (Zenodo 10969427, Scientific Data
2024). It is no hidden test set, and whether the two share images is not published. It is recognised by its
number of images and has splits of its own, ``scidata_train``, ``scidata_val`` and ``scidata_test``; splits
of one release are refused on the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.exchange import size_text
from medbench.challenges.families.image_masks.files import ImageMaskRelease, Pair
from medbench.challenges.release import SUBSET, SplitFacts
from medbench.challenges.stray import Finding
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.label_values import label_values
from medbench.core.text import counted, named
from medbench.io import images, nifti_mha, raster
from medbench.io.gate.expected import Expected
from medbench.io.gate.meaning import unknown_labels

SIDE = 256
RELEASED = 4000
SCIDATA = 1358
SCIDATA_SHARES = (("scidata_train", 0.70), ("scidata_val", 0.80), ("scidata_test", 1.0))
RUNS = {"train": range(2800), "val": range(2800, 3200), "test": range(3200, RELEASED + 1)}
GROUP_LENGTH = 50
_RULE = (
    "by number of the file: below 2800 train, below 3200 val, else test (ours; the challenge's own test sets "
    "are not public, and neighbouring images may be of one video)"
)
_SCIDATA_RULE = (
    "of the 1,358 images of Zenodo 10969427 in the order of their numbers, whole fifties: the first 70 % "
    "train, the next 10 % val, the rest test (ours; no file says which patient an image is of)"
)
_TITLES = {"challenge": "the challenge's training set (Zenodo 7851339)", "scidata": "that of Zenodo 10969427"}


class PSFHSRelease(ImageMaskRelease):
    """Files of PSFHS 2023."""

    splits = ("train", "val", "test", "all", *(name for name, _ in SCIDATA_SHARES))
    data_hint = "Expected image_mha/ and label_mha/ with NNNNN.mha, from Zenodo record 7851339 or 10969427."
    sample_writer = "medbench.challenges.psfhs.sample:write_sample"
    sample_version = "1"
    image_size = (SIDE, SIDE)

    def split_facts(self, split: str) -> SplitFacts:
        """The rule; how many images of the release fall into a split depends on how it numbers them."""
        if split.startswith("scidata_"):
            return SplitFacts(_SCIDATA_RULE)
        return SplitFacts("every image of the folder" if split == "all" else _RULE)

    def completeness(self, root: Path, split: str) -> tuple[int, int]:
        """Images of the folder and of the release that the split is of."""
        return len(self.pairs(root)), SCIDATA if split.startswith("scidata_") else RELEASED

    def training_split_of(self, split: str) -> str:
        """The training split of the same release."""
        return "scidata_train" if split.startswith("scidata_") else "train"

    def overlap(self, training_split: str, split: str) -> bool:
        """``all`` holds the others; whether the two releases share images is not published."""
        if self.training_split_of(training_split) != self.training_split_of(split):
            return True
        return (training_split == "all") != (split == "all")

    def disjoint_splits(self) -> Sequence[Sequence[str]]:
        """The three runs of numbers of either release."""
        return self.splits[:3], self.splits[4:]

    def pairs(self, root: Path) -> list[Pair]:
        """The images of ``image_mha/`` in the order of their names; their part is the release."""
        folder = root / "image_mha"
        if not folder.is_dir():
            raise self.layout_error(root, ("image_mha/", "label_mha/"))
        paths = [path for path in sorted(folder.glob("*.mha")) if re.fullmatch(r"\d{1,6}", path.stem)]
        part = "scidata" if len(paths) == SCIDATA else "challenge"
        return [
            Pair(path.stem, path, root / "label_mha" / path.name, _group(int(path.stem)), part)
            for path in paths
        ]

    def pairs_of(self, pairs: Sequence[Pair], split: str) -> list[Pair]:
        """Images whose number is in the split's run.

        Raises:
            MedbenchError: ``data.other_release`` for a split of the release that these images are not of.
        """
        of = "scidata" if split.startswith("scidata_") else "challenge"
        if pairs and pairs[0].part != of:
            raise MedbenchError(
                "data.other_release",
                f"{split}: is a split of {_TITLES[of]}; {pairs[0].image.parent} holds "
                f"{_TITLES[pairs[0].part]}.",
                "Use --split scidata_test." if of == "challenge" else "Use --split test.",
            )
        if of == "scidata":
            owners = _scidata_splits(pairs)
            return [pair for pair in pairs if owners[pair.group] == split]
        if split == "all":
            return list(pairs)
        run = RUNS[split]
        return [pair for pair in pairs if int(pair.id) in run]

    def read_image(self, path: Path) -> npt.NDArray[np.uint8]:
        """A frame, ``(256, 256, 3)``: 8 bit, three equal planes.

        Raises:
            MedbenchError: also ``data.picture_format`` for another type, size or planes that differ, which
                no frame of the release has.
        """
        volume = nifti_mha.read_volume(path)
        fault = ""
        if volume.array.dtype != np.uint8:
            fault = f"holds {volume.array.dtype} values"
        elif volume.shape != (3, SIDE, SIDE):
            fault = f"is {size_text(volume.shape)}"
        elif np.any(volume.array != volume.array[:1]):
            fault = "holds three planes that differ (a colour image)"
        if fault:
            raise MedbenchError(
                "data.picture_format",
                f"{path}: {fault}; the release holds 8-bit frames of three equal planes, 3×{SIDE}×{SIDE}.",
                "Copy the file again from its source.",
            )
        return raster.as_rgb(volume.array[0])

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The reference label map, ``(256, 256)``, 0, 1 and 2.

        Raises:
            MedbenchError: when the file is missing, damaged or holds other labels.
        """
        return read_label_map(case.reference["labels"])

    def check_files(self, root: Path) -> list[Finding]:
        """As for all images with masks, and which release it is, and how much of it is there."""
        pairs = self.pairs(root)
        findings = [
            finding for finding in super().check_files(root) if "is a split of" not in finding.message
        ]
        if pairs and pairs[0].part == "scidata":
            findings.insert(
                0, Finding("note", f"{counted(len(pairs), 'image')}: the release is {_TITLES['scidata']}.")
            )
        elif len(pairs) != RELEASED:
            message = f"{len(pairs):,} of the release's {RELEASED:,} images."
            findings.insert(0, Finding("warning", message, SUBSET))
        return findings

    def check_mask(self, pair: Pair) -> tuple[npt.NDArray[np.uint8], Sequence[str]]:
        """The label map, with an oddity for a structure that it lacks."""
        labels = read_label_map(pair.mask)
        absent = [name for label, name in self.card.labels.items() if label and label not in labels]
        return labels, [f"label maps: no {name}" for name in absent]


def _group(number: int) -> str:
    first = number // GROUP_LENGTH * GROUP_LENGTH
    return f"{first:05}-{first + GROUP_LENGTH - 1:05}"


def _scidata_splits(pairs: Sequence[Pair]) -> dict[str, str]:
    """Group -> split: by the share of images before the group's first."""
    owners: dict[str, str] = {}
    for position, pair in enumerate(pairs):
        share = position / len(pairs)
        owners.setdefault(pair.group, next(split for split, end in SCIDATA_SHARES if share < end))
    return owners


def read_label_map(path: Path, expected: Expected | None = None) -> npt.NDArray[np.uint8]:
    """A label map ``(height, width)`` of 0 background, 1 pubic symphysis, 2 fetal head.

    A file with a third axis of length 1, or with three equal planes, is read as one plane.

    Args:
        path: the file.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: when the file is missing, damaged or no label map; ``data.label_unknown`` with the
            values found.
    """
    labels = images.read_labels(path, expected=expected).array
    if labels.ndim == 3 and labels.shape[0] in (1, 3) and not np.any(labels != labels[:1]):
        labels = labels[0]
    if labels.ndim != 2:
        raise MedbenchError(
            "data.dimensions",
            f"{path}: is {size_text(labels.shape)}, a label map is one plane.",
            "Write one label map a frame.",
        )
    values = label_values(labels)
    if values.min(initial=0) < 0 or values.max(initial=0) > 2:
        foreign_coding = 255 in values or {7, 8} & set(values.tolist())
        raise MedbenchError(
            "data.label_unknown",
            f"{path}: holds the label values {named(values.tolist())}; known are 0, 1 (pubic symphysis), "
            f"2 (head), unknown {unknown_labels(labels, range(3))}.",
            "The file is coded for viewing or of another set: map its values to 0, 1 and 2."
            if foreign_coding
            else "Write the labels 0, 1 and 2 only.",
        )
    return np.ascontiguousarray(labels.astype(np.uint8))
