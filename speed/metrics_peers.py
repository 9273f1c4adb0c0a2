"""The tools that speed/metrics.py compares: ours, the plain recipe, medpy, MONAI, surface-distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plain_recipe import compare

UNIT = (1.0, 1.0, 1.0)
Values = dict[str, float]


def ours(ids, reference, prediction, spacing) -> Values:
    from medbench.metrics import evaluate_arrays

    found = evaluate_arrays(reference, prediction, ids, [1], spacing)["1"]
    return {id: found[id].value for id in ids}


def medpy(ids, reference, prediction, spacing) -> Values:
    from medpy.metric import binary

    names = {"hd": binary.hd, "hd95.pooled": binary.hd95, "assd.pooled": binary.assd}
    return {id: float(names[id](prediction, reference, voxelspacing=spacing)) for id in ids}


def monai(ids, reference, prediction, spacing) -> Values:
    import torch
    from monai import metrics

    pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    common: dict[str, Any] = {"include_background": True, "spacing": list(spacing)}
    found = {}
    if "hd" in ids:
        found["hd"] = float(metrics.compute_hausdorff_distance(*pair, **common))
    if "hd95.pooled" in ids:
        found["hd95.max"] = float(metrics.compute_hausdorff_distance(*pair, percentile=95, **common))
    if "assd.pooled" in ids:
        found["assd.pooled"] = float(
            metrics.compute_average_surface_distance(*pair, symmetric=True, **common)
        )
    return found


def surface_distance(ids, reference, prediction, spacing) -> Values:
    import surface_distance as library

    found = library.compute_surface_distances(reference, prediction, spacing)
    return {
        "hd.area": library.compute_robust_hausdorff(found, 100),
        "hd95.area": library.compute_robust_hausdorff(found, 95),
        "assd.area": float(np.mean(library.compute_average_surface_distance(found))),
    }


def plain_scipy(ids, reference, prediction, spacing) -> Values:
    from scipy.spatial import cKDTree

    return plain(cKDTree, ids, reference, prediction, spacing)


def plain_pykdtree(ids, reference, prediction, spacing) -> Values:
    from pykdtree.kdtree import KDTree

    return plain(KDTree, ids, reference, prediction, spacing)


def plain(tree, ids, reference, prediction, spacing) -> Values:
    from scipy import ndimage

    boxes = [ndimage.find_objects(mask.view(np.uint8))[0] for mask in (reference, prediction)]
    box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(*boxes, strict=True))
    scores = compare(reference[box], prediction[box], spacing, tree)
    return {id: scores[id] for id in ids}


def one_transform(ids, reference, prediction, spacing) -> Values:
    """The yardstick of the worst cases: one distance transform of the crop."""
    from scipy import ndimage

    from medbench.metrics.arrays import bounding_box, union_box

    box = union_box(bounding_box(reference), bounding_box(prediction))
    ndimage.distance_transform_edt(~reference[box], sampling=spacing)
    return {}


TOOLS: dict[str, tuple[Callable[..., Values], Any]] = {
    "ours": (ours, np.uint8),
    "plain cKDTree": (plain_scipy, np.bool_),
    "plain pykdtree": (plain_pykdtree, np.bool_),
    "medpy": (medpy, np.bool_),
    "monai": (monai, np.float32),
    "surface-distance": (surface_distance, np.bool_),
    "one transform": (one_transform, np.bool_),
}
"""Name -> its call, and the type of mask that it likes best."""

PEERS = ("ours", "plain cKDTree", "plain pykdtree", "medpy", "monai", "surface-distance")
