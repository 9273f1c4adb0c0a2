"""Pooling of tokens by one multi-head attention whose query is their mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class AttentionPool(nn.Module):
    """One vector for a set of tokens: what their mean attends to, among them and itself.

    Args:
        width: channels of a token.
        num_heads: of the attention.
        num_tokens: tokens of every set, which then have a learned position; ``None`` for sets of any size,
            which have none.
    """

    def __init__(self, width: int, num_heads: int = 8, num_tokens: int | None = None) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.positional_embedding = (
            None if num_tokens is None else nn.Parameter(torch.randn(num_tokens + 1, width) * width**-0.5)
        )
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, present: Tensor | None = None) -> Tensor:
        """One vector ``(N, width)`` for each set.

        Args:
            tokens: ``(N, tokens, width)``.
            present: ``(N, tokens)``, which of them count; all if ``None``. A set without any is its zeros.
        """
        mask = None
        if present is None:
            mean = tokens.mean(dim=1, keepdim=True)
        else:
            tokens = tokens * present[..., None]
            count = present.sum(dim=1).clamp_min(1)[:, None, None]
            mean = tokens.sum(dim=1, keepdim=True) / count
            mask = functional.pad(present, (1, 0), value=True)[:, None, None]
        whole = torch.cat([mean, tokens], dim=1)
        if self.positional_embedding is not None:
            whole = whole + self.positional_embedding
        query, key, value = (
            projection.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj(whole[:, :1]), self.k_proj(whole), self.v_proj(whole))
        )
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        answer: Tensor = self.c_proj(context.transpose(1, 2).flatten(1))
        return answer
