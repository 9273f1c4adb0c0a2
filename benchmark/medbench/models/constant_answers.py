"""Answers that are the same for every case: what a model must beat to have learnt anything from its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.options import refuse_options

FREQUENCIES, THRESHOLDS = "frequencies", "thresholds"
SIDE = 128


class ConstantAnswers(nn.Module):
    """Numbers fitted to a training split, by name; none of them is learnt by gradients.

    ``frequencies`` ``(classes - 1, *grid)`` say how often each structure covers a place of the training
    masks, ``thresholds`` ``(classes - 1,)`` from which frequency on the answer has the structure.

    Args:
        in_channels: channels of the input, of which only the size is looked at.
        num_classes: classes of the label map, with the background.
        image_size: side of the grid of frequencies.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 2, *, image_size: int = SIDE) -> None:
        refuse_options(
            "baseline/constant", ((image_size < 1, f"image_size={image_size} is no side of a grid"),)
        )
        super().__init__()
        structures = max(1, num_classes - 1)
        self.numbers = nn.ParameterDict()
        self.fill(
            {
                FREQUENCIES: torch.zeros(structures, image_size, image_size),
                THRESHOLDS: torch.ones(structures),
            }
        )

    @classmethod
    def of(cls, numbers: Mapping[str, Tensor]) -> ConstantAnswers:
        """The answers with these numbers."""
        network = cls(image_size=1)
        network.fill(numbers)
        return network

    def fill(self, numbers: Mapping[str, Tensor]) -> None:
        """Replace all numbers."""
        self.numbers = nn.ParameterDict(
            {name: nn.Parameter(tensor.float(), requires_grad=False) for name, tensor in numbers.items()}
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(N, in_channels, *sides)`` to logits ``(N, classes, *sides)``, the same ones for each."""
        logits = self.logits(images.shape[2:]).to(images.device)
        return logits[None].expand(len(images), *logits.shape)

    def logits(self, sides: Sequence[int]) -> Tensor:
        """Logits ``(classes, *sides)``: background 0, a structure above 0 where it is frequent enough."""
        frequencies, thresholds = self.numbers[FREQUENCIES], self.numbers[THRESHOLDS]
        mode = "bilinear" if len(sides) == 2 else "trilinear"
        shares = functional.interpolate(frequencies[None], size=tuple(sides), mode=mode, align_corners=False)[
            0
        ]
        shape = (-1, *(1 for _ in sides))
        ratio = shares / thresholds.reshape(shape)
        above = torch.where(ratio >= 1, ratio, ratio - 1 - torch.finfo(ratio.dtype).eps)
        return torch.cat([torch.zeros_like(above[:1]), above])
