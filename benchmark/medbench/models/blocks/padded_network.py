"""A library's network behind an input of any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn import functional


class PaddedNetwork(nn.Module):
    """Pads inputs at the end of every spatial axis by repeating the edge and crops the logits back.

    Parameters have the library's own names, so that checkpoints of the bare network load, but for parts
    that all our networks call alike.

    Args:
        network: of a library, on pictures or volumes.
        stride: sides are padded to multiples of this.
        least_size: and to at least this.
        renamed: the library's name of a part -> ours.
    """

    def __init__(
        self,
        network: nn.Module,
        stride: int,
        least_size: int = 1,
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.least_size = least_size
        self._forward: Callable[[Tensor], Tensor | tuple[Tensor, Tensor]] = network.forward
        for name, part in network.named_children():
            self.add_module((renamed or {}).get(name, name), part)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, channels, *sides)`` to ``(N, classes, *sides)`` logits; and image logits, with that head."""
        sides = images.shape[2:]
        missing = [self._missing(side) for side in sides]
        if any(missing):
            padding = [count for gap in reversed(missing) for count in (0, gap)]
            images = functional.pad(images, padding, mode="replicate")
        output = self._forward(images)
        if isinstance(output, tuple):
            return self._cropped(output[0], sides), output[1]
        return self._cropped(output, sides)

    def _missing(self, side: int) -> int:
        target = max(side, self.least_size)
        return target + -target % self.stride - side

    @staticmethod
    def _cropped(logits: Tensor, sides: tuple[int, ...]) -> Tensor:
        return logits[(slice(None), slice(None), *(slice(side) for side in sides))]
