"""Dice, HD, HD95 and ASSD in plain lines: what a user writes who knows the tools.

    python speed/plain_recipe.py REFERENCES PREDICTIONS [--tree pykdtree]     print the means of a folder

SimpleITK or imageio reads, a crop to the label's box, surfaces by shifted views, one KD-tree a side:
``scipy.spatial.cKDTree`` or ``pykdtree.kdtree.KDTree``. This is the peer in every table of metrics.
"""

from __future__ import annotations

import argparse
from itertools import zip_longest
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree


def read(path):
    """Labels and spacing in the order of the array's axes."""
    if path.suffix == ".png":
        from imageio.v3 import imread

        return imread(path), (1.0, 1.0)
    import SimpleITK as sitk

    image = sitk.ReadImage(path)
    return sitk.GetArrayFromImage(image), image.GetSpacing()[::-1]


def surface_of(mask):
    """Voxels with a background neighbour; outside the array is background."""
    padded = np.zeros([side + 2 for side in mask.shape], bool)
    inner = (slice(1, -1),) * mask.ndim
    padded[inner] = mask
    inside = mask.copy()
    for axis in range(mask.ndim):
        for shift in (slice(None, -2), slice(2, None)):
            inside &= padded[(*inner[:axis], shift, *inner[axis + 1 :])]
    return mask & ~inside


def compare(reference, prediction, spacing, tree=cKDTree, distances=True):
    """The four numbers of two boolean masks, or Dice alone."""
    sizes = np.count_nonzero(reference), np.count_nonzero(prediction)
    scores = {"dice": 2 * np.count_nonzero(reference & prediction) / (sum(sizes) or 1)}
    if distances and all(sizes):
        surfaces = surface_of(reference), surface_of(prediction)
        shared = np.count_nonzero(surfaces[0] & surfaces[1])
        both = [np.zeros(2 * shared)]  # a voxel on both surfaces is at distance 0 from the other one
        for own, other in (surfaces, surfaces[::-1]):
            alone = np.argwhere(own & ~other) * np.asarray(spacing, float)
            if len(alone):
                both.append(tree(np.argwhere(other) * np.asarray(spacing, float)).query(alone)[0])
        both = np.concatenate(both)
        scores |= {"hd": both.max(), "hd95.pooled": np.percentile(both, 95), "assd.pooled": both.mean()}
    return {name: float(value) for name, value in scores.items()}


def compare_labels(reference, prediction, spacing, tree=cKDTree, distances=True):
    """The four numbers of every label of two label maps, each in the box around both of its masks."""
    found = zip_longest(ndimage.find_objects(reference), ndimage.find_objects(prediction))
    scores = {}
    for label, boxes in enumerate(found, 1):
        known = [box for box in boxes if box is not None]
        if known:
            joint = tuple(slice(min(s.start for s in a), max(s.stop for s in a)) for a in zip(*known))  # noqa: B905
            pair = reference[joint] == label, prediction[joint] == label
            scores[label] = compare(*pair, spacing, tree, distances)
    return scores


def mean_scores(references, predictions, tree=cKDTree):
    """The mean of each number of each label over the files of one name in two folders."""
    values = {}
    for path in sorted(references.iterdir()):
        (reference, spacing), (prediction, _) = read(path), read(predictions / path.name)
        for label, scores in compare_labels(reference, prediction, spacing, tree).items():
            for name, value in scores.items():
                values.setdefault((label, name), []).append(value)
    return {key: float(np.mean(column)) for key, column in sorted(values.items())}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", type=Path)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--tree", choices=["cKDTree", "pykdtree"], default="cKDTree")
    options = parser.parse_args()
    tree = cKDTree
    if options.tree == "pykdtree":
        from pykdtree.kdtree import KDTree as tree
    for (label, name), value in mean_scores(options.references, options.predictions, tree).items():
        print(f"{label} {name} {value:.6g}")


if __name__ == "__main__":
    main()
