"""Random scores of frames: what chance gives."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor, nn

from medbench.models.options import refuse_options


class RandomScores(nn.Module):
    """Even random numbers, the same ones for the same features.

    Args:
        in_channels: features of a frame; not looked at but for the seed.
        num_classes: 1, the score of a frame.
        seed: of the draw, together with the features.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(self, in_channels: int = 1024, num_classes: int = 1, *, seed: int = 0) -> None:
        refuse_options(
            "baseline/random", ((num_classes != 1, f"num_classes={num_classes}, but a frame has 1 score"),)
        )
        super().__init__()
        self.seed = seed

    def forward(self, frames: Tensor) -> Tensor:
        """Features ``(N, T, in_channels)`` to scores ``(N, T)`` from 0 to 1."""
        return torch.stack([self._drawn(video) for video in frames]).to(frames.device)

    def _drawn(self, video: Tensor) -> Tensor:
        content = video.detach().float().cpu().contiguous().numpy().tobytes()
        generator = torch.Generator().manual_seed(zlib.crc32(content, self.seed))
        return torch.rand(len(video), generator=generator)
