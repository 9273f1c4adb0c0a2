"""Masked attention over the tokens of several modalities: fusion, and relation of one to the fused features.

The parts of DMAF-Net (arXiv 2506.11691) as :mod:`medbench.models.dmaf_net` reconstructs them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.linear import Linear

_LEAST_DIM = 32


class MaskedBlock(nn.Module):
    """Transformer block whose attention is limited to tokens of present modalities.

    Args:
        dim: width of the tokens.
        dropout: rate behind attention and in the perceptron.
        mlp_ratio: hidden width of the perceptron over ``dim``.
    """

    def __init__(self, dim: int, dropout: float, mlp_ratio: int = 4) -> None:
        super().__init__()
        self.heads = max(1, min(8, dim // 16))
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = Linear(dim, 3 * dim, bias=False)
        self.output = Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            Linear(dim, mlp_ratio * dim),
            nn.GELU(),
            nn.Dropout(dropout),
            Linear(mlp_ratio * dim, dim),
            nn.Dropout(dropout),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, present: Tensor | None) -> Tensor:
        """Tokens ``(N, T, dim)``; boolean ``(N, T)``, ``None`` for all. Missing tokens come out as zeros."""
        parts = self.qkv(self.norm1(tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None if present is None else present[:, None, None]
        context = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=mask)
        tokens = tokens + self.dropout(self.output(context.transpose(1, 2).flatten(2)))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens if present is None else tokens.masked_fill(~present[..., None], 0.0)


class ModalityFusion(nn.Module):
    """Dynamic modality-aware fusion of one level.

    Args:
        channels: of the features.
        modalities: number of modalities.
        grid: cells along each axis over which features are averaged to tokens; one number for all three.
        blocks: transformer blocks.
        dropout: rate in the transformer blocks.
        att_map: ``softmax`` over the modalities, or ``sigmoid`` for independent gates.
    """

    def __init__(
        self,
        channels: int,
        modalities: int,
        grid: int | tuple[int, int, int],
        blocks: int,
        dropout: float,
        att_map: str,
    ) -> None:
        super().__init__()
        dim = max(channels, _LEAST_DIM)
        self.grid = grid
        self.cells = (grid, grid, grid) if isinstance(grid, int) else grid
        self.att_map = att_map
        self.project = Linear(channels, dim)
        self.position = nn.Parameter(torch.empty(1, modalities * math.prod(self.cells), dim))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.ModuleList(MaskedBlock(dim, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(dim)
        self.score = Linear(dim, 1)

    def forward(self, features: Sequence[Tensor], present: Tensor | None) -> Tensor:
        """The weighted sum of features ``(N, channels, *sides)``, one tensor per modality."""
        maps = self.maps(features, present)
        joint = maps[:, :1] * features[0]
        for number, part in enumerate(features[1:], start=1):
            joint = torch.addcmul(joint, maps[:, number : number + 1], part)
        return joint

    def maps(self, features: Sequence[Tensor], present: Tensor | None) -> Tensor:
        """Weight of every modality at every voxel, ``(N, modalities, *sides)``.

        Args:
            features: ``(N, channels, *sides)`` for each modality, zeros where the modality is missing.
            present: boolean ``(N, modalities)``, or ``None`` where none is missing.
        """
        averages = [functional.adaptive_avg_pool3d(part, self.cells).flatten(2) for part in features]
        tokens = self.project(torch.stack(averages, dim=1).transpose(2, 3)).flatten(1, 2) + self.position
        here = None if present is None else present.repeat_interleave(math.prod(self.cells), dim=1)
        if here is not None:
            tokens = tokens.masked_fill(~here[..., None], 0.0)
        for block in self.blocks:
            tokens = block(tokens, here)
        cells = self.score(self.norm(tokens)).unflatten(1, (len(features), *self.cells)).squeeze(-1)
        missing = None if present is None else ~present[:, :, None, None, None]
        if self.att_map == "sigmoid":
            weights = cells.sigmoid()
            weights = weights if missing is None else weights.masked_fill(missing, 0.0)
        else:
            cells = cells if missing is None else cells.masked_fill(missing, -math.inf)
            weights = cells.softmax(dim=1)
        return functional.interpolate(weights, features[0].shape[2:], mode="trilinear", align_corners=False)


class RelationLayers(nn.Module):
    """Relation of one modality's deepest features to the fused ones; used in training alone.

    Args:
        dim: channels.
        graph_topk: how many fused tokens each token attends to; 0 is all.
    """

    def __init__(self, dim: int, graph_topk: int = 0) -> None:
        super().__init__()
        self.heads = next(count for count in range(min(8, dim), 0, -1) if dim % count == 0)
        self.graph_topk = graph_topk
        self.map = Linear(dim, dim)
        self.query = Linear(dim, dim)
        self.key = Linear(dim, dim)
        self.value = Linear(dim, dim)
        self.output = Linear(dim, dim)

    def attend(self, modality: Tensor, joint: Tensor) -> Tensor:
        """Attention of a modality's tokens ``(N, T, dim)`` to the fused tokens ``(N, T, dim)``."""
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, tokens in ((self.query, modality), (self.key, joint), (self.value, joint))
        )
        mask = None
        if 0 < self.graph_topk < key.shape[2]:
            logits = query @ key.transpose(2, 3)
            mask = logits >= logits.topk(self.graph_topk, dim=-1).values[..., -1:]
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        output: Tensor = self.output(context.transpose(1, 2).flatten(2))
        return output
