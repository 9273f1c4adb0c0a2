"""KPIs 2024, Kidney Pathology Image Segmentation: glomeruli in patches (task 1) and whole slides (task 2).

Sources: scoring and layouts from hrlblab/KPIs2024@7d56473 (the organisers' example dockers, which run
MONAI 1.3.0); JPEG masks, working level and the stitching of patches from
huuquan1994/wsi_glomerulus_seg@95fdb39 (first place in both tracks). Which program made the final ranking, and
how ties were broken, is not public.

The example evaluators have defects, which columns named ``…_kpis_docker`` repeat and other columns do not:
masks are grey and never binarised, so a perfect patch scores about 0.9 and a slide's reference loses its rim;
contours of slides are shifted in place while they are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs, size_text
from medbench.challenges.kpis.files import (
    GROUPS,
    KPIsRelease,
    counts,
    find_patches,
    leaks,
    slide_key,
)
from medbench.challenges.kpis.masks import (
    THRESHOLD,
    by_group,
    check_group,
    checked_arrays,
    read_binary_prediction,
    read_grey_mask,
    with_group,
)
from medbench.challenges.mask_sizes import check_mask_sizes, check_size, refuse_other_sizes, sized
from medbench.challenges.scorer import Scorer
from medbench.challenges.stray import Finding
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.overlay import Illustration
from medbench.core.result_table import CaseScores, ratio_column
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.core.score import Score, Status
from medbench.core.text import agreeing
from medbench.io import eight_bit, raster
from medbench.io.gate.listing import check_alone
from medbench.metrics.checks.suspicion import flags

PATCH_SIDE = 2048
_PLAIN = (
    ratio_column("dice", "Dice", "dice", headline=True),
    ratio_column("dice_kpis_docker", "Dice (docker)", "dice.kpis_patch.official", headline=True),
)
CARD = Card(
    name="kpis_patch",
    title="KPIs 2024, patches",
    summary="segmentation of glomeruli in patches of PAS-stained kidney sections",
    labels={0: "background", 1: "glomerulus"},
    metrics=(*_PLAIN, *by_group("dice", "Dice", "dice")),
    failure_rule=(
        "medbench-1 (the organisers' rule is not public): a failed or missing patch scores 0 everywhere. "
        "As in the organisers' mean, a patch whose reference is empty has no score, whatever is predicted; "
        "nor has one whose reference cannot be read."
    ),
    augmentation="stain",
    case_columns=("group", "slide"),
    citation=(
        "Deng et al.: KPIs 2024 Challenge: Advancing Glomerular Segmentation from Patch- to Slide-Level. "
        "arXiv 2502.07288; Medical Image Analysis 114 (2026) 104234"
    ),
    license="see the challenge's data terms (Synapse syn54077668)",
    homepage="https://sites.google.com/view/kpis2024",
    published_file=Path(__file__).parent / "published.toml",
)


class KPIsPatchRelease(KPIsRelease):
    """Patches of KPIs 2024 with their grey masks."""

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's patches by group, slide and position; patches of one slide are one group of cases."""
        self.check_split(split)
        patches = find_patches(root)
        cases = [
            Case(
                f"{patch.group}/{patch.slide}/{patch.stem}",
                {"image": patch.image},
                {"mask": patch.mask},
                slide_key(patch.group, patch.slide),
                {"group": patch.group, "slide": patch.slide, "row": patch.row, "column": patch.column},
            )
            for patch in patches
            if patch.split == split
        ]
        if not cases:
            raise self.nothing_of(root, split, patches)
        return cases

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The grey mask, ``(height, width)``.

        Raises:
            MedbenchError: as :func:`read_grey_mask`, and ``data.group_unknown``.
        """
        check_group(case.facts["group"], case.reference["mask"])
        check_alone(case.reference["mask"], raster.SUFFIXES)
        return read_grey_mask(case.reference["mask"])

    def check_files(self, root: Path) -> list[Finding]:
        """Findings on counts, masks that are unreadable or of another size, and slides in two splits."""
        patches = find_patches(root)
        if not patches:
            raise self.nothing_of(root, self.default_split, patches)
        findings = list(counts(patches, "patch", "patches"))
        other_sizes = []
        for patch in patches:
            try:
                check_group(patch.group, patch.image)
                mask, image = read_grey_mask(patch.mask), eight_bit.read_rgb(patch.image)
                check_size(patch.mask, mask.shape, image.shape[:2])
            except MedbenchError as error:
                findings.append(Finding("error", error.message, error.hint))
                continue
            if mask.shape != (PATCH_SIDE, PATCH_SIDE):
                other_sizes.append(f"{patch.image} ({size_text(mask.shape)})")
        if other_sizes:
            are = agreeing(len(other_sizes), "is", "are")
            count = f"{len(other_sizes)} of {len(patches)} patches {are} not 2048×2048 as the release's"
            findings.append(Finding("warning", f"{count}; the first is {other_sizes[0]}."))
        return [*findings, *leaks((patch.group, patch.slide, patch.split) for patch in patches)]


class KPIsPatchExchange(Exchange):
    """Reads patches; writes one 8-bit PNG of 0 and 255 each. Patches of a slide overlap by half."""

    def __init__(self, card: Card, release: KPIsPatchRelease) -> None:
        super().__init__(card)
        self.release = release
        self.inputs = {"image": Inputs(self.read_patch, self.training_images)}
        self.patch_position = top_left

    def read_patch(self, case: Case) -> Sample:
        """The sample of a patch, 8-bit RGB.

        Raises:
            MedbenchError: ``data.group_unknown``, or naming the file that cannot be read.
        """
        check_group(case.facts["group"], case.inputs["image"])
        return Sample(case, eight_bit.read_rgb(case.inputs["image"])[np.newaxis])

    def prediction_name(self, case: Case) -> str:
        """Name of the predicted mask, ``<group>/<slide>/<patch>_mask.png``."""
        return f"{case.id}_mask.png"

    def other_names(self, case: Case, folder: Path) -> Sequence[str]:
        """As the organisers' docker names it: ``val_<image>_pred.png``."""
        own = Path(self.prediction_name(case))
        return [str(own.with_name(f"val_{case.inputs['image'].stem}_pred.png"))]

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the mask as an 8-bit PNG of 0 and 255."""
        path = folder / self.prediction_name(case)
        raster.write_label_map(path, (prediction["label_map"][0] > 0).astype(np.uint8) * 255)
        return path

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """The patch with both masks."""
        reference = (self.release.read_reference(case) > THRESHOLD).astype(np.uint8)
        prediction = read_binary_prediction(path, reference.shape).astype(np.uint8)
        return [Illustration(eight_bit.read_rgb(case.inputs["image"]), reference, prediction)]

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """The split's patches with their masks.

        Raises:
            MedbenchError: ``data.size_mismatch`` for masks of another size than their patch.
        """
        cases = [case for case in self.release.cases(root, split) if case.facts["group"] in GROUPS]
        refuse_other_sizes((case.inputs["image"], case.reference["mask"]) for case in cases)
        return [self._training_image(case, cache) for case in cases]

    def _training_image(self, case: Case, cache: Path) -> TrainingImage:
        def load(size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
            image = eight_bit.resized_image(case.inputs["image"], size, cache)
            mask = (self.release.read_reference(case) > THRESHOLD).astype(np.uint8)
            return image, raster.resize_labels(mask, size, size)

        return TrainingImage(case.id, case.group, load, labelled=True)


def top_left(case: Case) -> tuple[int, int]:
    """Top-left corner (row, column) of a patch within its slide, in pixels at the working level."""
    return case.facts["row"], case.facts["column"]


class KPIsPatchScorer(Scorer):
    """Scores the Dice of every patch, with a binary reference and as the organisers' docker."""

    def __init__(self, card: Card, release: KPIsPatchRelease) -> None:
        super().__init__(card)
        self.release = release

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """All columns of one mask.

        Raises:
            MedbenchError: also ``data.size_mismatch``, naming whichever file differs from the image.
        """
        reference = self.release.read_reference(case)

        def check(own: Sequence[int]) -> None:
            check_mask_sizes(
                (case.reference["mask"], reference.shape),
                (path, own),
                lambda: eight_bit.read_rgb(case.inputs["image"]).shape[:2],
            )

        prediction = sized(partial(read_binary_prediction, path, reference.shape), path, 2, check)
        scores = with_group(case, self.score_arrays(reference, prediction), ["dice"])
        marks = flags((reference > THRESHOLD).view(np.uint8), prediction.view(np.uint8))
        return CaseScores(scores.scores, {**scores.evidence, **marks})

    def checked(
        self, reference: Any, prediction: Any, spacing: Any
    ) -> tuple[Any, Any, tuple[float, ...] | None]:
        """As :func:`medbench.challenges.kpis.masks.checked_arrays`; no column has a spacing."""
        return *checked_arrays(reference, prediction), None

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """Both Dice values of a patch.

        Args:
            reference: ``(height, width)``, grey 0 to 255 as stored.
            prediction: the same shape, 0 outside and anything else inside.
            spacing: not used: both columns are ratios.
        """
        from medbench.metrics.engine import score

        grey, mask = np.asarray(reference), np.asarray(prediction) != 0
        return {
            "dice": score("dice", grey > THRESHOLD, mask, empty="skip_empty_reference"),
            "dice_kpis_docker": score("dice.kpis_patch.official", grey, mask),
        }

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by the card's ``failure_rule``."""
        score = Score(0.0, status, reason)
        try:
            if not np.any(self.release.read_reference(case) > THRESHOLD):
                score = Score.undefined("the reference is empty")
        except MedbenchError as error:
            score = Score.undefined(error.message)
        return with_group(case, {spec.name: score for spec in _PLAIN}, ["dice"])


def kpis_patch() -> Challenge:
    """Task 1: glomeruli in patches of 2048 × 2048."""
    release = KPIsPatchRelease(CARD)
    return Challenge(CARD, release, KPIsPatchExchange(CARD, release), KPIsPatchScorer(CARD, release))
