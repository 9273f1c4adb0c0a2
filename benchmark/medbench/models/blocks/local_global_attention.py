"""Attention to the frames of a window and to global frames, in memory that grows with the number of frames.

The attention of FullTransNet's encoder (arXiv 2501.00882), by its definition and in blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.in_parts import in_parts
from medbench.models.blocks.linear import Linear

SCALE = 8**-0.5  # the authors' number, whatever the width of a head
SCORES_AT_ONCE = 1 << 23
"""Scores of one head's part that are computed at once; longer videos are taken part by part."""
_SCORES_WITHOUT_GRADIENT = 1 << 20
"""The same where no gradient is wanted, so that taking more parts costs nothing."""


class LocalGlobalAttention(nn.Module):
    """Attention to the frames of a window and to global frames, which themselves attend to every frame.

    Queries are taken in blocks of ``window``, each with the keys of three blocks, so that n frames with G
    global ones take n · (3 · window + G) scores. A global key counts once, also inside the window. No more
    than :data:`SCORES_AT_ONCE` scores are held at a time: where there are more, they are computed part by
    part, and again for the gradient.

    Args:
        dim: channels.
        heads: number of heads.
        window: frames on each side.
        dropout: rate on the weights of the attention.
        memory_order: read the context ``(dim, n)`` in memory as ``(n, dim)``, as the authors' program does.
    """

    def __init__(self, dim: int, heads: int, window: int, dropout: float, *, memory_order: bool) -> None:
        super().__init__()
        self.heads, self.window, self.memory_order = heads, window, memory_order
        self.query, self.key, self.value = (Linear(dim, dim) for _ in range(3))
        self.global_query, self.global_key, self.global_value = (Linear(dim, dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        self.output = Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, global_frames: Tensor, n_seen: Tensor | None = None) -> Tensor:
        """``(N, n, dim)`` to the same shape.

        Args:
            tokens: of the frames.
            global_frames: sorted indices ``(N, G)``; repeated ones count once.
            n_seen: ``(N, 1)``, frames from the start that take part, all if ``None``; the others are no keys
                and get no context.
        """
        mask = None
        if n_seen is not None:
            mask = torch.arange(tokens.shape[1], device=tokens.device) < n_seen
        context = self._local_rows(tokens, global_frames, mask)
        rows = self._global_rows(tokens, global_frames, mask)
        if mask is not None:
            context = context * mask[:, None, :, None]
            rows = rows * mask.gather(1, global_frames)[:, None, :, None]
        context = join_heads(context.scatter(2, _index(global_frames, context), rows.to(context.dtype)))
        if self.memory_order:
            context = context.transpose(1, 2).reshape(context.shape)
        return self.norm(self.output(context) + tokens)

    def _local_rows(self, tokens: Tensor, global_frames: Tensor, mask: Tensor | None) -> Tensor:
        """Context ``(N, heads, n, channels)`` of every frame as if it were none of the global ones."""
        n, window = tokens.shape[1], self.window
        query, key, value = (
            split_heads(part(tokens), self.heads) for part in (self.query, self.key, self.value)
        )
        missing = -n % window
        query = functional.pad(query * SCALE, (0, 0, 0, missing)).unflatten(2, (-1, window))
        index = _index(global_frames, key)
        global_key, global_value = key.gather(2, index), value.gather(2, index)
        key, value = (_neighbourhoods(part, window, missing) for part in (key, value))

        local = _neighbourhoods(self._local_keys(n, global_frames, mask), window, missing, dim=1)
        local = local[:, None, :, None] & _band(window, tokens.device)
        once = functional.pad(global_frames[:, 1:] != global_frames[:, :-1], (1, 0), value=True)
        if mask is not None:
            once = once & mask.gather(1, global_frames)
        size = max(1, _scores_at_once() // (self.heads * window * (3 * window + global_frames.shape[1])))
        context = in_parts(
            self._blocks, query.shape[2], size, (query, key, value, local), (global_key, global_value, once)
        )
        return context[:, :, :n]

    def _blocks(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        local: Tensor,
        global_key: Tensor,
        global_value: Tensor,
        once: Tensor,
    ) -> Tensor:
        """Context ``(N, heads, blocks * window, channels)`` of some blocks of queries."""
        near = _masked(query @ key, local)
        far = query.flatten(2, 3) @ global_key.transpose(2, 3)
        far = _masked(far.unflatten(2, (-1, self.window)), once[:, None, None, None])
        weights = self.dropout(torch.cat([near, far], dim=-1).softmax(dim=-1)).to(value.dtype)
        near, far = weights.split([near.shape[-1], far.shape[-1]], dim=-1)
        return (near @ value.transpose(3, 4)).flatten(2, 3) + far.flatten(2, 3) @ global_value

    @staticmethod
    def _local_keys(n: int, global_frames: Tensor, mask: Tensor | None) -> Tensor:
        """Which of n frames are keys of the window alone, ``(N, n)``."""
        keys = torch.ones(len(global_frames), n, dtype=torch.bool, device=global_frames.device)
        keys = keys.scatter(1, global_frames, False)
        return keys if mask is None else keys & mask

    def _global_rows(self, tokens: Tensor, global_frames: Tensor, mask: Tensor | None) -> Tensor:
        """Context ``(N, heads, G, channels)`` of the global frames."""
        asking = tokens.gather(1, global_frames[..., None].expand(-1, -1, tokens.shape[-1]))
        query = split_heads(self.global_query(asking), self.heads) * SCALE
        key, value = (split_heads(part(tokens), self.heads) for part in (self.global_key, self.global_value))
        size = max(1, _scores_at_once() // (self.heads * key.shape[2]))
        return in_parts(self._whole, query.shape[2], size, (query,), (key, value, mask))

    def _whole(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Context ``(N, heads, queries, channels)`` of queries that attend to every frame."""
        scores = query @ key.transpose(2, 3)
        if mask is not None:
            scores = _masked(scores, mask[:, None, None])
        return self.dropout(scores.softmax(dim=-1)).to(value.dtype) @ value


def _scores_at_once() -> int:
    return SCORES_AT_ONCE if torch.is_grad_enabled() else min(SCORES_AT_ONCE, _SCORES_WITHOUT_GRADIENT)


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """``(N, n, dim)`` to ``(N, heads, n, dim / heads)``."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(context: Tensor) -> Tensor:
    """The inverse of :func:`split_heads`."""
    return context.transpose(1, 2).flatten(2)


def _index(frames: Tensor, parts: Tensor) -> Tensor:
    """``(N, G)`` as an index along the third axis of ``(N, heads, n, channels)``."""
    return frames[:, None, :, None].expand(-1, parts.shape[1], -1, parts.shape[3])


def _neighbourhoods(parts: Tensor, window: int, missing: int, dim: int = 2) -> Tensor:
    """Windows of three blocks around each block of an axis: ``(…, blocks, …, 3 * window)``."""
    after = (0, 0) * (parts.ndim - 1 - dim)
    return functional.pad(parts, (*after, window, window + missing)).unfold(dim, 3 * window, window)


def _band(window: int, device: torch.device) -> Tensor:
    """Which of three blocks' keys lie within the window of each query of the middle one."""
    queries = torch.arange(window, 2 * window, device=device)[:, None]
    return (torch.arange(3 * window, device=device) - queries).abs() <= window


def _masked(scores: Tensor, keys: Tensor) -> Tensor:
    return scores.masked_fill(~keys, torch.finfo(scores.dtype).min)
