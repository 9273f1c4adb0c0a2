"""Networks of libraries for inputs of any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class PaddedNetwork(nn.Module):
    """A network that pads the end of every spatial axis of its input by the edge, and crops its logits.

    Parameters have the library's own names, so that checkpoints of the bare network load, except for parts
    in ``new_names``.

    Args:
        network: network of a library, for images or volumes.
        stride: sides are padded to multiples of this.
        least_size: least side after padding.
        new_names: the library's name of a part -> its name here.
    """

    def __init__(
        self,
        network: nn.Module,
        stride: int,
        least_size: int = 1,
        new_names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.least_size = least_size
        self._forward: Callable[[Tensor], Tensor | tuple[Tensor, Tensor]] = network.forward
        for name, part in network.named_children():
            self.add_module((new_names or {}).get(name, name), part)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits ``(N, classes, *sides)`` of ``(N, channels, *sides)``, and image logits with such a head."""
        sides = images.shape[2:]
        output = self._forward(pad_ends(images, self.stride, self.least_size))
        if isinstance(output, tuple):
            return crop_ends(output[0], sides), output[1]
        return crop_ends(output, sides)


class DeeplySupervisedNetwork(PaddedNetwork):
    """A padded network that in training also gives the logits of its coarser levels.

    The library's network may give them stacked along the second axis, or as a list, the finest first.
    """

    def forward(self, images: Tensor) -> Any:
        """Logits ``(N, classes, *sides)``; in training a list of them, those of coarser levels enlarged."""
        sides = images.shape[2:]
        library: Any = getattr(self._forward, "__self__", None)
        library.training = self.training
        inputs = pad_ends(images, self.stride, self.least_size)
        output: Any = self._forward(inputs)
        if isinstance(output, Tensor):
            if output.ndim == images.ndim:
                return crop_ends(output, sides)
            output = output.unbind(1)
        finest, *coarser = output
        full_size = [
            functional.interpolate(level, inputs.shape[2:], mode=_LINEAR[images.ndim]) for level in coarser
        ]
        return [crop_ends(logits, sides) for logits in (finest, *full_size)]


_LINEAR = {4: "bilinear", 5: "trilinear"}


def pad_ends(images: Tensor, stride: int, least_size: int | Sequence[int] = 1) -> Tensor:
    """Sides made multiples of ``stride``, at least ``least_size``, by repeating the edge at their ends.

    Args:
        images: ``(N, channels, *sides)``.
        stride: of every side.
        least_size: of every side, or of each.
    """
    sides = images.shape[2:]
    least = (least_size,) * len(sides) if isinstance(least_size, int) else least_size
    missing = [
        (target := max(side, low)) + -target % stride - side for side, low in zip(sides, least, strict=True)
    ]
    if not any(missing):
        return images
    padding = [count for gap in reversed(missing) for count in (0, gap)]
    return functional.pad(images, padding, mode="replicate")


def crop_ends(logits: Tensor, sides: Sequence[int]) -> Tensor:
    """The first ``sides`` of every spatial axis: ``(N, classes, *sides)``."""
    return logits[(slice(None), slice(None), *(slice(side) for side in sides))]
