"""Instances matched one to one: the 2025 evaluation of BraTS, and panoptic quality in general.

BraTS 2025 uses panoptica 2.1.7 through BraTS_evaluation 0.0.8: components by full connectivity, one-to-one
assignment that maximises the sum of Dice, pairs above 1e-6 count. Three oddities of that program are kept by
``faithful=True`` and undone by ``faithful=False``:

- instance distances use the spacing in reversed axis order;
- distances of whole masks ignore the spacing, and their surface Dice has the tolerance 0.5;
- a whole-mask HD95 is infinite, and so 373, when both masks hold something but no instance matches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medbench.metrics.arrays import Mask, Spacing, bounding_box, check_spacing, union_box
from medbench.metrics.masks import definitions
from medbench.metrics.masks.components import Labels, boxes, components, joined_box, overlap_table
from medbench.metrics.masks.pair import MaskPair

BRATS_2025_PENALTY_MM = 373.0
_UNMATCHED_COST = 1.0 + 1e-6
_MATCHED_ABOVE = 1e-6


@dataclass(frozen=True, slots=True)
class Match:
    """A reference instance and what it was matched with.

    Attributes:
        size: mm³ (or mm²) of the reference instance; elements when no spacing was given.
        dice: Dice of the pair; None when the instance has no partner.
        iou: intersection over union of the pair.
        hd95: pooled 95th percentile in mm.
        nsd: mean of the two directed shares within the smallest spacing.
    """

    size: float
    dice: float | None = None
    iou: float | None = None
    hd95: float | None = None
    nsd: float | None = None


@dataclass(frozen=True, slots=True)
class Matching:
    """All instances of one region of one case.

    Attributes:
        references: one entry per reference instance.
        n_prediction: predicted instances.
    """

    references: tuple[Match, ...]
    n_prediction: int

    @property
    def n_true_positive(self) -> int:
        """Matched pairs."""
        return sum(match.dice is not None for match in self.references)

    @property
    def n_false_negative(self) -> int:
        """Reference instances without a partner."""
        return len(self.references) - self.n_true_positive

    @property
    def n_false_positive(self) -> int:
        """Predicted instances without a partner."""
        return self.n_prediction - self.n_true_positive

    @property
    def recognition_quality(self) -> float | None:
        """TP / (TP + FP/2 + FN/2), the instance F1; None without any instance."""
        total = len(self.references) + self.n_prediction
        return 2 * self.n_true_positive / total if total else None

    def segmentation_quality(self, of: str = "iou") -> float | None:
        """Mean of ``iou``, ``dice``, ``hd95`` or ``nsd`` over the matched pairs."""
        values = [getattr(match, of) for match in self.references if match.dice is not None]
        return sum(values) / len(values) if values else None

    def panoptic_quality(self, of: str = "iou") -> float | None:
        """Recognition times segmentation quality; None without any instance."""
        if self.recognition_quality is None:
            return None
        return self.recognition_quality * (self.segmentation_quality(of) or 0.0)


def match_instances(
    reference: Mask,
    prediction: Mask,
    spacing: Spacing | None,
    *,
    threshold: float = _MATCHED_ABOVE,
    by: str = "dice",
    faithful: bool = True,
) -> Matching:
    """Components of both masks, matched one to one by maximum total Dice or IoU.

    Args:
        reference: boolean mask of one region.
        prediction: the same shape.
        spacing: mm per step along each axis; None leaves distances out.
        threshold: pairs must exceed it.
        by: ``"dice"`` or ``"iou"``.
        faithful: distances with the spacing reversed, as BraTS_evaluation 0.0.8 computes them.

    >>> a = np.zeros((12, 12), bool); a[1:4, 1:4] = True; a[8:11, 8:11] = True
    >>> b = np.zeros((12, 12), bool); b[1:4, 2:5] = True; b[1, 10] = True
    >>> matches = match_instances(a, b, None)
    >>> matches.n_true_positive, matches.n_false_positive, matches.n_false_negative
    (1, 1, 1)
    """
    extents = [box for box in (bounding_box(reference), bounding_box(prediction)) if box is not None]
    if not extents:
        return Matching((), 0)
    crop = union_box(extents[0], extents[-1])
    own, n_own = components(reference[crop])
    other, n_other = components(prediction[crop])
    pairs = _assignment(own, n_own, other, n_other, threshold, by)
    places, other_places = boxes(own), boxes(other)
    sizes = np.bincount(own.ravel(), minlength=n_own + 1) * float(np.prod(spacing or 1.0))
    steps = None if spacing is None else (spacing[::-1] if faithful else spacing)
    matches = []
    for number in range(1, n_own + 1):
        partner = pairs.get(number)
        if partner is None:
            matches.append(Match(float(sizes[number])))
            continue
        box = joined_box([places[number - 1], other_places[partner - 1]])
        pair = MaskPair(own[box] == number, other[box] == partner, steps)
        matches.append(_measured(pair, float(sizes[number])))
    return Matching(tuple(matches), n_other)


def _assignment(
    own: Labels, n_own: int, other: Labels, n_other: int, threshold: float, by: str
) -> dict[int, int]:
    """Partner of each matched component, as panoptica 2.1.7 assigns them.

    Of equally good assignments the solver's first counts, which depends on the whole cost matrix: components
    in raster order, 1 less the quality for pairs above the threshold, and just over 1 for all others.
    """
    from scipy.optimize import linear_sum_assignment

    sizes = np.bincount(own.ravel(), minlength=n_own + 1), np.bincount(other.ravel(), minlength=n_other + 1)
    costs = np.full((n_own, n_other), _UNMATCHED_COST)
    for (first, second), both in overlap_table(own, other, n_other).items():
        total = int(sizes[0][first] + sizes[1][second])
        value = 2 * both / total if by == "dice" else both / (total - both)
        if value > threshold:
            costs[first - 1, second - 1] = 1.0 - value
    if not (costs < 1).any():
        return {}
    rows, columns = linear_sum_assignment(costs)
    return {
        int(row) + 1: int(column) + 1
        for row, column in zip(rows, columns, strict=True)
        if costs[row, column] < 1
    }


def _measured(pair: MaskPair, size: float) -> Match:
    dice, iou = definitions.dice(pair), definitions.iou(pair)
    if pair.spacing is None:
        return Match(size, dice, iou)
    nsd = definitions.nsd_mean_of_directed(pair, tolerance=min(pair.spacing))
    return Match(size, dice, iou, definitions.hd95_pooled(pair), nsd)


def _matching_of(pair: MaskPair, *, faithful: bool) -> Matching:
    steps = check_spacing(pair.spacing, len(pair.shape))
    matching: Matching = pair.once(
        ("brats2025", faithful),
        lambda: match_instances(pair.reference, pair.prediction, steps, faithful=faithful),
    )
    return matching


def instance_f1(pair: MaskPair, *, faithful: bool) -> float | None:
    """BraTS 2025 ``seg``: instance F1 of one-to-one matches by Dice; None when both masks are empty."""
    return _matching_of(pair, faithful=faithful).recognition_quality


def global_hd95(pair: MaskPair, *, faithful: bool) -> float | None:
    """BraTS 2025 ``seg``: pooled HD95 of whole masks, 373 where there is none; None if both are empty."""
    matching = _matching_of(pair, faithful=faithful)
    if pair.emptiness == "both":
        return None
    if pair.emptiness is not None or (faithful and not matching.n_true_positive):
        return BRATS_2025_PENALTY_MM
    return definitions.hd95_pooled(_whole(pair, faithful))


def global_nsd(pair: MaskPair, *, faithful: bool) -> float | None:
    """BraTS 2025 ``seg``: surface Dice of the whole masks; None when both are empty."""
    matching = _matching_of(pair, faithful=faithful)
    if pair.emptiness == "both":
        return None
    if pair.emptiness is not None or (faithful and not matching.n_true_positive):
        return 0.0
    whole = _whole(pair, faithful)
    assert pair.spacing is not None
    return definitions.nsd_mean_of_directed(whole, tolerance=0.5 if faithful else min(pair.spacing))


def _whole(pair: MaskPair, faithful: bool) -> MaskPair:
    if not faithful:
        return pair
    unit: MaskPair = pair.once(
        "unit spacing", lambda: MaskPair(pair.reference, pair.prediction, (1.0,) * pair.reference.ndim)
    )
    return unit


def _large(pair: MaskPair, of: str, penalty: float, threshold: float, faithful: bool) -> float | None:
    """Mean over large reference lesions and all false positives; None without a large lesion."""
    matching = _matching_of(pair, faithful=faithful)
    large = [match for match in matching.references if match.size >= threshold]
    if not large:
        return None
    values = [penalty if match.dice is None else getattr(match, of) for match in large]
    values += [penalty] * matching.n_false_positive
    return sum(values) / len(values)


def dice_metastases(pair: MaskPair, *, threshold: float, faithful: bool) -> float | None:
    """BraTS 2025 ``mets``: lesion-wise Dice; missed large lesions and every false positive count 0."""
    return _large(pair, "dice", 0.0, threshold, faithful)


def nsd_metastases(pair: MaskPair, *, threshold: float, faithful: bool) -> float | None:
    """BraTS 2025 ``mets``: lesion-wise surface Dice, with the same rule."""
    return _large(pair, "nsd", 0.0, threshold, faithful)


def hd95_metastases(pair: MaskPair, *, threshold: float, faithful: bool) -> float | None:
    """BraTS 2025 ``mets``: lesion-wise HD95; missed large lesions and all false positives count 373."""
    return _large(pair, "hd95", BRATS_2025_PENALTY_MM, threshold, faithful)


def panoptic_quality(pair: MaskPair, *, threshold: float) -> float | None:
    """Panoptic quality: instances matched at IoU above the threshold; None when both masks are empty."""
    matching: Matching = pair.once(
        ("pq", threshold),
        lambda: match_instances(pair.reference, pair.prediction, None, threshold=threshold, by="iou"),
    )
    return matching.panoptic_quality()
