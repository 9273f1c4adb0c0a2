"""Layers of transformers that normalise after the residual, as FullTransNet's program has them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.local_global_attention import SCALE, join_heads, split_heads


class Embedding(nn.Module):
    """Linear layer, ReLU, dropout and layer norm, shared by encoder and decoder."""

    def __init__(self, inputs: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, dim)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, features: Tensor, padding: int = 0) -> Tensor:
        """``(N, T, inputs)`` to ``(N, T + padding, dim)``, the last rows as of features that are zero."""
        hidden = functional.relu(self.hidden(features))
        if padding:
            empty = functional.relu(self.hidden.bias).to(hidden.dtype)
            hidden = torch.cat([hidden, empty.expand(len(hidden), padding, -1)], dim=1)
        return self.norm(self.dropout(hidden))


class FeedForward(nn.Module):
    """Two linear layers without bias around a ReLU, residual, layer norm."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, hidden, bias=False)
        self.reduce = nn.Linear(hidden, dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, n, dim)`` to the same shape."""
        return self.norm(tokens + self.reduce(functional.relu(self.expand(tokens))))


class PostNormAttention(nn.Module):
    """Attention of tokens to a memory, projection, residual, layer norm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(dim, dim) for _ in range(4))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, memory: Tensor, *, causal: bool = False) -> Tensor:
        """``(N, S, dim)`` and ``(N, n, dim)`` to ``(N, S, dim)``."""
        context = functional.scaled_dot_product_attention(
            split_heads(self.query(tokens), self.heads),
            split_heads(self.key(memory), self.heads),
            split_heads(self.value(memory), self.heads),
            is_causal=causal,
            scale=SCALE,
        )
        return self.norm(self.output(join_heads(context)) + tokens)


def positions(length: int, dim: int) -> Tensor:
    """Sines and cosines ``(1, length, dim)`` in turns.

    In float64 and rounded: in float32, as the authors' program does it, the last digits depend on the
    processor. Their files hold the table that it made, which replaces this one.
    """
    rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float64) * (-math.log(10000.0) / dim))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[None].float()
