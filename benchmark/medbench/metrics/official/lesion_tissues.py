"""Lesion-wise scores of BraTS 2024 GLI for single tissues, whose lesions join through neighbouring tissues.

The regions WT and TC follow the plain rule of :mod:`medbench.metrics.official.lesions`. Lesions of a single
tissue (ET, NETC, RC, SNFH) that touch the same lesion of another become one, in the reference and in the
prediction (rachitsaluja/BraTS-2024-Metrics, ``metrics_GLI.py``). So these scores need the whole label maps,
not a mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from medbench.metrics.arguments import Array, check_choice
from medbench.metrics.arrays import Spacing, same_shape, whole_numbers
from medbench.metrics.masks.components import Labels, boxes, widened
from medbench.metrics.official.lesions import (
    LESION_RULES,
    LesionReport,
    LesionRule,
    compare_lesions,
    dilated,
    lesion_report,
    merged_lesions,
    without_small,
)

REGIONS: Mapping[str, tuple[int, ...]] = MappingProxyType({"WT": (1, 2, 3), "TC": (1, 3)})
TISSUES: Mapping[str, int] = MappingProxyType({"NETC": 1, "SNFH": 2, "ET": 3, "RC": 4})
_JOINED_THROUGH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"NETC": ("ET", "RC"), "ET": ("NETC", "RC"), "RC": ("ET", "NETC"), "SNFH": ("ET", "RC", "NETC")}
)
_RULES: Mapping[str, LesionRule] = MappingProxyType(
    {
        "NETC": LESION_RULES["brats2024_gli_netc"],
        "SNFH": LESION_RULES["brats2024_gli"],
        "ET": LESION_RULES["brats2024_gli_et"],
        "RC": LESION_RULES["brats2024_gli_rc"],
    }
)


def _touching(own: Labels, other: Labels) -> list[tuple[int, int]]:
    """Pairs of lesions of two tissues, at most one step to 18 neighbours apart, sorted."""
    pairs = []
    for number, box in enumerate(boxes(own), 1):
        near = widened(box, 1, own.shape)
        touching = np.unique(other[near][dilated(own[near] == number, 1)])
        pairs += [(number, int(value)) for value in touching if value]
    return sorted(pairs)


def _joined(own: Labels, other: Labels) -> Labels:
    """Give lesions that touch the same lesion of the other tissue one number.

    A lesion that touches several follows the first of them. A single touching pair changes nothing.
    """
    pairs = _touching(own, other)
    if len(pairs) < 2:
        return own
    count = int(own.max())
    common: dict[int, int] = {}
    numbers = np.arange(count + 1, dtype=np.int32)
    for number, through in pairs:
        new = common.setdefault(through, count + 1 + len(common))
        if numbers[number] == number:
            numbers[number] = new
    return _renumbered(numbers[own])


def _renumbered(labels: Labels) -> Labels:
    present = np.unique(labels)
    numbers = np.zeros(int(present[-1]) + 1, np.int32)
    numbers[present[present > 0]] = np.arange(1, np.count_nonzero(present) + 1)
    return numbers[labels]


def _lesions(labels: Array, *, drop_small: bool) -> dict[str, Labels]:
    plain = {}
    for tissue, value in TISSUES.items():
        rule = _RULES[tissue]
        lesions = merged_lesions(labels == value, rule.iterations)
        plain[tissue] = without_small(*lesions, rule.threshold)[0] if drop_small else lesions[0]
    tissues = {}
    for tissue, others in _JOINED_THROUGH.items():
        own = plain[tissue]
        for other in others:
            own = _joined(own, plain[other])
        tissues[tissue] = own
    return tissues


def gli_2024_reports(
    reference: npt.ArrayLike,
    prediction: npt.ArrayLike,
    spacing: Spacing,
    *,
    tolerances: tuple[float, ...] = (),
) -> dict[str, LesionReport]:
    """Lesion-wise scores of BraTS 2024 GLI: WT, TC and the tissues NETC, SNFH, ET and RC.

    WT, TC and ET are checked against the organisers' program; the three others follow its public text.

    Args:
        reference: 3-D label map, 1 NETC, 2 SNFH, 3 ET, 4 RC.
        prediction: the same shape.
        spacing: mm per step along each axis.
        tolerances: in mm, for the surface Dice.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape`` or ``metric.labels``.

    >>> labels = np.zeros((20, 20, 20), np.uint8); labels[4:10, 4:10, 4:10] = 2; labels[6:9, 6:9, 6:9] = 3
    >>> reports = gli_2024_reports(labels, labels, (1.0, 1.0, 1.0))
    >>> reports["WT"].dice, reports["ET"].hd95, reports["RC"].dice
    (1.0, 0.0, 1.0)
    """
    first, second = same_shape(reference, prediction)
    truth, guess = whole_numbers(first, "reference"), whole_numbers(second, "prediction")
    reports = {
        region: lesion_report(
            np.isin(truth, labels), np.isin(guess, labels), spacing, "brats2024_gli", tolerances=tolerances
        )
        for region, labels in REGIONS.items()
    }
    own, other = _lesions(truth, drop_small=False), _lesions(guess, drop_small=True)
    for tissue, rule in _RULES.items():
        penalty = float(rule.penalty)
        n_other = int(other[tissue].max(initial=0))
        reports[tissue] = compare_lesions(
            own[tissue], other[tissue], n_other, spacing, rule, penalty, tolerances
        )
    return reports


def tissue_score(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, tissue: str, value: str, spacing: Spacing
) -> float:
    """One number of :func:`gli_2024_reports`: ``dice``, ``hd95`` in mm, or ``nsd`` within 1 mm."""
    check_choice(tissue, "tissue", (*REGIONS, *TISSUES))
    check_choice(value, "value", ("dice", "hd95", "nsd"))
    report = gli_2024_reports(reference, prediction, spacing, tolerances=(1.0,))[tissue]
    return {"dice": report.dice, "hd95": report.hd95, "nsd": report.nsd(1.0)}[value]
