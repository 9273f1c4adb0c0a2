"""Files of a release of images with one mask each: cases, splits, reading and checks."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.exchange import size_text
from medbench.challenges.families.leaks import leaks
from medbench.challenges.release import Release
from medbench.challenges.stray import Finding
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.label_values import label_values
from medbench.core.text import counted
from medbench.io import eight_bit, raster
from medbench.io.gate.listing import check_alone


@dataclass(frozen=True, slots=True)
class Pair:
    """An image of a release with the path of its mask, which may be missing.

    Attributes:
        id: name of the image in the release.
        image: path of the image.
        mask: path of the mask.
        group: patient, lesion or video of the image; empty where it is not known to share one.
        part: part of the release, where a release has several.
    """

    id: str
    image: Path
    mask: Path
    group: str = ""
    part: str = ""


@dataclass(frozen=True, slots=True)
class PairReport:
    """Findings on a pair, and oddities that many files of a release share."""

    pair: Pair
    findings: tuple[Finding, ...] = ()
    oddities: tuple[str, ...] = ()


class ImageMaskRelease(Release):
    """Files of a release of images with one mask each.

    Attributes:
        mask_threshold: grey values above it are the structure, where masks have grey borders; else ``None``.
        image_size: height and width of all images of the release, where these are equal; else ``None``.
        may_be_empty: whether images without the structure belong to the release.
    """

    mask_threshold: ClassVar[int | None] = None
    image_size: ClassVar[tuple[int, int] | None] = None
    may_be_empty: ClassVar[bool] = False

    @abc.abstractmethod
    def pairs(self, root: Path) -> list[Pair]:
        """All images of the folder with their masks, in a fixed order.

        Raises:
            MedbenchError: ``data.layout_unknown``.
        """

    @abc.abstractmethod
    def pairs_of(self, pairs: Sequence[Pair], split: str) -> list[Pair]:
        """The images of a split.

        Raises:
            MedbenchError: ``data.empty`` or ``data.incomplete`` when the split cannot be formed.
        """

    def cases(self, root: Path, split: str) -> list[Case]:
        """The cases of a split; a case with a missing mask fails when it is scored."""
        self.check_split(split)
        images = self.pairs(root)
        pairs = self.pairs_of(images, split)
        if not pairs:
            raise self.empty_split(root, split, counted(len(images), "image"))
        return [Case(pair.id, {"image": pair.image}, {"labels": pair.mask}, pair.group) for pair in pairs]

    def read_image(self, path: Path) -> npt.NDArray[np.uint8]:
        """An image of the release, ``(height, width, 3)``, 8 bit.

        Raises:
            MedbenchError: when the file is missing, damaged or of another kind than the release's.
        """
        check_alone(path, raster.SUFFIXES)
        return eight_bit.read_rgb(path)

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The reference mask, ``(height, width)``, values of the card's labels.

        Raises:
            MedbenchError: when the file is missing, damaged or no such mask.
        """
        check_alone(case.reference["labels"], raster.SUFFIXES)
        return eight_bit.read_binary_mask(case.reference["labels"], self.mask_threshold)

    def check_files(self, root: Path) -> list[Finding]:
        """Findings on counts, every image and mask, and images and groups in two splits."""
        pairs = self.pairs(root)
        with ThreadPoolExecutor(2) as pool:
            reports = list(pool.map(self._guarded_pair, pairs))
        findings = [finding for report in reports for finding in report.findings]
        for oddity in dict.fromkeys(oddity for report in reports for oddity in report.oddities):
            pairs_of_it = [report.pair for report in reports if oddity in report.oddities]
            first = pairs_of_it[0].image if oddity.startswith("images") else pairs_of_it[0].mask
            count = f"{len(pairs_of_it)} of {len(pairs)}"
            findings.append(Finding("note", f"{count} {oddity}; the first is {first}."))
        counts: list[Finding] = []
        for splits in self.disjoint_splits():
            owners: dict[str, list[Pair]] = {}
            for split in splits:
                try:
                    owners[split] = self.pairs_of(pairs, split)
                except MedbenchError as error:
                    counts.append(Finding("note", error.message, error.hint))
                    continue
                counts.append(self.count_finding(split, len(owners[split])))
            findings += leaks(owners)
        return [*counts, *findings]

    def _guarded_pair(self, pair: Pair) -> PairReport:
        report = guarded(pair.id, lambda: self.check_pair(pair))
        if isinstance(report, Failure):
            return PairReport(pair, (Finding("error", f"{pair.image}: {report.reason}", report.hint),))
        return report

    def check_pair(self, pair: Pair) -> PairReport:
        """Findings on one image and its mask."""
        report, size = self.check_image(pair)
        if not size:
            return report
        try:
            mask, oddities = self.check_mask(pair)
        except MedbenchError as error:
            return replace(report, findings=(Finding("error", error.message, error.hint),))
        findings = []
        if mask.shape != size:
            message = f"{pair.mask}: is {size_text(mask.shape)} where its image is {size_text(size)}."
            findings.append(Finding("error", message))
        if mask.all() or not (mask.any() or self.may_be_empty):
            message = f"{pair.mask}: {'everything' if mask.any() else 'nothing'} is marked."
            findings.append(Finding("warning", message, "Compare with the original file."))
        return replace(report, findings=tuple(findings), oddities=(*report.oddities, *oddities))

    def check_image(self, pair: Pair) -> tuple[PairReport, tuple[int, ...]]:
        """Findings on the image alone, and its size, which is empty where the image cannot be read."""
        try:
            image = self.read_image(pair.image)
        except MedbenchError as error:
            return PairReport(pair, (Finding("error", error.message, error.hint),)), ()
        size, oddities = image.shape[:2], []
        if self.image_size and size != self.image_size:
            oddities.append(f"images: not of {size_text(self.image_size)}, as the release's are")
        return PairReport(pair, oddities=tuple(oddities)), size

    def check_mask(self, pair: Pair) -> tuple[npt.NDArray[np.uint8], Sequence[str]]:
        """The reference mask, and oddities of its file that are no errors.

        Raises:
            MedbenchError: as :meth:`read_reference`.
        """
        labels = raster.read_label_map(pair.mask)
        mask = eight_bit.read_binary_mask(pair.mask, self.mask_threshold)
        oddities = []
        if labels.max(initial=0) == 1:
            oddities.append("masks: coded 0/1 where the release has 0/255, both of which are read")
        elif len(label_values(labels)) > 2:
            oddities.append(
                f"masks: grey values, of which those above {self.mask_threshold} alone are read as mask"
            )
        return mask, oddities
