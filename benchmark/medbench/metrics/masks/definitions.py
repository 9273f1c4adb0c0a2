"""Formulas on a pair of binary masks: overlap from counts, distances from surfaces.

Every formula takes a :class:`MaskPair` and returns a float, or None where the definition has no answer.
:mod:`medbench.metrics.masks.catalogue` gives them their ids and their rules for empty masks.
"""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.metrics.masks.pair import MaskPair
from medbench.metrics.masks.surface import Directed

Floats = npt.NDArray[np.float64]


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def dice(pair: MaskPair) -> float | None:
    """2TP / (2TP + FP + FN)."""
    n = pair.overlap
    return _ratio(2 * n.tp, 2 * n.tp + n.fp + n.fn)


def dice_plus_one(pair: MaskPair) -> float:
    """(2TP + 1) / (2TP + FP + FN + 1)."""
    n = pair.overlap
    return (2 * n.tp + 1) / (2 * n.tp + n.fp + n.fn + 1)


def dice_epsilon(pair: MaskPair, *, epsilon: float) -> float:
    """(2TP + e) / (2TP + FP + FN + e)."""
    n = pair.overlap
    return (2 * n.tp + epsilon) / (2 * n.tp + n.fp + n.fn + epsilon)


def iou(pair: MaskPair) -> float | None:
    """TP / (TP + FP + FN)."""
    n = pair.overlap
    return _ratio(n.tp, n.tp + n.fp + n.fn)


def iou_plus_one(pair: MaskPair) -> float:
    """(TP + 1) / (TP + FP + FN + 1)."""
    n = pair.overlap
    return (n.tp + 1) / (n.tp + n.fp + n.fn + 1)


def iou_thresholded(pair: MaskPair, *, threshold: float) -> float | None:
    """TP / (TP + FP + FN), and 0 where that is below the threshold."""
    value = iou(pair)
    return 0.0 if value is not None and value < threshold else value


def sensitivity(pair: MaskPair) -> float | None:
    """TP / (TP + FN)."""
    return _ratio(pair.overlap.tp, pair.overlap.n_reference)


def precision(pair: MaskPair) -> float | None:
    """TP / (TP + FP)."""
    return _ratio(pair.overlap.tp, pair.overlap.n_prediction)


def sensitivity_epsilon(pair: MaskPair, *, epsilon: float) -> float:
    """TP / (TP + FN + e): 0 for an empty reference."""
    return pair.overlap.tp / (pair.overlap.n_reference + epsilon)


def precision_epsilon(pair: MaskPair, *, epsilon: float) -> float:
    """TP / (TP + FP + e): 0 for an empty prediction."""
    return pair.overlap.tp / (pair.overlap.n_prediction + epsilon)


def specificity(pair: MaskPair) -> float | None:
    """TN / (TN + FP)."""
    return _ratio(pair.overlap.tn, pair.overlap.tn + pair.overlap.fp)


def accuracy(pair: MaskPair) -> float | None:
    """(TP + TN) / all."""
    return _ratio(pair.overlap.tp + pair.overlap.tn, pair.overlap.size)


def volume_difference(pair: MaskPair) -> float:
    """Volume of the prediction minus volume of the reference."""
    assert pair.spacing is not None
    n = pair.overlap
    return (n.n_prediction - n.n_reference) * math.prod(pair.spacing)


def relative_volume_difference(pair: MaskPair) -> float | None:
    """|P| / |R| - 1."""
    n = pair.overlap
    return _ratio(n.n_prediction - n.n_reference, n.n_reference)


def volumetric_similarity(pair: MaskPair) -> float | None:
    """1 - ||P| - |R|| / (|P| + |R|)."""
    n = pair.overlap
    difference = _ratio(abs(n.n_prediction - n.n_reference), n.n_prediction + n.n_reference)
    return None if difference is None else 1 - difference


def hausdorff(pair: MaskPair) -> float:
    """Largest distance of a surface voxel to the other surface."""
    distances = pair.surfaces.distances
    return float(max(distances.of_prediction.max(), distances.of_reference.max()))


def hausdorff_of_sets(pair: MaskPair) -> float:
    """Largest distance of a voxel of one mask to the other mask."""
    distances = pair.surfaces.set_distances
    return float(max(distances.of_prediction.max(initial=0), distances.of_reference.max(initial=0)))


def average_hausdorff_of_sets(pair: MaskPair) -> float:
    """Mean of the two mean distances of all voxels of one mask to the other mask."""
    distances, n = pair.surfaces.set_distances, pair.overlap
    return (
        float(distances.of_prediction.sum() / n.n_prediction + distances.of_reference.sum() / n.n_reference)
        / 2
    )


def hausdorff_of_elements(pair: MaskPair) -> float:
    """Largest distance between surface elements on the corners of the lattice."""
    elements = pair.surfaces.elements
    return float(max(elements.of_prediction.max(), elements.of_reference.max()))


def percentile(distances: Floats, share: float) -> float:
    """The value below which a share of the distances lies, linear interpolation.

    To the last digit what ``np.percentile`` gives, without its checks, which cost more than a short list.

    >>> percentile(np.array([0.0, 1.0, 4.0]), 0.95) == float(np.percentile([0, 1, 4], 95))
    True
    """
    place = (len(distances) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(distances) - 1)
    partition = np.partition(distances, (below, above))
    low, high, weight = float(partition[below]), float(partition[above]), place - below
    step = high - low
    return high - step * (1 - weight) if weight >= 0.5 else low + step * weight


def hd95_pooled(pair: MaskPair) -> float:
    """95th percentile of both directed lists joined, linear interpolation."""
    return percentile(pair.surfaces.distances.of_both, 0.95)


def hd95_max(pair: MaskPair) -> float:
    """The larger of the two directed 95th percentiles, linear interpolation."""
    distances = pair.surfaces.distances
    return max(percentile(distances.of_prediction, 0.95), percentile(distances.of_reference, 0.95))


def hd95_nearest_rank(pair: MaskPair) -> float:
    """The larger of the two directed values at index floor(0.95 (n - 1))."""
    distances = pair.surfaces.distances
    return float(max(_at_rank(distances.of_prediction), _at_rank(distances.of_reference)))


def _at_rank(distances: Floats) -> float:
    rank = int((len(distances) - 1) * 0.95)
    return float(np.partition(distances, rank)[rank])


def hd95_area(pair: MaskPair) -> float:
    """The larger of the two directed area-weighted 95 % points, without interpolation."""
    elements = pair.surfaces.elements
    return max(
        _weighted_point(elements.of_prediction, elements.prediction_sizes),
        _weighted_point(elements.of_reference, elements.reference_sizes),
    )


def _weighted_point(distances: Floats, sizes: Floats | None) -> float:
    """First distance at which the sorted elements cover 95 % of the surface."""
    assert sizes is not None
    order = np.lexsort((sizes, distances))
    coverage = np.cumsum(sizes[order]) / sizes.sum()
    index = int(np.searchsorted(coverage, 0.95))
    return float(distances[order[min(index, len(order) - 1)]])


def assd_pooled(pair: MaskPair) -> float:
    """Mean of both directed lists joined."""
    return float(pair.surfaces.distances.of_both.mean())


def assd_mean_of_directed(pair: MaskPair) -> float:
    """Mean of the two directed means."""
    distances = pair.surfaces.distances
    return float((distances.of_prediction.mean() + distances.of_reference.mean()) / 2)


def asd_prediction_to_reference(pair: MaskPair) -> float:
    """Mean distance of the prediction's surface to the reference's."""
    return float(pair.surfaces.distances.of_prediction.mean())


def asd_reference_to_prediction(pair: MaskPair) -> float:
    """Mean distance of the reference's surface to the prediction's."""
    return float(pair.surfaces.distances.of_reference.mean())


def assd_area(pair: MaskPair) -> float:
    """Mean of the two directed area-weighted means."""
    elements = pair.surfaces.elements
    return (_weighted_mean(elements, "prediction") + _weighted_mean(elements, "reference")) / 2


def _weighted_mean(elements: Directed, side: str) -> float:
    distances, sizes = getattr(elements, f"of_{side}"), getattr(elements, f"{side}_sizes")
    return float((distances * sizes).sum() / sizes.sum())


def nsd_count(pair: MaskPair, *, tolerance: float) -> float:
    """Share of all surface voxels within the tolerance of the other surface."""
    _check_tolerance(tolerance)
    return float((pair.surfaces.distances.of_both <= tolerance).mean())


def _check_tolerance(tolerance: float) -> None:
    if not (isinstance(tolerance, Real) and 0 <= tolerance < math.inf):
        raise MedbenchError(
            "metric.option", f"The tolerance is {tolerance!r}.", "Give a length in mm, 0 or more."
        )


def nsd_mean_of_directed(pair: MaskPair, *, tolerance: float) -> float:
    """Mean of the two shares of surface voxels within the tolerance."""
    _check_tolerance(tolerance)
    distances = pair.surfaces.distances
    return float(
        ((distances.of_prediction <= tolerance).mean() + (distances.of_reference <= tolerance).mean()) / 2
    )


def nsd_area(pair: MaskPair, *, tolerance: float) -> float:
    """Share of both surfaces' area within the tolerance of the other surface."""
    _check_tolerance(tolerance)
    elements = pair.surfaces.elements
    assert elements.prediction_sizes is not None
    assert elements.reference_sizes is not None
    within = (
        elements.prediction_sizes[elements.of_prediction <= tolerance].sum()
        + elements.reference_sizes[elements.of_reference <= tolerance].sum()
    )
    return float(within / (elements.prediction_sizes.sum() + elements.reference_sizes.sum()))


def asd_edge8(pair: MaskPair) -> float | None:
    """Mean distance between edges by eight neighbours, in pixels; the frame itself is no edge."""
    from medbench.metrics.masks.pixel_sets import pixel_set_distances

    if pair.reference.ndim != 2:
        raise MedbenchError("metric.shape", "asd.edge8 is defined on 2-D frames only.", "Give one frame.")
    masks = (np.ascontiguousarray(mask).view(np.uint8) for mask in (pair.reference, pair.prediction))
    return pixel_set_distances(*masks).average_surface
