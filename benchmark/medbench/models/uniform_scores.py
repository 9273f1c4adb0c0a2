"""The same score for every frame: what the choice of shots gives by itself."""

from __future__ import annotations

from torch import Tensor, nn

from medbench.models.options import refuse_options


class UniformScores(nn.Module):
    """One half for every frame.

    Args:
        in_channels: features of a frame; not looked at.
        num_classes: 1, the score of a frame.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(self, in_channels: int = 1024, num_classes: int = 1) -> None:
        refuse_options(
            "baseline/uniform", ((num_classes != 1, f"num_classes={num_classes}, but a frame has 1 score"),)
        )
        super().__init__()

    def forward(self, frames: Tensor) -> Tensor:
        """Features ``(N, T, in_channels)`` to scores ``(N, T)``, all one half."""
        return frames.new_full(frames.shape[:2], 0.5)
