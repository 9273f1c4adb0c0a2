"""Programs that predict by themselves: images of containers and commands."""

from __future__ import annotations

from torch import nn

from medbench.models.local.names import LocalModel


class Program(nn.Module):
    """A program in place of a network; it has no parameters here.

    Args:
        model: the image or the command.
        num_classes: classes that its answers may have.
    """

    parameter_count = None

    def __init__(self, model: LocalModel, num_classes: int) -> None:
        super().__init__()
        self.model, self.num_classes = model, num_classes
