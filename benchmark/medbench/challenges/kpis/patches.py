"""KPIs 2024, Kidney Pathology Image Segmentation: glomeruli in patches (task 1) and whole slides (task 2).

Sources: scoring and layouts from hrlblab/KPIs2024@7d56473 (the organisers' example dockers, which run
MONAI 1.3.0); JPEG masks, working level and the stitching of patches from
huuquan1994/wsi_glomerulus_seg@95fdb39 (first place in both tracks). Which program made the final ranking, and
how ties were broken, is not public.

The example evaluators have defects; columns named ``…_kpis_docker`` repeat them, the others do not:
masks are grey and were never binarised, so a perfect patch scores about 0.9 and a slide's reference loses its
rim; contours of slides are shifted in place while they are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge, Finding, size_text
from medbench.challenges.kpis import files as layout
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores, MetricSpec, ratio_column
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.core.score import Score, Status
from medbench.io import pictures, raster

THRESHOLD = 127
PATCH_SIDE = 2048


def by_group(name: str, title: str, convention: str) -> list[MetricSpec]:
    """A column for each of the four groups, filled for the cases of that group alone."""
    return [
        ratio_column(f"{name}_{group.lower()}", f"{title} {group}", convention) for group in layout.GROUPS
    ]


def read_grey_mask(path: Path) -> npt.NDArray[np.uint8]:
    """A mask as it is stored, ``(height, width)``, 0 to 255; equal colours of a JPEG may differ by artefacts.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt``, or ``data.not_a_label_map`` for a colour
            picture, 16 bits, or a mask that never exceeds 127.
    """
    picture = raster.read_picture(path)
    if picture.ndim == 3:
        if int(np.ptp(picture.astype(np.int16), axis=2).max(initial=0)) > THRESHOLD // 4:
            raise MedbenchError(
                "data.not_a_label_map", f"{path}: is a colour picture, not a mask.", "Give the mask file."
            )
        picture = picture[:, :, 1]
    largest = picture.max(initial=0)
    if picture.dtype != np.uint8 or 0 < largest <= THRESHOLD:
        raise MedbenchError(
            "data.not_a_label_map",
            f"{path}: holds {picture.dtype} values up to {largest}, where masks are 8 bit with 255 inside.",
            "Multiply a 0/1 mask by 255; copy a damaged one again.",
        )
    return np.ascontiguousarray(picture)


def read_binary_prediction(path: Path) -> npt.NDArray[np.bool_]:
    """A predicted mask, ``(height, width)``: 0/1 as it is, anything else above 127 (JPEG predictions too).

    Raises:
        MedbenchError: as :func:`medbench.io.raster.read_label_map`.
    """
    labels = raster.read_label_map(path)
    return np.asarray(labels > (0 if labels.max(initial=0) == 1 else THRESHOLD))


def known_group(group: str, path: Path) -> None:
    """Refuse a file that lies in a folder of none of the four groups.

    Raises:
        MedbenchError: ``data.group_unknown``.
    """
    if group not in layout.GROUPS:
        raise MedbenchError(
            "data.group_unknown",
            f"{path}: '{group}' is none of the groups {', '.join(layout.GROUPS)}.",
            "Move it into the folder of its group, which decides the magnification.",
        )


class KPIsChallenge(Challenge):
    """What both tasks share."""

    labels = {0: "background", 1: "glomerulus"}  # noqa: RUF012
    splits = layout.SPLITS
    augmentation = "stain"
    data_name = "kpis"
    case_columns = ("group", "slide")
    citation = (
        "Deng et al.: KPIs 2024 Challenge: Advancing Glomerular Segmentation from Patch- to Slide-Level. "
        "arXiv 2502.07288; Medical Image Analysis 114 (2026) 104234"
    )
    license = "see the challenge's data terms (Synapse syn54077668)"
    homepage = "https://sites.google.com/view/kpis2024"
    data_hint = (
        "Unpack the archives of Synapse syn54077668 or syn63688309 into one folder, with their names "
        "(KPIs24 Training Data, KPIs24 Validation Data, KPIs24 Testing Data)."
    )
    sample_version = "1"
    sample_options = {  # noqa: RUF012
        "slides": "test slides to draw, without patches",
        "size": "side of each slide in pixels at the scan level",
    }

    def sample_with(self, root: Path, options: Mapping[str, int]) -> None:
        """Draw the patches of 20 slides and 8 whole test slides, or as many slides of a size as asked for."""
        from medbench.challenges.kpis.sample import write_sample, write_slides

        if options:
            write_slides(root, n_slides=options.get("slides", 1), size=options.get("size", 8192))
        else:
            write_sample(root)

    def sample(self, root: Path) -> None:
        """The whole sample of both tasks."""
        self.sample_with(root, {})

    def _empty(self, root: Path, split: str, found: Sequence[layout.Patch | layout.Slide]) -> MedbenchError:
        if not root.is_dir() or not found:
            return self.layout_error(
                root, ("Task1_patch_level/…/img/*_img.jpg", "Task2_WSI_level/…/*_wsi.tiff")
            )
        there = sorted({item.split for item in found})
        return MedbenchError(
            "data.split_missing",
            f"{root}: holds nothing of split '{split}', only of {', '.join(there)}.",
            self.data_hint,
        )


class KPIsPatch(KPIsChallenge):
    """Task 1: glomeruli in patches of 2048 × 2048."""

    name = "kpis_patch"
    title = "KPIs 2024, patches"
    task = "segmentation of glomeruli in patches of PAS-stained kidney sections"
    metrics = (
        ratio_column("dice", "Dice", "dice", headline=True),
        ratio_column("dice_kpis_docker", "Dice (docker)", "dice.kpis_patch.official", headline=True),
        *by_group("dice", "Dice", "dice"),
    )
    failure_rule = (
        "medbench-1 (the organisers' rule is not public): a failed or missing patch scores 0 everywhere. "
        "As in the organisers' mean, a patch whose reference is empty has no score, whatever is predicted; "
        "nor has one whose reference cannot be read."
    )

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's patches by group, slide and place; the slide is the unit of resampling."""
        self.check_split(split)
        found = layout.find_patches(root)
        cases = [
            Case(
                f"{patch.group}/{patch.slide}/{patch.stem}",
                {"picture": patch.picture},
                {"mask": patch.mask},
                layout.slide_key(patch.group, patch.slide),
                {"group": patch.group, "slide": patch.slide, "row": patch.row, "column": patch.column},
            )
            for patch in found
            if patch.split == split
        ]
        if not cases:
            raise self._empty(root, split, found)
        return cases

    def read(self, case: Case) -> Sample:
        """The patch, 8-bit RGB."""
        known_group(case.facts["group"], case.inputs["picture"])
        picture = pictures.read_rgb(case.inputs["picture"])
        return Sample(case, picture[np.newaxis], frozenset({"labels"}))

    def prediction_name(self, case: Case) -> str:
        """``<group>/<slide>/<patch>_mask.png``, 0 and 255."""
        return f"{case.id}_mask.png"

    def place(self, case: Case) -> tuple[int, int]:
        """Patches of a slide overlap by half."""
        return case.facts["row"], case.facts["column"]

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """Also under the name that the organisers' example docker gives it, ``val_<picture>_pred.png``."""
        found = super().locate(case, folder, rename)
        if found is None:
            own = folder / self.prediction_name(case)
            docker = own.with_name(f"val_{case.inputs['picture'].stem}_pred.png")
            found = docker if docker.is_file() else None
        return found

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the mask as an 8-bit PNG of 0 and 255."""
        assert prediction.labels is not None
        path = folder / self.prediction_name(case)
        raster.write_label_map(path, (prediction.labels[0] > 0).astype(np.uint8) * 255)
        return path

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The grey mask, ``(height, width)``.

        Raises:
            MedbenchError: as :func:`read_grey_mask`, and ``data.group_unknown``.
        """
        known_group(case.facts["group"], case.reference["mask"])
        return read_grey_mask(case.reference["mask"])

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """All columns of one mask."""
        reference, prediction = self.read_reference(case), read_binary_prediction(path)
        if prediction.shape != reference.shape:
            picture = pictures.read_rgb(case.inputs["picture"]).shape[:2]
            wrong, found = (
                (path, prediction.shape)
                if reference.shape == picture
                else (case.reference["mask"], reference.shape)
            )
            raise MedbenchError(
                "data.size_mismatch",
                f"{wrong}: is {size_text(found)} where its picture is {size_text(picture)}.",
                "Masks have the size of their pictures; resize predictions back by nearest neighbour.",
            )
        return self._rows(case, self.score_arrays(reference, prediction))

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
        """Scores by :attr:`failure_rule`."""
        names = ("dice", "dice_kpis_docker")
        try:
            reference = self.read_reference(case)
        except MedbenchError as error:
            return self._rows(case, {name: Score.undefined(error.message) for name in names})
        if not np.any(reference > THRESHOLD):
            return self._rows(case, {name: Score.undefined("the reference is empty") for name in names})
        return self._rows(case, {name: Score(0.0, status, reason) for name in names})

    @staticmethod
    def _rows(case: Case, scores: dict[str, Score]) -> CaseScores:
        """The scores with those of the case's own group."""
        group = case.facts["group"]
        own = {f"dice_{group.lower()}": scores["dice"]} if group in layout.GROUPS else {}
        return CaseScores({**scores, **own}, {"group": group, "slide": case.facts["slide"]})

    def illustrate(
        self, case: Case, path: Path
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        """The patch with both masks."""
        reference = (self.read_reference(case) > THRESHOLD).astype(np.uint8)
        prediction = read_binary_prediction(path).astype(np.uint8)
        return pictures.read_rgb(case.inputs["picture"]), reference, prediction

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """The split's patches with their masks."""
        cases = [case for case in self.cases(root, split) if case.facts["group"] in layout.GROUPS]
        return [self._training_image(case, cache) for case in cases]

    def _training_image(self, case: Case, cache: Path) -> TrainingImage:
        def load(size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
            picture = pictures.resized_picture(case.inputs["picture"], size, cache)
            mask = (self.read_reference(case) > THRESHOLD).astype(np.uint8)
            return picture, raster.resize_labels(mask, size, size)

        return TrainingImage(case.id, case.group, load, labelled=True)

    def check(self, root: Path) -> list[Finding]:
        """Counts by split and group, unreadable or differing masks, slides in two splits."""
        patches = layout.find_patches(root)
        if not patches:
            raise self._empty(root, self.default_split, patches)
        findings = list(counted(patches, "patches"))
        other_sizes = []
        for patch in patches:
            try:
                known_group(patch.group, patch.picture)
                mask, picture = read_grey_mask(patch.mask), pictures.read_rgb(patch.picture)
            except MedbenchError as error:
                findings.append(Finding("error", error.message, error.hint))
                continue
            if mask.shape != picture.shape[:2]:
                sizes = size_text(mask.shape), size_text(picture.shape[:2])
                findings.append(Finding("error", f"{patch.mask}: is {sizes[0]}, its picture {sizes[1]}."))
            elif mask.shape != (PATCH_SIDE, PATCH_SIDE):
                other_sizes.append(f"{patch.picture} ({size_text(mask.shape)})")
        if other_sizes:
            told = f"{len(other_sizes)} of {len(patches)} patches are not 2048×2048 as the release's"
            findings.append(Finding("warning", f"{told}; the first is {other_sizes[0]}."))
        return [*findings, *leaks((patch.group, patch.slide, patch.split) for patch in patches)]


def counted(items: Sequence[layout.Patch | layout.Slide], what: str) -> Iterator[Finding]:
    """How many there are by split and group."""
    for split in layout.SPLITS:
        groups = [item.group for item in items if item.split == split]
        if groups:
            each = ", ".join(f"{group} {groups.count(group)}" for group in sorted(set(groups)))
            yield Finding("note", f"{split}: {len(groups)} {what} ({each}).")


def leaks(slides: Iterable[tuple[str, str, str]]) -> Iterator[Finding]:
    """Slides, as ``(group, slide, split)``, that lie in more than one split."""
    owners: dict[str, set[str]] = {}
    for group, slide, split in slides:
        owners.setdefault(layout.slide_key(group, slide), set()).add(split)
    for slide, splits in owners.items():
        if len(splits) > 1:
            yield Finding(
                "error",
                f"slide {slide} is in {' and '.join(sorted(splits))}.",
                "Scores on it would be of training data: remove it from one split.",
            )
