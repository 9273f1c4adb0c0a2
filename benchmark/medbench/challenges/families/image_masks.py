"""What challenges of pictures with one mask each have in common.

A subclass says where the files lie, which case belongs to which split, and which columns it reports; reading,
writing, scoring, learning and checking are here, for 8-bit colour pictures with binary masks unless a
subclass reads them otherwise.
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge, Finding, size_text
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores, share
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.core.score import Score, Status
from medbench.io import pictures, raster

OWN_SIZE = "at the pictures' own size"
PAPERS = "of the papers: at 256×256, one added to IoU and Dice"
PAPERS_SIDE = 256


OWN_SIZE_COLUMNS = (
    share("iou", "mIoU", "iou", OWN_SIZE, headline=True),
    share("dice", "Dice", "dice", OWN_SIZE, headline=True),
    share("accuracy", "accuracy", "pixel_accuracy", OWN_SIZE),
    share("precision", "precision", "precision", OWN_SIZE),
    share("recall", "recall", "sensitivity", OWN_SIZE),
)
PAPER_COLUMNS = (
    share("iou_256", "mIoU", "iou.plus_one", PAPERS, headline=True),
    share("dice_256", "Dice", "dice.plus_one", PAPERS, headline=True),
    share("accuracy_256", "accuracy", "pixel_accuracy", PAPERS),
    share("precision_256", "precision", "precision.epsilon", PAPERS),
    share("recall_256", "recall", "sensitivity.epsilon", PAPERS),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture of a release and where its mask is, or would be.

    Attributes:
        id: its name in the release.
        picture: path of the picture.
        mask: path of the mask.
        group: patient, lesion or video that it shows; empty when it stands alone.
        part: part of the release that it comes from, where a release has several.
    """

    id: str
    picture: Path
    mask: Path
    group: str = ""
    part: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What a check saw of a pair: faults of this file, oddities that files share, and the picture's hash."""

    pair: Pair
    findings: tuple[Finding, ...] = ()
    oddities: tuple[str, ...] = ()
    digest: str = ""


class PictureMaskChallenge(Challenge):
    """Pictures with one mask each, scored picture by picture.

    Columns of the protocol :data:`PAPERS` score both masks at 256 × 256 (nearest neighbour), as the papers'
    programs do with the network's own output; the others score the files as they are.

    Attributes:
        mask_threshold: grey values above this are the structure, where the release has grey mask borders.
        prediction_threshold: likewise for predictions, where the organisers' program thresholds them.
        picture_size: height and width of all pictures of the release, if they are equal.
    """

    mask_threshold: ClassVar[int | None] = None
    prediction_threshold: ClassVar[int | None] = None
    picture_size: ClassVar[tuple[int, int] | None] = None
    failure_rule = (
        "0 in every column (ours; the papers do not say). Where the reference itself cannot be read, "
        "the scores are undefined and enter no mean."
    )

    @abc.abstractmethod
    def pairs(self, root: Path) -> list[Pair]:
        """Every picture of the folder in a fixed order.

        Raises:
            MedbenchError: ``data.layout_unknown``.
        """

    @abc.abstractmethod
    def members(self, pairs: Sequence[Pair], split: str) -> list[Pair]:
        """Those of the pictures that belong to a split.

        Raises:
            MedbenchError: ``data.empty`` or ``data.incomplete`` when the split cannot be formed.
        """

    @abc.abstractmethod
    def schemes(self) -> Sequence[Sequence[str]]:
        """Splits that are used together and must not overlap."""

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's pictures; masks that are missing fail when they are scored."""
        self.check_split(split)
        chosen = self.members(self.pairs(root), split)
        if not chosen:
            raise MedbenchError("data.empty", f"{root}: holds no picture of split {split}.", self.data_hint)
        return [
            Case(pair.id, {"picture": pair.picture}, {"labels": pair.mask}, pair.group) for pair in chosen
        ]

    def read_picture(self, path: Path) -> npt.NDArray[np.uint8]:
        """A picture of the release, ``(height, width, 3)``, 8 bit.

        Raises:
            MedbenchError: when the file is missing, damaged or of another kind than the release's.
        """
        return pictures.read_rgb(path)

    def read_prediction(self, path: Path) -> npt.NDArray[np.uint8]:
        """A predicted mask, ``(height, width)``, values of :attr:`labels`.

        Raises:
            MedbenchError: when the file is missing, damaged or no such mask.
        """
        return pictures.read_binary_mask(path, self.prediction_threshold)

    def read(self, case: Case) -> Sample:
        """The picture, 8 bit."""
        picture = self.read_picture(case.inputs["picture"])
        return Sample(case, picture[np.newaxis], frozenset({"labels"}))

    def prediction_name(self, case: Case) -> str:
        """``<case>.png``, 0 and 255."""
        return f"{case.id}.png"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the mask as an 8-bit PNG of 0 and 255."""
        assert prediction.labels is not None
        path = folder / self.prediction_name(case)
        raster.write_label_map(path, (prediction.labels[0] > 0).astype(np.uint8) * 255)
        return path

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The reference mask, ``(height, width)``, values of :attr:`labels`.

        Raises:
            MedbenchError: when the file is missing, damaged or no such mask.
        """
        return pictures.read_binary_mask(case.reference["labels"], self.mask_threshold)

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """All columns of one mask.

        Raises:
            MedbenchError: also ``data.size_mismatch``, naming whichever file differs from the picture.
        """
        return CaseScores(self.score_arrays(*self.read_both(case, path)))

    def read_both(self, case: Case, path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Reference and prediction of one size.

        Raises:
            MedbenchError: as :meth:`score_file`.
        """
        reference, prediction = self.read_reference(case), self.read_prediction(path)
        if reference.shape != prediction.shape:
            raise self._size_mismatch(case, path, reference.shape, prediction.shape)
        return reference, prediction

    def _size_mismatch(
        self, case: Case, path: Path, reference: tuple[int, ...], prediction: tuple[int, ...]
    ) -> MedbenchError:
        size = self.read_picture(case.inputs["picture"]).shape[:2]
        wrong, found = (case.reference["labels"], reference) if reference != size else (path, prediction)
        return MedbenchError(
            "data.size_mismatch",
            f"{wrong}: is {size_text(found)} where its picture is {size_text(size)}.",
            "Masks have the size of their pictures; resize predictions back by nearest neighbour.",
        )

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of one pair of masks.

        Args:
            reference: ``(height, width)``, 0 and 1.
            prediction: the same shape.
            spacing: not used: every column is a ratio.
        """
        from medbench.metrics.engine import evaluate_arrays

        both = (np.asarray(reference, np.uint8), np.asarray(prediction, np.uint8))
        small = tuple(raster.resize_labels(mask, PAPERS_SIDE, PAPERS_SIDE) for mask in both)
        scores: dict[str, Score] = {}
        for protocol in dict.fromkeys(spec.protocol for spec in self.metrics):
            columns = [spec for spec in self.metrics if spec.protocol == protocol]
            first, second = small if protocol == PAPERS else both
            found = evaluate_arrays(first, second, [spec.convention for spec in columns], {"mask": 1})["mask"]
            scores |= {spec.name: found[spec.convention] for spec in columns}
        return scores

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :attr:`failure_rule`."""
        try:
            self.read_reference(case)
        except MedbenchError as error:
            return CaseScores({spec.name: Score.undefined(error.message) for spec in self.metrics})
        return CaseScores({spec.name: Score(0.0, status, reason) for spec in self.metrics})

    def illustrate(
        self, case: Case, path: Path
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        """The picture with both masks."""
        picture = self.read_picture(case.inputs["picture"])
        return picture, self.read_reference(case), self.read_prediction(path)

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """The split's pictures with their masks."""
        return [self._training_image(case, cache) for case in self.cases(root, split)]

    def _training_image(self, case: Case, cache: Path) -> TrainingImage:
        def load(size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
            picture = pictures.resized_picture(case.inputs["picture"], size, cache, self.read_picture)
            return picture, raster.resize_labels(self.read_reference(case), size, size)

        return TrainingImage(case.id, case.resampling_unit, load, labelled=True)

    def check(self, root: Path) -> list[Finding]:
        """Counts, every picture and mask, pictures in two splits of a scheme, and groups in two of them."""
        pairs = self.pairs(root)
        with ThreadPoolExecutor(2) as pool:
            looked = list(pool.map(self.look_at, pairs))
        findings = [finding for view in looked for finding in view.findings]
        for oddity in dict.fromkeys(oddity for view in looked for oddity in view.oddities):
            named = [view.pair for view in looked if oddity in view.oddities]
            shown = f"{named[0].picture if oddity.startswith('pictures') else named[0].mask}"
            count = f"{len(named)} of {len(pairs)}"
            findings.append(Finding("note", f"{count} {oddity}, the first is {shown}."))
        digests = {view.pair.picture: view.digest for view in looked if view.digest}
        counted: list[Finding] = []
        for scheme in self.schemes():
            owners: dict[str, list[Pair]] = {}
            for split in scheme:
                try:
                    owners[split] = self.members(pairs, split)
                except MedbenchError as error:
                    counted.append(Finding("note", error.message, error.hint))
                    continue
                counted.append(self._counted(root, split, len(owners[split])))
            findings += _leaks(owners, digests)
        return [*counted, *findings]

    def _counted(self, root: Path, split: str, present: int) -> Finding:
        facts = self.split_facts(split)
        whole = facts.cases if facts else None
        if not whole or present == whole:
            return Finding("note", f"{split}: {present} pictures.")
        if present == 0:
            return Finding("note", f"{split}: none of the release's {whole} pictures.")
        return Finding(
            "warning",
            f"{split}: {present} of the release's {whole} pictures.",
            "A subset: its scores are marked so and never stand beside those of the whole split.",
        )

    def look_at(self, pair: Pair) -> View:
        """What is wrong with one picture and its mask, what is odd, and the hash of the decoded picture."""
        view, size = self.look_at_picture(pair)
        if not size:
            return view
        try:
            mask, seen = self.look_at_mask(pair)
        except MedbenchError as error:
            return replace(view, findings=(Finding("error", error.message, error.hint),))
        findings = []
        if mask.shape != size:
            told = f"{pair.mask}: is {size_text(mask.shape)} where its picture is {size_text(size)}."
            findings.append(Finding("error", told))
        if not mask.any() or mask.all():
            told = f"{pair.mask}: {'everything' if mask.any() else 'nothing'} is marked."
            findings.append(Finding("warning", told, "Compare with the original file."))
        return replace(view, findings=tuple(findings), oddities=(*view.oddities, *seen))

    def look_at_picture(self, pair: Pair) -> tuple[View, tuple[int, ...]]:
        """What is wrong or odd with the picture alone, and its size, empty when it cannot be read."""
        try:
            picture = self.read_picture(pair.picture)
        except MedbenchError as error:
            return View(pair, (Finding("error", error.message, error.hint),)), ()
        digest = hashlib.sha256(picture.tobytes()).hexdigest()
        size, oddities = picture.shape[:2], []
        if self.picture_size and size != self.picture_size:
            oddities.append(f"pictures are not of {size_text(self.picture_size)}, as the release's are")
        return View(pair, oddities=tuple(oddities), digest=digest), size

    def look_at_mask(self, pair: Pair) -> tuple[npt.NDArray[np.uint8], Sequence[str]]:
        """The reference mask as it is read, and what is odd about the file without being wrong.

        Raises:
            MedbenchError: as :meth:`read_reference`.
        """
        labels = raster.read_label_map(pair.mask)
        mask = pictures.read_binary_mask(pair.mask, self.mask_threshold)
        oddities = []
        if labels.max(initial=0) == 1:
            oddities.append("masks are coded 0/1 where the release has 0/255; both are read")
        elif len(np.unique(labels)) > 2:
            oddities.append(f"masks have grey values and are read as mask above {self.mask_threshold} only")
        return mask, oddities


def _leaks(owners: Mapping[str, Sequence[Pair]], digests: Mapping[Path, str]) -> Iterator[Finding]:
    """Pictures and groups that lie in more than one of the splits."""
    seen: dict[str, tuple[str, Pair]] = {}
    groups: dict[str, set[str]] = {}
    for split, members in owners.items():
        for pair in members:
            if pair.group:
                groups.setdefault(pair.group, set()).add(split)
            other, first = seen.setdefault(digests.get(pair.picture, str(pair.picture)), (split, pair))
            if first is not pair:
                yield Finding(
                    "warning" if other == split else "error",
                    f"{pair.picture}: the same picture as {first.picture}, in {split} and {other}.",
                    "Scores on it would be of training data: remove one of them." if other != split else "",
                )
    shared = sorted(group for group, splits in groups.items() if len(splits) > 1)
    if shared:
        yield Finding(
            "warning",
            f"{', '.join(owners)}: {len(shared)} of {len(groups)} groups lie in more than one of these "
            f"splits ({', '.join(shared[:4])}{', …' if len(shared) > 4 else ''}).",
            "Their pictures are near duplicates, so that scores are too good; use a split by group.",
        )
