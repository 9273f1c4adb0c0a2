"""Averages over mirrored views of images, around any two-dimensional network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

AXES = (2, 3)
_MAP_AXES = 4


class MirroredNetwork(nn.Module):
    """A network whose logits are averaged over the four mirrored views of an image.

    Logits of every pixel are mirrored back; those of whole images are averaged as they are.

    Args:
        network: ``(N, channels, height, width)`` to logits: a tensor, a tuple, or a mapping by task.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.views = [axes for count in range(3) for axes in itertools.combinations(AXES, count)]

    def forward(self, images: Tensor) -> Any:
        """The mean output over the views, of the network's own form."""
        outputs = [_turned(self.network(images.flip(axes) if axes else images), axes) for axes in self.views]
        return _mean(outputs)


def _turned(output: Any, axes: tuple[int, ...]) -> Any:
    if isinstance(output, Mapping):
        return {task: _turned(value, axes) for task, value in output.items()}
    if isinstance(output, tuple):
        return tuple(_turned(value, axes) for value in output)
    return output.float().flip(axes) if axes and output.ndim == _MAP_AXES else output.float()


def _mean(outputs: list[Any]) -> Any:
    first = outputs[0]
    if isinstance(first, Mapping):
        return {task: _mean([output[task] for output in outputs]) for task in first}
    if isinstance(first, tuple):
        return tuple(_mean(list(values)) for values in zip(*outputs, strict=True))
    return sum(outputs[1:], first) / len(outputs)
