"""KPIs 2024, task 2: glomeruli in whole slides, segmented and detected.

Sources: as for :mod:`medbench.challenges.kpis.patches`. Slides are scored at the working level: NEP25 as
scanned, the other three groups at half the resolution. The organisers' tiling (windows of 2048 at strides of
1024, two votes a pixel, components under 20,000 pixels removed) is not repeated: its corners can never
be positive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs, size_text
from medbench.challenges.kpis import patches
from medbench.challenges.kpis.files import KPIsRelease, counts, find_slides, leaks, slide_key
from medbench.challenges.kpis.files import Slide as SlideFiles
from medbench.challenges.kpis.masks import by_group, check_group, checked_arrays, with_group
from medbench.challenges.kpis.slide_overlays import OVERVIEW_PX, slide_illustrations, thumbnail
from medbench.challenges.kpis.slide_scoring import (
    SlideMasks,
    check_pixels,
    compare_rows,
    packed_masks,
    slide_scores,
)
from medbench.challenges.scorer import Scorer
from medbench.challenges.stray import Finding, Role, findings_of
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.overlay import Illustration
from medbench.core.result_table import CaseScores, MetricSpec, ratio_column
from medbench.core.sample import Prediction, Sample
from medbench.core.score import Score, Status
from medbench.core.slides import Slide, SlideSettings
from medbench.core.text import counted
from medbench.io import slides
from medbench.io.caches import content_sha256
from medbench.io.gate.expected import handed_in
from medbench.io.pyramids import write_pyramid
from medbench.metrics.checks.suspicion import flags

MIN_OBJECT_PX = 10_000
SMALLEST_SIDE = 16
_PLAIN: tuple[MetricSpec, ...] = (
    ratio_column("dice", "Dice", "dice", headline=True),
    ratio_column("f1", "F1", "f1.instances", headline=True),
    ratio_column("dice_kpis_docker", "Dice (docker)", "dice.kpis_slide.official", headline=True),
    ratio_column("f1_kpis_docker", "F1 (docker)", "f1.kpis.official", headline=True),
    ratio_column("f1_contour", "F1 (contours)", "f1.kpis_contour"),
)
_GROUP_COLUMNS = ("dice", "f1")
CARD = replace(
    patches.CARD,
    name="kpis_slide",
    title="KPIs 2024, whole slides",
    summary="segmentation and detection of glomeruli in PAS-stained whole slides",
    metrics=(*_PLAIN, *by_group("dice", "Dice", "dice"), *by_group("f1", "F1", "f1.instances")),
    failure_rule=(
        "medbench-1 (the organisers' rule is not public): a failed or missing slide scores 0 everywhere. Two "
        "empty masks have Dice 1 and, by the organisers' rule of contours, F1 0; the clean F1 is undefined "
        "and left out. A slide whose reference cannot be read has no score."
    ),
    slide_settings=SlideSettings(patch_px=2048, min_object_px=MIN_OBJECT_PX, max_hole_px=MIN_OBJECT_PX),
    learns_from=patches.CARD.name,
)


def working_factor(group: str) -> int:
    """Pixels of the scan per pixel of the working level: 1 for NEP25, 2 for other groups."""
    return 1 if group == "NEP25" else 2


class KPIsSlideRelease(KPIsRelease):
    """Whole slides of KPIs 2024 with their grey masks."""

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's slides by group and name."""
        self.check_split(split)
        items = find_slides(root)
        cases = [
            Case(
                f"{slide.group}/{slide.name}",
                {"image": slide.image},
                {"mask": slide.mask},
                slide_key(slide.group, slide.name),
                {"group": slide.group, "slide": slide.name},
            )
            for slide in items
            if slide.split == split
        ]
        if not cases:
            raise self.nothing_of(root, split, items)
        return cases

    def reference_facts(self, case: Case) -> slides.SlideFacts:
        """Header of the reference mask.

        Raises:
            MedbenchError: naming the file that cannot be read.
        """
        return slides.slide_facts(case.reference["mask"], channels=1)

    def check_reference(self, case: Case, *, pixels: bool) -> None:
        """Refuse a reference that cannot be read, or that is not as large as its slide.

        Args:
            case: the case.
            pixels: whether to decode it, in bands.

        Raises:
            MedbenchError: naming the reference, or the slide where that cannot be read.
        """
        mask, image = self.reference_facts(case), slides.slide_facts(case.inputs["image"], channels=3)
        if mask.shape != image.shape:
            raise MedbenchError(
                "data.size_mismatch",
                f"{mask.path}: is {size_text(mask.shape)}, expected {size_text(image.shape)}.",
                "References are as large as their slides.",
            )
        if pixels:
            check_pixels(mask)

    def shown_sha256(self, path: Path, role: Role) -> str | None:
        """Of a slide's bytes, as it does not fit into memory."""
        digest = guarded(str(path), partial(content_sha256, path))
        return None if isinstance(digest, Failure) else digest

    def check_files(self, root: Path) -> list[Finding]:
        """Findings on counts, masks that do not fit their slides, and slides in two splits."""
        items = find_slides(root)
        if not items:
            raise self.nothing_of(root, self.default_split, items)
        findings = list(counts(items, "slide", "slides"))
        for item in items:
            findings += findings_of(str(item.image), partial(self._check_slide, item))
        return [*findings, *leaks((item.group, item.name, item.split) for item in items)]

    @staticmethod
    def _check_slide(item: SlideFiles) -> Iterator[Finding]:
        try:
            check_group(item.group, item.image)
            image = slides.slide_facts(item.image, channels=3)
            mask = slides.slide_facts(item.mask, channels=1)
        except MedbenchError as error:
            yield Finding("error", error.message, error.hint)
            return
        if mask.shape != image.shape:
            message = f"{item.mask}: is {size_text(mask.shape)}, its slide {size_text(image.shape)}."
            yield Finding("error", message, "Copy both again.")
        size_um = slides.microns_per_pixel(item.image)
        resolution = f", {size_um:g} µm a pixel" if size_um else ""
        levels = counted(len(image.levels), "level")
        yield Finding("note", f"{item.image.name}: {size_text(image.shape)}, {levels}{resolution}.")


class KPIsSlideExchange(Exchange):
    """Reads slides; writes one tiled mask at the working level each.

    Args:
        card: of the challenge.
        release: of the slides.
        patch_inputs: inputs of task 1, which give the training examples.
    """

    def __init__(self, card: Card, release: KPIsSlideRelease, patch_inputs: Inputs) -> None:
        super().__init__(card)
        self.release = release
        self.inputs = {"slide": Inputs(self.read_slide, patch_inputs.examples)}

    def read_slide(self, case: Case) -> Sample:
        """The sample of a slide; only the header of its file is read.

        Raises:
            MedbenchError: ``data.group_unknown``, ``data.size``, or naming the file that cannot be read.
        """
        path, group = case.inputs["image"], case.facts["group"]
        check_group(group, path)
        factor = working_factor(group)
        shape = slides.slide_facts(path, channels=3).working_shape(factor)
        if min(shape) < SMALLEST_SIDE:
            raise MedbenchError(
                "data.size",
                f"{path}: is {size_text(shape)} at the working level, which is no slide.",
                "Give the slide's own file.",
            )
        empty = np.empty((0, 0, 0, 3), np.uint8)
        return Sample(case, empty, slide=Slide(path, factor, shape))

    def prediction_name(self, case: Case) -> str:
        """Name of the predicted mask, ``<group>/<slide>_mask.tiff``, at the working level."""
        return f"{case.id}_mask.tiff"

    def other_names(self, case: Case, folder: Path) -> Sequence[str]:
        """As teams and the organisers' docker name it."""
        own, slide = Path(self.prediction_name(case)), case.facts["slide"]
        others = (
            own.with_suffix(".tif"),
            own.with_name(f"{slide}_wsi_mask.tiff"),
            own.parent / "pred" / f"{slide}_pred_final.tiff",
        )
        return [str(other) for other in others]

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the mask as a tiled, compressed TIFF with its pyramid."""
        path, mask = folder / self.prediction_name(case), prediction["label_map"]
        write_pyramid(path, mask.strips(), mask.shape)
        return path

    def read_masks(self, case: Case, path: Path) -> SlideMasks:
        """Reference and prediction at the working level, read in bands.

        Raises:
            MedbenchError: ``data.size_mismatch``, or naming the file that cannot be read.
        """
        factor = working_factor(case.facts["group"])
        image = slides.slide_facts(case.inputs["image"], channels=3)
        masks = self.release.reference_facts(case), slides.slide_facts(path, channels=1, expected=handed_in())
        due = image.shape, image.working_shape(factor)
        for mask, shape in zip(masks, due, strict=True):
            if mask.shape != shape:
                raise MedbenchError(
                    "data.size_mismatch",
                    f"{mask.path}: is {size_text(mask.shape)}, expected {size_text(shape)} "
                    f"(its slide is {size_text(image.shape)}, group {case.facts['group']}).",
                    "References are as large as their slides; predictions are at the working level, which is "
                    "half of that but for NEP25.",
                )
        return packed_masks(*masks, factor)

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """An overview that marks missed and false positive glomeruli, and the worst at full size."""
        factor = working_factor(case.facts["group"])
        return slide_illustrations(case.inputs["image"], factor, self.read_masks(case, path))


class KPIsSlideScorer(Scorer):
    """Scores overlap and detection in every slide, correctly and as the organisers' docker."""

    def __init__(self, card: Card, exchange: KPIsSlideExchange) -> None:
        super().__init__(card)
        self.exchange = exchange

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """All columns of one slide, read in bands.

        Raises:
            MedbenchError: ``data.group_unknown``, and as :meth:`KPIsSlideExchange.read_masks`.
        """
        check_group(case.facts["group"], case.inputs["image"])
        masks = self.exchange.read_masks(case, path)
        scores = with_group(case, slide_scores(masks), _GROUP_COLUMNS)
        step = -(-max(masks.reference.shape) // OVERVIEW_PX)
        marks = flags(thumbnail(masks.reference, step), thumbnail(masks.prediction, step))
        return CaseScores(scores.scores, {**scores.evidence, **marks})

    def checked(
        self, reference: Any, prediction: Any, spacing: Any
    ) -> tuple[Any, Any, tuple[float, ...] | None]:
        """As :func:`medbench.challenges.kpis.masks.checked_arrays`; no column has a spacing."""
        return *checked_arrays(reference, prediction), None

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of a slide in memory.

        Args:
            reference: ``(height, width)``, grey 0 to 255 as scanned.
            prediction: the same shape, or half of it, 0 outside and anything else inside.
            spacing: not used: every column is a ratio.

        Raises:
            MedbenchError: ``metric.shape``.
        """
        grey, mask = np.asarray(reference, np.uint8), np.asarray(prediction) != 0
        factor = 1 if mask.shape == grey.shape else 2
        if mask.shape != tuple(max(1, round(side / factor)) for side in grey.shape):
            raise MedbenchError(
                "metric.shape", f"The reference has shape {grey.shape}, the prediction {mask.shape}."
            )
        height, width = mask.shape
        rows = mask.view(np.uint8)
        masks = compare_rows(
            lambda start, stop: grey[start:stop], (grey.shape[0], grey.shape[1]),
            lambda start, stop: rows[start:stop], (height, width), factor,
        )  # fmt: skip
        return slide_scores(masks)

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by the card's ``failure_rule``."""
        score = Score(0.0, status, reason)
        try:
            check_group(case.facts["group"], case.inputs["image"])
            self.exchange.release.check_reference(case, pixels=status == "failed")
        except MedbenchError as error:
            score = Score.undefined(error.message)
        return with_group(case, {spec.name: score for spec in _PLAIN}, _GROUP_COLUMNS)


def kpis_slide() -> Challenge:
    """Task 2: glomeruli in whole slides; networks learn from the patches of task 1."""
    release = KPIsSlideRelease(CARD)
    exchange = KPIsSlideExchange(CARD, release, patches.kpis_patch().exchange.inputs["image"])
    return Challenge(CARD, release, exchange, KPIsSlideScorer(CARD, exchange))
