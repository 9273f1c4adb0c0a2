"""Lesion-wise scores of BraTS 2023 and 2024.

The reference's lesions are voxels whose dilations touch; each is compared with the whole predicted components
that its dilation meets, and every other predicted component is a false positive that costs a lesion. Written
from the rules (rachitsaluja/BraTS-2023-Metrics@43c9052, BraTS-2024-Metrics@f1131e3; parameters also in the
organisers' Synapse forum, syn51156910, thread 10357).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.metrics.arrays import Mask, Spacing, bounding_box, check_spacing, union_box
from medbench.metrics.masks import definitions
from medbench.metrics.masks.components import Labels, boxes, components, joined_box, widened
from medbench.metrics.masks.pair import MaskPair


@dataclass(frozen=True, slots=True)
class LesionRule:
    """Parameters of one challenge's lesion-wise scores.

    Attributes:
        iterations: dilations with 18 neighbours.
        threshold: reference lesions of at most this many mm³ are not scored.
        penalty: Hausdorff distance of a missed lesion and of a false positive; ``"diagonal"`` is the image's.
        merge_prediction: whether predicted components are merged by dilation as well, and dropped when they
            have at most ``threshold`` voxels (2024; voxels here, mm³ there, as the organisers do).
    """

    iterations: int
    threshold: float
    penalty: float | Literal["diagonal"]
    merge_prediction: bool = False


LESION_RULES: Mapping[str, LesionRule] = MappingProxyType(
    {
        "brats2023_gli": LesionRule(3, 50, 374.0),
        "brats2023_ssa": LesionRule(3, 50, 374.0),
        "brats2023_ped": LesionRule(3, 50, 374.0),
        "brats2023_men": LesionRule(1, 50, 374.0),
        "brats2023_met": LesionRule(1, 2, 374.0),
        "brats2024_gli": LesionRule(3, 20, 337.0, merge_prediction=True),
        "brats2024_gli_et": LesionRule(3, 10, 337.0, merge_prediction=True),
        "brats2024_gli_netc": LesionRule(5, 20, 337.0, merge_prediction=True),
        "brats2024_gli_rc": LesionRule(5, 20, 337.0, merge_prediction=True),
        "brats2024_ssa": LesionRule(3, 50, 374.0, merge_prediction=True),
        "brats2024_ped": LesionRule(5, 10, 374.0, merge_prediction=True),
        "brats2024_men": LesionRule(1, 50, 374.0, merge_prediction=True),
        "brats2024_met": LesionRule(1, 2, "diagonal", merge_prediction=True),
        "brats2024_men_rt": LesionRule(1, 50, "diagonal", merge_prediction=True),
    }
)


@dataclass(frozen=True, slots=True)
class Lesion:
    """One reference lesion.

    Attributes:
        size: mm³.
        n_matches: how many predicted components its dilation meets.
        dice: against the union of those components; 0 without any.
        hd95: area-weighted 95 % distance in mm; None without any.
        nsd: surface Dice per tolerance in mm; empty unless asked for.
    """

    size: float
    n_matches: int
    dice: float
    hd95: float | None
    nsd: Mapping[float, float]


@dataclass(frozen=True, slots=True)
class LesionReport:
    """Lesion-wise scores of one region of one case.

    Attributes:
        lesions: reference lesions above the threshold.
        n_false_positive: predicted components that no lesion's dilation meets.
        penalty: Hausdorff distance counted for a missed lesion and a false positive.
    """

    lesions: tuple[Lesion, ...]
    n_false_positive: int
    penalty: float

    @property
    def n_true_positive(self) -> int:
        """Lesions with a predicted component."""
        return sum(lesion.n_matches > 0 for lesion in self.lesions)

    @property
    def n_false_negative(self) -> int:
        """Lesions without one."""
        return len(self.lesions) - self.n_true_positive

    @property
    def _n(self) -> int:
        return len(self.lesions) + self.n_false_positive

    @property
    def dice(self) -> float:
        """Sum of the lesions' Dice over lesions and false positives; 1 when there is neither."""
        return sum(lesion.dice for lesion in self.lesions) / self._n if self._n else 1.0

    @property
    def hd95(self) -> float:
        """Mean Hausdorff distance with penalties in mm; 0 when there is neither."""
        if not self._n:
            return 0.0
        total = sum(self.penalty if lesion.hd95 is None else lesion.hd95 for lesion in self.lesions)
        return (total + self.penalty * self.n_false_positive) / self._n

    def nsd(self, tolerance: float) -> float:
        """Sum of the lesions' surface Dice over lesions and false positives; 1 when there is neither."""
        return sum(lesion.nsd[tolerance] for lesion in self.lesions) / self._n if self._n else 1.0


def _structure(ndim: int) -> Mask:
    from scipy.ndimage import generate_binary_structure

    return np.asarray(generate_binary_structure(ndim, min(2, ndim)))


def dilated(mask: Mask, iterations: int) -> Mask:
    """The mask grown by ``iterations`` steps to 18 neighbours."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, _structure(mask.ndim), iterations=iterations))


def merged_lesions(mask: Mask, iterations: int) -> tuple[Labels, int]:
    """Components of the dilated mask, restricted to the mask: lesions that merge when dilations touch."""
    labels, count = components(dilated(mask, iterations))
    return np.where(mask, labels, 0).astype(np.int32), count


def without_small(labels: Labels, count: int, threshold: float) -> tuple[Labels, int]:
    """Drop the numbers with at most ``threshold`` elements and close the gaps."""
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes > threshold
    keep[0] = False
    numbers = np.zeros(count + 1, np.int32)
    numbers[keep] = np.arange(1, int(keep.sum()) + 1)
    return numbers[labels], int(keep.sum())


def lesion_report(
    reference: Mask,
    prediction: Mask,
    spacing: Spacing,
    rule: LesionRule | str,
    *,
    tolerances: tuple[float, ...] = (),
    image_shape: tuple[int, ...] | None = None,
) -> LesionReport:
    """Compare two masks lesion by lesion.

    Args:
        reference: boolean mask of one region.
        prediction: the same shape.
        spacing: mm per step along each axis (the organisers take it from the prediction file).
        rule: a rule or its name in :data:`LESION_RULES`.
        tolerances: in mm, for :meth:`LesionReport.nsd`.
        image_shape: of the whole image, when the masks are cut out of one.

    Raises:
        MedbenchError: ``metric.option`` for an unknown rule.

    >>> a = np.zeros((20, 20, 20), bool); a[2:7, 2:7, 2:7] = True
    >>> b = a.copy(); b[15, 15, 15] = True
    >>> report = lesion_report(a, b, (1.0, 1.0, 1.0), "brats2023_gli")
    >>> report.dice, report.hd95, report.n_false_positive
    (0.5, 187.0, 1)
    """
    if isinstance(rule, str):
        if rule not in LESION_RULES:
            raise MedbenchError(
                "metric.option", f"There is no lesion rule '{rule}'.", f"Known: {', '.join(LESION_RULES)}."
            )
        rule = LESION_RULES[rule]
    shape = reference.shape
    diagonal = float(np.sqrt(sum(side * side for side in image_shape or shape)))
    penalty = diagonal if rule.penalty == "diagonal" else float(rule.penalty)
    boxes = [box for box in (bounding_box(reference), bounding_box(prediction)) if box is not None]
    if not boxes:
        return LesionReport((), 0, penalty)
    crop = widened(union_box(boxes[0], boxes[-1]), rule.iterations + 1, shape)
    return _report(reference[crop], prediction[crop], spacing, rule, penalty, tolerances)


def _report(
    reference: Mask,
    prediction: Mask,
    spacing: Spacing,
    rule: LesionRule,
    penalty: float,
    tolerances: tuple[float, ...],
) -> LesionReport:
    own, _ = merged_lesions(reference, rule.iterations)
    if rule.merge_prediction:
        other, n_other = without_small(*merged_lesions(prediction, rule.iterations), rule.threshold)
    else:
        other, n_other = components(prediction)
    return compare_lesions(own, other, n_other, spacing, rule, penalty, tolerances)


def compare_lesions(
    own: Labels,
    other: Labels,
    n_other: int,
    spacing: Spacing,
    rule: LesionRule,
    penalty: float,
    tolerances: tuple[float, ...] = (),
) -> LesionReport:
    """Score numbered reference lesions against numbered predicted ones."""
    scale = float(np.prod(spacing))
    places, other_places = boxes(own), boxes(other)
    touching: set[int] = set()
    lesions = []
    for number in range(1, len(places) + 1):
        near = widened(places[number - 1], rule.iterations, own.shape)
        lesion = own[near] == number
        size = float(np.count_nonzero(lesion)) * scale
        partners = set(np.unique(other[near][dilated(lesion, rule.iterations)]).tolist()) - {0}
        touching |= partners
        if size <= rule.threshold:
            continue
        box = joined_box([near, *(other_places[k - 1] for k in partners)])
        pair = MaskPair(own[box] == number, np.isin(other[box], sorted(partners)), spacing)
        lesions.append(_lesion(pair, size, len(partners), tolerances))
    return LesionReport(tuple(lesions), n_other - len(touching), penalty)


def _lesion(pair: MaskPair, size: float, n_matches: int, tolerances: tuple[float, ...]) -> Lesion:
    if not n_matches:
        return Lesion(size, 0, 0.0, None, dict.fromkeys(tolerances, 0.0))
    nsd = {tolerance: surface_dice_2024(pair, tolerance=tolerance) for tolerance in tolerances}
    return Lesion(size, n_matches, definitions.dice(pair) or 0.0, definitions.hd95_area(pair), nsd)


def surface_dice_2024(pair: MaskPair, *, tolerance: float) -> float:
    """The surface Dice of BraTS 2024: mean of the two directed shares, with 1e-8 added below."""
    return 2 * definitions.nsd_mean_of_directed(pair, tolerance=tolerance) / (2 + 1e-8)


def dice_lesionwise(pair: MaskPair, *, rule: str) -> float:
    """Lesion-wise Dice of a pair under a named rule."""
    return _of_pair(pair, rule).dice


def hd95_lesionwise(pair: MaskPair, *, rule: str) -> float:
    """Lesion-wise HD95 of a pair under a named rule, in mm."""
    return _of_pair(pair, rule).hd95


def nsd_lesionwise(pair: MaskPair, *, rule: str, tolerance: float) -> float:
    """Lesion-wise surface Dice of a pair under a named rule."""
    return _of_pair(pair, rule, (tolerance,)).nsd(tolerance)


def _of_pair(pair: MaskPair, rule: str, tolerances: tuple[float, ...] = ()) -> LesionReport:
    steps = check_spacing(pair.spacing, len(pair.shape))
    report: LesionReport = pair.once(
        ("lesions", rule, tolerances),
        lambda: lesion_report(
            pair.reference,
            pair.prediction,
            steps,
            rule,
            tolerances=tolerances,
            image_shape=pair.shape,
        ),
    )
    return report
