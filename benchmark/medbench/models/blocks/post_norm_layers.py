"""Layers of transformers that normalise after the residual, as FullTransNet's program has them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.linear import Linear
from medbench.models.blocks.local_global_attention import SCALE, join_heads, split_heads

_HIDDEN_AT_ONCE = 1 << 21
"""Values of a hidden layer that are held at once without a gradient, so that they stay near the processor."""


class Embedding(nn.Module):
    """Linear layer, ReLU, dropout and layer norm, shared by encoder and decoder."""

    def __init__(self, inputs: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.hidden = Linear(inputs, dim)
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
        self.expand = Linear(dim, hidden, bias=False)
        self.reduce = Linear(hidden, dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, n, dim)`` to the same shape; without a gradient, the frames part by part."""
        rows = tokens.shape[1]
        if not torch.is_grad_enabled():
            rows = max(1, _HIDDEN_AT_ONCE // (len(tokens) * self.expand.out_features))
        parts = [self.reduce(functional.relu_(self.expand(part))) for part in tokens.split(rows, dim=1)]
        return self.norm(tokens + (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)))


class PostNormAttention(nn.Module):
    """Attention of tokens to a memory, projection, residual, layer norm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (Linear(dim, dim) for _ in range(4))
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
