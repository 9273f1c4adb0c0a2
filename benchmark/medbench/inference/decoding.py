"""Decoding of a network's output for a batch of images to answers of a task, at the size of the images."""

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
from medbench.io.raster import fitted_size

if TYPE_CHECKING:
    import torch

Resampling = Literal["image", "spline"]


@dataclass(frozen=True, slots=True)
class ImageGeometry:
    """Sizes of images before and after their preparation for a network.

    Attributes:
        size: height and width of the images.
        network_size: height and width of the network's input.
        resampling: how the challenge's protocol resizes label maps.
        padded: whether images keep their shape, and fill the input from its top left corner on.
    """

    size: tuple[int, int]
    network_size: tuple[int, int]
    resampling: Resampling = "image"
    padded: bool = False

    @property
    def content_size(self) -> tuple[int, int]:
        """Height and width of the image within the network's input."""
        return fitted_size(self.size, max(self.network_size)) if self.padded else self.network_size


def outputs_by_task(output: Any, tasks: Sequence[str]) -> dict[str, Any]:
    """Outputs of a network by task, from a mapping, a tuple in the order of the tasks, or a single value.

    Raises:
        MedbenchError: ``network.outputs`` when the network returns fewer outputs than it has tasks.
    """
    if isinstance(output, Mapping):
        by_task = dict(output)
    else:
        values = output if isinstance(output, tuple) else (output,)
        by_task = dict(zip(tasks, values, strict=False))
    missing = [task for task in tasks if task not in by_task]
    if missing:
        raise MedbenchError(
            "network.outputs",
            f"The network returned no output for {', '.join(missing)}.",
            f"Return a tuple in the order {', '.join(tasks)}, or a mapping by task.",
        )
    return by_task


def decode(task: str, output: Any, geometry: ImageGeometry) -> Any:
    """Answers of a task for a batch, an array or a list with one entry per image.

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

    Logits are resized (bilinear) before the argmax, unless the protocol resizes label maps. A single channel
    of logits is foreground where it is 0 or more.
    """
    import torch
    from torch.nn import functional

    from medbench.io.raster import spline_zoom

    height, width = geometry.size
    with torch.inference_mode():
        if geometry.resampling == "image" and tuple(logits.shape[2:]) != (height, width):
            logits = functional.interpolate(
                logits.float(), size=(height, width), mode="bilinear", align_corners=False
            )
        indices = _largest(logits) if logits.shape[1] > 1 else logits[:, 0] >= 0
        labels: npt.NDArray[np.uint8] = indices.to(torch.uint8).cpu().numpy()
    if geometry.resampling == "spline":
        return np.stack([spline_zoom(plane, height, width, order=0) for plane in labels])
    return labels


def _largest(logits: torch.Tensor) -> torch.Tensor:
    """Class of the largest logit, the first of equal ones, ``(N, height, width)``.

    On the CPU a comparison class by class takes a tenth of ``argmax``, which steps over whole planes.
    """
    import torch

    if logits.device.type != "cpu":
        return logits.argmax(dim=1)
    best = logits[:, 0].clone()
    classes = torch.zeros(best.shape, dtype=torch.uint8)
    for index, scores in enumerate(logits.unbind(dim=1)[1:], 1):
        classes.masked_fill_(scores > best, index)
        torch.maximum(best, scores, out=best)
    return classes


def image_labels(logits: torch.Tensor, geometry: ImageGeometry) -> npt.NDArray[np.float32]:
    """Probabilities ``(N, labels)`` from logits ``(N, labels)``, each label by itself."""
    probabilities: npt.NDArray[np.float32] = logits.float().sigmoid().cpu().numpy()
    return probabilities


def image_classes(logits: torch.Tensor, geometry: ImageGeometry) -> npt.NDArray[np.float32]:
    """Probabilities ``(N, classes)`` from logits ``(N, classes)``."""
    probabilities: npt.NDArray[np.float32] = logits.float().softmax(dim=1).cpu().numpy()
    return probabilities


def boxes(detections: Sequence[Mapping[str, torch.Tensor]], geometry: ImageGeometry) -> list[Boxes]:
    """Boxes of each image from torchvision's detections (``boxes``, ``scores``, ``labels`` from 1 on).

    What lies outside the image is cut off. Boxes that lie outside as a whole are left out, and so are those
    of the background, whose label is 0.
    """
    height, width = geometry.size
    answers = []
    for image in detections:
        scores = image["scores"].float().cpu().numpy()
        labels = image["labels"].cpu().numpy().astype(np.int64) - 1
        corners = image["boxes"].float().cpu().numpy().reshape(-1, 4)
        own_size = Boxes(corners, scores, labels).resized(geometry.content_size, geometry.size).corners
        inside = np.clip(own_size, 0, [width, height, width, height]).astype(np.float32)
        is_box = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1]) & (labels >= 0)
        answers.append(Boxes(inside[is_box], scores[is_box], labels[is_box]))
    return answers


def landmarks(output: torch.Tensor, geometry: ImageGeometry) -> npt.NDArray[np.float32]:
    """Points ``(N, landmarks, 2)``, x and y in pixels of the image.

    Args:
        output: points ``(N, landmarks, 2)`` as shares of the image's sides, or heat maps
            ``(N, landmarks, rows, columns)``, of which the largest value counts: the centre of heat-map pixel
            ``k`` of ``n`` lies at ``(k + 0.5) / n`` of the side.
        geometry: sizes of the images.
    """
    if output.ndim == 3:
        shares: npt.NDArray[np.float32] = output.float().cpu().numpy()
        return shares * np.array(geometry.size[::-1], np.float32) - np.float32(0.5)
    heatmaps = output
    _, _, height, width = heatmaps.shape
    place = heatmaps.flatten(2).argmax(dim=2).cpu().numpy()
    x = (place % width + 0.5) * geometry.size[1] / width - 0.5
    y = (place // width + 0.5) * geometry.size[0] / height - 0.5
    return np.stack([x, y], axis=-1).astype(np.float32)
