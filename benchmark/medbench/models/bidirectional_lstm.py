"""A bidirectional LSTM that scores frames, after vsLSTM (Zhang et al., ECCV 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from medbench.models.options import refuse_options


class BidirectionalLSTM(nn.Module):
    """The network: LSTM layers both ways over the frames, a linear layer and a sigmoid.

    Args:
        in_channels: features of a frame.
        num_classes: 1, the score of a frame.
        hidden: units of each direction.
        layers: layers.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self, in_channels: int = 1024, num_classes: int = 1, *, hidden: int = 256, layers: int = 2
    ) -> None:
        refuse_options(
            "baseline/bilstm",
            (
                (num_classes != 1, f"num_classes={num_classes}, but a frame has 1 score"),
                (hidden < 1, f"hidden={hidden} is not positive"),
                (layers < 1, f"layers={layers} is not positive"),
            ),
        )
        super().__init__()
        self.lstm = nn.LSTM(in_channels, hidden, layers, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Features ``(N, T, in_channels)`` to scores ``(N, T)`` from 0 to 1."""
        return self.head(self.lstm(frames)[0])[..., 0].sigmoid()
