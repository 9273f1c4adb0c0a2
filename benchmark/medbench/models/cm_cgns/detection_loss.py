"""The loss of YOLOv3's heads, as the authors' program computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from medbench.models.cm_cgns.detections import Anchors, overlap_with_pixel, split_maps

PLACE_WEIGHT = 2.5
EMPTY_WEIGHT = 0.5
IGNORED_OVERLAP = 0.5


class HeadLoss(NamedTuple):
    """Losses of a head: their sum, in which place and size weigh 2.5, and each by itself."""

    total: Tensor
    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    confidence: Tensor
    classes: Tensor


class _Targets(NamedTuple):
    objects: Tensor
    empty: Tensor
    places: Tensor
    classes: Tensor


def detection_loss(
    maps: Sequence[Tensor], targets: Tensor, anchors: Anchors, image_size: int
) -> list[HeadLoss]:
    """Losses of every head; a training takes the sum of their totals.

    Every object is a target at every head, at the anchor whose shape is most like its own.

    Args:
        maps: raw maps of each head.
        targets: ``(N, objects, 5)``: class, centre and size as shares of the image; zeros where an image has
            fewer.
        anchors: of each head, width and height in pixels.
        image_size: side of the images in pixels.
    """
    return [
        _head_loss(split_maps(raw, len(shapes)), targets, shapes, image_size)
        for raw, shapes in zip(maps, anchors, strict=True)
    ]


def _head_loss(
    values: Tensor, targets: Tensor, shapes: Sequence[tuple[float, float]], image_size: int
) -> HeadLoss:
    stride = image_size / values.shape[2]
    sizes = torch.tensor(shapes, device=values.device, dtype=values.dtype) / stride
    due = _targets(values, targets, sizes)
    mask = due.objects
    shares = values[..., [0, 1]].sigmoid()
    confidence = values[..., 4].sigmoid()
    entropy = functional.binary_cross_entropy
    x, y = (entropy(shares[..., k] * mask, due.places[..., k] * mask) for k in (0, 1))
    width, height = (functional.mse_loss(values[..., k] * mask, due.places[..., k] * mask) for k in (2, 3))
    certain = entropy(confidence * mask, mask) + EMPTY_WEIGHT * entropy(
        confidence * due.empty, torch.zeros_like(confidence)
    )
    classes = entropy(values[..., 5:].sigmoid() * mask[..., None], due.classes)
    total = PLACE_WEIGHT * (x + y + width + height) + certain + classes
    return HeadLoss(total, x, y, width, height, certain, classes)


def _targets(values: Tensor, targets: Tensor, sizes: Tensor) -> _Targets:
    """Targets at each place ``(N, anchors, h, w)`` of a head; a later object replaces an earlier one."""
    n_images, n_anchors, rows, columns = values.shape[:4]
    objects = values.new_zeros((n_images, n_anchors, rows, columns))
    empty = torch.ones_like(objects)
    places = values.new_zeros((*objects.shape, 4))
    classes = values.new_zeros((*objects.shape, values.shape[-1] - 5))
    image, number = (targets.sum(dim=-1) != 0).nonzero(as_tuple=True)
    if not len(image):
        return _Targets(objects, empty, places, classes)
    matches = targets[image, number].to(values.dtype)
    centre = matches[:, 1:3] * values.new_tensor([columns, rows])
    size = matches[:, 3:5] * values.new_tensor([columns, rows])
    column, row = centre[:, 0].long(), centre[:, 1].long()
    own = torch.cat([torch.zeros_like(size), size], dim=1)
    shapes = torch.cat([torch.zeros_like(sizes), sizes], dim=1)
    likeness = overlap_with_pixel(own, shapes)
    best = likeness.argmax(dim=1)
    which, anchor = (likeness > IGNORED_OVERLAP).nonzero(as_tuple=True)
    empty[image[which], anchor, row[which], column[which]] = 0
    for k in range(len(image)):
        at = (int(image[k]), int(best[k]), int(row[k]), int(column[k]))
        objects[at] = 1
        places[at][:2] = centre[k] - centre[k].floor()
        places[at][2:] = (size[k] / sizes[best[k]] + 1e-16).log()
        classes[at][int(matches[k, 0])] = 1
    return _Targets(objects, empty, places, classes)
