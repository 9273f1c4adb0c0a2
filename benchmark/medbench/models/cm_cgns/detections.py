"""From the raw maps of YOLOv3's heads to boxes, and the suppression of boxes that overlap."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medbench.core.finite import refuse_not_finite

Anchors = Sequence[Sequence[tuple[float, float]]]


def split_maps(maps: Tensor, anchors: int) -> Tensor:
    """Raw values ``(N, anchors, h, w, 5 + classes)``: x, y, width, height, confidence, classes."""
    return maps.unflatten(1, (anchors, -1)).permute(0, 1, 3, 4, 2)


def decode_maps(maps: Sequence[Tensor], anchors: Anchors, image_size: int) -> Tensor:
    """Boxes ``(N, boxes, 5 + classes)`` of all heads: centre and size in pixels, confidence, classes.

    Args:
        maps: of each head.
        anchors: of each head, width and height in pixels.
        image_size: side of the images in pixels.
    """
    parts = []
    for raw, shapes in zip(maps, anchors, strict=True):
        values = split_maps(raw, len(shapes))
        stride = image_size / values.shape[2]
        rows, columns = (torch.arange(n, device=raw.device, dtype=raw.dtype) for n in values.shape[2:4])
        sizes = torch.tensor(shapes, device=raw.device, dtype=raw.dtype)[:, None, None]
        centre_x = (values[..., 0].sigmoid() + columns) * stride
        centre_y = (values[..., 1].sigmoid() + rows[:, None]) * stride
        size = values[..., 2:4].exp() * sizes
        box = torch.cat([centre_x[..., None], centre_y[..., None], size, values[..., 4:].sigmoid()], dim=-1)
        parts.append(box.flatten(1, 3))
    return torch.cat(parts, dim=1)


def overlap_with_pixel(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of corners, each extent a unit longer, as in the authors' program.

    Args:
        first: ``(A, 4)``.
        second: ``(B, 4)``.

    Returns:
        ``(A, B)``.
    """
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (high - low + 1).clamp_min(0).prod(dim=-1)
    areas = [(box[:, 2:] - box[:, :2] + 1).prod(dim=-1) for box in (first, second)]
    return common / (areas[0][:, None] + areas[1] - common + 1e-16)


def suppress(boxes: Tensor, confidence: float, overlap: float) -> list[dict[str, Tensor]]:
    """Detections of each image in the form of torchvision, the most confident first by class.

    Args:
        boxes: as :func:`decode_maps` gives them.
        confidence: boxes below it are left out.
        overlap: of two boxes of one class with this one or a larger, the less confident is left out.

    Raises:
        MedbenchError: ``network.not_finite`` for confidences that are no numbers, which are below none.
    """
    refuse_not_finite(boxes[..., 4:])
    return [_of_image(image, confidence, overlap) for image in boxes]


def _of_image(boxes: Tensor, confidence: float, overlap: float) -> dict[str, Tensor]:
    boxes = boxes[boxes[:, 4] >= confidence]
    half = boxes[:, 2:4] / 2
    corners = torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], dim=1)
    class_share, labels = boxes[:, 5:].max(dim=1) if len(boxes) else (boxes[:, 4], boxes[:, 4].long())
    keep = [
        number
        for label in labels.unique().tolist()
        for number in _of_class(corners, boxes[:, 4], (labels == label).nonzero()[:, 0], overlap)
    ]
    indices = torch.tensor(keep, dtype=torch.long, device=boxes.device)
    return {
        "boxes": corners[indices],
        "scores": boxes[indices, 4],
        "labels": labels[indices] + 1,
        "class_shares": class_share[indices],
    }


def _of_class(corners: Tensor, scores: Tensor, members: Tensor, overlap: float) -> list[int]:
    members = members[scores[members].argsort(descending=True, stable=True)]
    near = overlap_with_pixel(corners[members], corners[members]) >= overlap
    overlaps = torch.zeros(len(members), dtype=torch.bool, device=corners.device)
    keep = []
    for number in range(len(members)):
        if not overlaps[number]:
            keep.append(int(members[number]))
            overlaps |= near[number]
    return keep
