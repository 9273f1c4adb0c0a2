"""From a network's output for a batch of images to the answers of a task, at the images' own size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.registry import load_object
from medbench.core.sample import Boxes
from medbench.core.task import TASKS

if TYPE_CHECKING:
    import torch

Resampling = Literal["image", "spline"]


@dataclass(frozen=True, slots=True)
class ImageGeometry:
    """Sizes before and after a network's preparation.

    Attributes:
        size: height and width of the images.
        network_size: height and width that the network saw.
        resampling: how the challenge's protocol resizes label maps.
    """

    size: tuple[int, int]
    network_size: tuple[int, int]
    resampling: Resampling = "image"


def outputs_by_task(output: Any, tasks: Sequence[str]) -> dict[str, Any]:
    """A network's return value by task: a mapping as it is, a tuple or a single value in the tasks' order.

    Raises:
        MedbenchError: ``network.outputs`` when the network returns fewer outputs than it has tasks.
    """
    if isinstance(output, Mapping):
        named = dict(output)
    else:
        values = output if isinstance(output, tuple) else (output,)
        named = dict(zip(tasks, values, strict=False))
    missing = [task for task in tasks if task not in named]
    if missing:
        raise MedbenchError(
            "network.outputs",
            f"The network returned no output for {', '.join(missing)}.",
            f"Return a tuple in the order {', '.join(tasks)}, or a mapping by task.",
        )
    return named


def decode(task: str, output: Any, geometry: ImageGeometry) -> Any:
    """Answers of a task for a batch: an array or a list with one entry an image.

    Raises:
        MedbenchError: ``task.decode`` for a task that only a model's own predictor can answer.
    """
    target = TASKS.get(task).decode
    if not target:
        raise MedbenchError(
            "task.decode",
            f"There is no rule that turns a network's output into {TASKS.get(task).title} of images.",
            "Give the task a decode function, or the model a predictor of its own.",
        )
    function = load_object(target) if isinstance(target, str) else target
    return function(output, geometry)


def label_maps(logits: torch.Tensor, geometry: ImageGeometry) -> npt.NDArray[np.uint8]:
    """Label maps ``(N, height, width)`` from logits ``(N, classes, h, w)``.

    Logits are enlarged (bilinear) before the argmax, unless the protocol resamples label maps. A single
    channel of logits is foreground from 0 up.
    """
    import torch
    from torch.nn import functional

    from medbench.io.raster import spline_zoom

    height, width = geometry.size
    with torch.inference_mode():
        if geometry.resampling == "image":
            logits = functional.interpolate(
                logits.float(), size=(height, width), mode="bilinear", align_corners=False
            )
        indices = logits.argmax(dim=1) if logits.shape[1] > 1 else logits[:, 0] >= 0
        labels: npt.NDArray[np.uint8] = indices.to(torch.uint8).cpu().numpy()
    if geometry.resampling == "spline":
        return np.stack([spline_zoom(plane, height, width, order=0) for plane in labels])
    return labels


def image_classes(logits: torch.Tensor, geometry: ImageGeometry) -> npt.NDArray[np.float32]:
    """Probabilities ``(N, classes)`` from logits ``(N, classes)``."""
    probabilities: npt.NDArray[np.float32] = logits.float().softmax(dim=1).cpu().numpy()
    return probabilities


def boxes(detections: Sequence[Mapping[str, torch.Tensor]], geometry: ImageGeometry) -> list[Boxes]:
    """Boxes of each image from torchvision's detections (``boxes``, ``scores``, ``labels`` from 1 on)."""
    rows, columns = (own / seen for own, seen in zip(geometry.size, geometry.network_size, strict=True))
    factors = np.array([columns, rows, columns, rows], np.float32)
    return [
        Boxes(
            image["boxes"].float().cpu().numpy().reshape(-1, 4) * factors,
            image["scores"].float().cpu().numpy(),
            image["labels"].cpu().numpy().astype(np.int64) - 1,
        )
        for image in detections
    ]


def landmarks(heatmaps: torch.Tensor, geometry: ImageGeometry) -> npt.NDArray[np.float32]:
    """Points ``(N, landmarks, 2)``, x and y in pixels of the image: the largest value of each heat map.

    The centre of heat-map pixel ``k`` of ``n`` lies at ``(k + 0.5) / n`` of the image's side.
    """
    _, _, height, width = heatmaps.shape
    place = heatmaps.flatten(2).argmax(dim=2).cpu().numpy()
    x = (place % width + 0.5) * geometry.size[1] / width - 0.5
    y = (place // width + 0.5) * geometry.size[0] / height - 0.5
    return np.stack([x, y], axis=-1).astype(np.float32)
