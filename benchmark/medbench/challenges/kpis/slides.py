"""KPIs 2024, task 2: glomeruli in whole slides, segmented and detected.

Sources: as for :mod:`medbench.challenges.kpis.patches`. Slides are scored at the working level: NEP25 as
scanned, the other three groups at half the resolution. The organisers' tiling (windows of 2048 at strides of
1024, two votes a pixel, components under 20,000 pixels removed) is not repeated: its corners can never
be positive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges.base import Challenge, Finding, size_text
from medbench.challenges.kpis import files as layout
from medbench.challenges.kpis.patches import (
    KPIsChallenge,
    KPIsPatch,
    by_group,
    counted,
    known_group,
    leaks,
)
from medbench.challenges.kpis.slide_overlays import slide_illustrations
from medbench.challenges.kpis.slide_scoring import SlideMasks, compare_rows, packed_masks, slide_scores
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.overlay import Illustration
from medbench.core.result_table import CaseScores, MetricSpec, ratio_column
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.core.score import Score, Status
from medbench.core.slides import Slide, SlideSettings
from medbench.io import slides
from medbench.io.pyramids import write_pyramid

MIN_OBJECT_PX = 10_000
SMALLEST_SIDE = 16
_PLAIN: tuple[MetricSpec, ...] = (
    ratio_column("dice", "Dice", "dice", headline=True),
    ratio_column("f1", "F1", "f1.instances", headline=True),
    ratio_column("dice_kpis_docker", "Dice (docker)", "dice.kpis_slide.official", headline=True),
    ratio_column("f1_kpis_docker", "F1 (docker)", "f1.kpis.official", headline=True),
    ratio_column("f1_contour", "F1 (contours)", "f1.kpis_contour"),
)


def working_factor(group: str) -> int:
    """Pixels of the scan a pixel at the working level: 1 for NEP25, 2 for the others."""
    return 1 if group == "NEP25" else 2


class KPIsSlide(KPIsChallenge):
    """Task 2: glomeruli in whole slides."""

    name = "kpis_slide"
    title = "KPIs 2024, whole slides"
    task = "segmentation and detection of glomeruli in PAS-stained whole slides"
    metrics = (*_PLAIN, *by_group("dice", "Dice", "dice"), *by_group("f1", "F1", "f1.instances"))
    slide_settings = SlideSettings(patch_px=2048, min_object_px=MIN_OBJECT_PX, max_hole_px=MIN_OBJECT_PX)
    failure_rule = (
        "medbench-1 (the organisers' rule is not public): a failed or missing slide scores 0 everywhere. Two "
        "empty masks have Dice 1 and, by the organisers' rule of contours, F1 0; the clean F1 is undefined "
        "and left out. A slide whose reference cannot be read has no score."
    )

    def learns_as(self) -> Challenge:
        """Networks learn from the patches of task 1."""
        return KPIsPatch()

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's slides by group and name."""
        self.check_split(split)
        found = layout.find_slides(root)
        cases = [
            Case(
                f"{slide.group}/{slide.name}",
                {"picture": slide.picture},
                {"mask": slide.mask},
                layout.slide_key(slide.group, slide.name),
                {"group": slide.group, "slide": slide.name},
            )
            for slide in found
            if slide.split == split
        ]
        if not cases:
            raise self._empty(root, split, found)
        return cases

    def read(self, case: Case) -> Sample:
        """The slide, of which nothing but the header is read yet."""
        path, group = case.inputs["picture"], case.facts["group"]
        known_group(group, path)
        factor = working_factor(group)
        shape = slides.slide_facts(path, channels=3).working_shape(factor)
        if min(shape) < SMALLEST_SIDE:
            raise MedbenchError(
                "data.size", f"{path}: is {size_text(shape)} at the working level, which is no slide.", ""
            )
        empty = np.empty((0, 0, 0, 3), np.uint8)
        return Sample(case, empty, frozenset({"mask"}), Slide(path, factor, shape))

    def prediction_name(self, case: Case) -> str:
        """``<group>/<slide>_mask.tiff``, 0 and 255 at the working level."""
        return f"{case.id}_mask.tiff"

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """Also under the names that teams and the organisers' docker give it."""
        found = super().locate(case, folder, rename)
        own = folder / self.prediction_name(case)
        others = (
            own.with_suffix(".tif"),
            own.with_name(f"{case.facts['slide']}_wsi_mask.tiff"),
            own.parent / "pred" / f"{case.facts['slide']}_pred_final.tiff",
        )
        return found or next((path for path in others if path.is_file()), None)

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the mask as a tiled, compressed TIFF with its pyramid."""
        assert prediction.mask is not None
        path = folder / self.prediction_name(case)
        write_pyramid(path, prediction.mask.strips(), prediction.mask.shape)
        return path

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """All columns of one slide, read in bands."""
        known_group(case.facts["group"], case.inputs["picture"])
        return self._rows(case, slide_scores(self._masks(case, path)))

    def _masks(self, case: Case, path: Path) -> SlideMasks:
        """Reference and prediction at the working level."""
        factor = working_factor(case.facts["group"])
        picture = slides.slide_facts(case.inputs["picture"], channels=3)
        masks = self._reference_facts(case), slides.slide_facts(path, channels=1)
        wanted = picture.shape, picture.working_shape(factor)
        for mask, shape in zip(masks, wanted, strict=True):
            if mask.shape != shape:
                raise MedbenchError(
                    "data.size_mismatch",
                    f"{mask.path}: is {size_text(mask.shape)} where {size_text(shape)} is due "
                    f"(its slide is {size_text(picture.shape)}, group {case.facts['group']}).",
                    "References are as large as their slides; predictions are at the working level, which is "
                    "half of that but for NEP25.",
                )
        return packed_masks(*masks, factor)

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """An overview with what was missed and invented, and the worst glomeruli."""
        factor = working_factor(case.facts["group"])
        return slide_illustrations(case.inputs["picture"], factor, self._masks(case, path))

    @staticmethod
    def _reference_facts(case: Case) -> slides.SlideFacts:
        return slides.slide_facts(case.reference["mask"], channels=1)

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
        """Scores by :attr:`failure_rule`."""
        try:
            known_group(case.facts["group"], case.inputs["picture"])
            self._reference_facts(case)
        except MedbenchError as error:
            return self._rows(case, {spec.name: Score.undefined(error.message) for spec in _PLAIN})
        return self._rows(case, {spec.name: Score(0.0, status, reason) for spec in _PLAIN})

    @staticmethod
    def _rows(case: Case, scores: dict[str, Score]) -> CaseScores:
        """The scores with those of the case's own group."""
        group = case.facts["group"]
        own = {f"{name}_{group.lower()}": scores[name] for name in ("dice", "f1")}
        chosen = own if group in layout.GROUPS else {}
        return CaseScores({**scores, **chosen}, {"group": group, "slide": case.facts["slide"]})

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """The patches of task 1."""
        return KPIsPatch().training_images(root, split, cache)

    def check(self, root: Path) -> list[Finding]:
        """Counts by split and group, masks that do not fit their slides, slides in two splits."""
        found = layout.find_slides(root)
        if not found:
            raise self._empty(root, self.default_split, found)
        findings = list(counted(found, "slides"))
        for slide in found:
            findings += self._look_at(slide)
        return [*findings, *leaks((slide.group, slide.name, slide.split) for slide in found)]

    @staticmethod
    def _look_at(slide: layout.Slide) -> Iterator[Finding]:
        try:
            known_group(slide.group, slide.picture)
            picture = slides.slide_facts(slide.picture, channels=3)
            mask = slides.slide_facts(slide.mask, channels=1)
        except MedbenchError as error:
            yield Finding("error", error.message, error.hint)
            return
        if mask.shape != picture.shape:
            found, wanted = size_text(mask.shape), size_text(picture.shape)
            yield Finding("error", f"{slide.mask}: is {found}, its slide {wanted}.", "Copy both again.")
        size_um = slides.microns_per_pixel(slide.picture)
        resolution = f", {size_um:g} µm a pixel" if size_um else ""
        levels = f"{len(picture.levels)} level{'s' * (len(picture.levels) > 1)}"
        yield Finding("note", f"{slide.picture.name}: {size_text(picture.shape)}, {levels}{resolution}.")
