"""A plain transformer encoder with full attention that scores frames: an ablation of FullTransNet.

Embedding, perceptrons and attention as in FullTransNet's encoder, but every frame attends to every frame, and
each gets a score of its own by a linear layer and a sigmoid.
"""

from __future__ import annotations

from torch import Tensor, nn

from medbench.models.blocks.post_norm_layers import Embedding, FeedForward, PostNormAttention, positions
from medbench.models.options import refuse_options


class TransformerEncoder(nn.Module):
    """The network; see the module's text.

    Args:
        in_channels: features of a frame.
        num_classes: 1, the score of a frame.
        dim: channels.
        heads: attention heads.
        layers: layers.
        ffn_dim: hidden width of the perceptrons.
        dropout: rate after the embedding.

    Raises:
        MedbenchError: ``model.option`` for values that do not go together.
    """

    def __init__(
        self,
        in_channels: int = 1024,
        num_classes: int = 1,
        *,
        dim: int = 64,
        heads: int = 8,
        layers: int = 6,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        refuse_options(
            "baseline/transformer",
            (
                (num_classes != 1, f"num_classes={num_classes}, but a frame has 1 score"),
                (heads < 1 or dim % heads != 0, f"heads={heads} does not divide dim={dim}"),
                (dim % 2 != 0, f"dim={dim} is odd"),
                (layers < 1, f"layers={layers} is not positive"),
                (ffn_dim < 1, f"ffn_dim={ffn_dim} is not positive"),
                (not 0 <= dropout < 1, f"dropout={dropout} is no rate"),
            ),
        )
        super().__init__()
        self.dim = dim
        self.embedding = Embedding(in_channels, dim, dropout)
        self.attentions = nn.ModuleList(PostNormAttention(dim, heads) for _ in range(layers))
        self.perceptrons = nn.ModuleList(FeedForward(dim, ffn_dim) for _ in range(layers))
        self.head = nn.Linear(dim, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Features ``(N, T, in_channels)`` to scores ``(N, T)`` from 0 to 1."""
        tokens = self.embedding(frames)
        tokens = tokens + positions(tokens.shape[1], self.dim).to(tokens)
        for attention, perceptron in zip(self.attentions, self.perceptrons, strict=True):
            tokens = perceptron(attention(tokens, tokens))
        return self.head(tokens)[..., 0].sigmoid()
