"""What a comparison of a network with its plain transcription consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

Named = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Pair:
    """Ours and a straightforward transcription of the same formulas.

    Attributes:
        title: for the table, with the size of one input.
        ours: builds ours.
        plain: builds the plain one.
        shape: of one input, without the batch.
        ours_from: tensors by the plain one's parameter names to ours; for weights and for gradients.
        num_classes: labels that a training step of a network takes; 0 for a single layer, whose training step
            is forward and backward of its input as well.
        dense: one label a pixel, not one an image.
    """

    title: str
    ours: Callable[[], nn.Module]
    plain: Callable[[], nn.Module]
    shape: tuple[int, ...]
    ours_from: Callable[[Named], dict[str, Tensor]]
    num_classes: int = 0
    dense: bool = True

    def build(self) -> tuple[nn.Module, nn.Module]:
        """Ours and the plain one with the same weights."""
        ours, plain = self.ours(), self.plain()
        ours.load_state_dict(self.ours_from(plain.state_dict()))
        return ours, plain
