"""Bi-level routing attention, of BiFormer (arXiv 2303.08810) and BRAU-Net (arXiv 2310.00289, 2401.00722).

Each region of the map picks the ``topk`` regions whose mean key fits its mean query best; its pixels then
attend to all pixels of those regions. Facts from the papers and from Caipengzhou/BRAU-Net@7a35eb4 and
Caipengzhou/BRAU-Netplusplus@b25641a, whose operator is the same.

Feature maps are ``(N, H, W, C)`` throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.channels_last import DepthwiseConv
from medbench.models.blocks.dual_sparse_selection_attention import AttentionBlock
from medbench.models.blocks.linear import Linear, linear
from medbench.models.blocks.recomputed import of_activation, recomputed

AUTHORS_BLOCK_PARTS = (
    (r"\.pos_embed\.", ".position."),
    (r"\.attn\.lepe\.", ".attention.local_enhancement."),
    (r"\.attn\.qkv\.qkv\.", ".attention.qkv."),
    (r"\.attn\.qkv\.", ".attention.qkv."),
    (r"\.attn\.(wo|proj)\.", ".attention.output."),
    (r"\.mlp\.3\.", ".mlp.2."),
)
"""Authors' names within a block and ours."""


class BiLevelRoutingAttention(nn.Module):
    """Attention to the pixels of selected regions, plus a depthwise convolution of the values.

    Routing has no gradient and is computed in float32 at least, whatever precision the rest has: a selection
    that rounding turns over changes the output visibly. The mean of projected pixels is computed as the
    projection of their mean. The scale is ``dim ** -0.5`` (not the head's). A map whose sides ``n_win`` does
    not divide is padded with zeros at the bottom and right before the projection; padded pixels take part
    with the projection's bias as query, key and value, as in the authors' program with ``auto_pad``.

    Only the input and the selection are kept for the backward pass; the keys and values of the selected
    regions alone would take ``2 * topk`` maps.

    Args:
        dim: channels C.
        num_heads: heads; they share the selected regions.
        n_win: regions along each side.
        topk: regions that a query region attends to; at ``n_win ** 2`` and above all pixels attend to all.
        side_dwconv: kernel of the depthwise convolution of the values, odd.
    """

    def __init__(self, dim: int, num_heads: int, n_win: int, topk: int, side_dwconv: int = 5) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.n_win = n_win
        self.topk = min(topk, n_win**2)
        self.scale = dim**-0.5
        self.qkv = Linear(dim, 3 * dim)
        self.local_enhancement = DepthwiseConv(dim, side_dwconv)
        self.output = Linear(dim, dim)
        for layer in (self.qkv, self.output):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``."""
        height, width = features.shape[1:3]
        bottom, right = -height % self.n_win, -width % self.n_win
        if bottom or right:
            features = functional.pad(features, (0, 0, 0, right, 0, bottom))
        chooses = self.topk < self.n_win**2
        key_regions = select_largest(self.routing_logits(features), self.topk) if chooses else None
        output = recomputed(self._attend, features, key_regions)
        return output[:, :height, :width] if bottom or right else output

    def routing_logits(self, features: Tensor) -> Tensor:
        """How well each region's mean key fits each region's mean query, without gradient.

        Args:
            features: ``(N, H, W, C)``, sides divisible by ``n_win``.

        Returns:
            ``(N, n_win ** 2, n_win ** 2)`` in float32 or better, query regions before key regions.
        """
        precision = torch.promote_types(features.dtype, torch.float32)
        _, height, width, dim = features.shape
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            planes = features.to(precision).permute(0, 3, 1, 2)
            averages = functional.avg_pool2d(planes, (height // self.n_win, width // self.n_win))
            means = averages.permute(0, 2, 3, 1).flatten(1, 2)
            weight, bias = self.qkv.weight[: 2 * dim], self.qkv.bias[: 2 * dim]
            query, key = linear(means, weight.to(precision), bias.to(precision)).chunk(2, dim=-1)
            return (query * self.scale) @ key.transpose(1, 2)

    def _attend(self, features: Tensor, key_regions: Tensor | None) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``, sides divisible by ``n_win``.

        ``key_regions`` are the key regions of each query region ``(N, n_win ** 2, topk)``; all without.
        """
        if key_regions is None or self._mask_is_cheaper(features):
            context, value = self._attend_masked(features, key_regions)
        else:
            context, value = self._attend_fetched(features, key_regions)
        output: Tensor = self.output(context + self.local_enhancement(value))
        return output

    def _mask_is_cheaper(self, features: Tensor) -> bool:
        """Whether gathered keys and values would take more memory than the logits of all pairs of pixels."""
        _, height, width, dim = features.shape
        return height * width <= self.topk * dim // self.num_heads

    def _attend_fetched(self, features: Tensor, key_regions: Tensor) -> tuple[Tensor, Tensor]:
        """Fetch the selected regions as whole rows of a table, then attend within them.

        Returns attended and projected values, ``(N, H, W, C)`` both.
        """
        n, height, width, dim = features.shape
        count = self.n_win**2
        regions = _cut(features, self.n_win)
        weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        query, key, value = (
            linear(regions, weight, bias) for weight, bias in zip(weights, biases, strict=True)
        )
        start = torch.arange(n, device=features.device).view(n, 1, 1) * count
        rows = (start + key_regions).view(n * count, self.topk)
        keys, values = (
            functional.embedding(rows, part.flatten(1)).view(n * count, -1, dim) for part in (key, value)
        )
        context = self._among_heads(query, keys, values)
        return _join(context, self.n_win, height, width), _join(value, self.n_win, height, width)

    def _attend_masked(self, features: Tensor, key_regions: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attend to all pixels with ``-inf`` outside the selected regions; as :meth:`_attend_fetched`."""
        n, height, width, dim = features.shape
        query, key, value = self.qkv(features).flatten(1, 2).split(dim, dim=-1)
        mask = None
        if key_regions is not None:
            bias = query.new_full((n, self.n_win**2, self.n_win**2), -torch.inf).scatter_(-1, key_regions, 0)
            region_of = self._region_of_pixels(height, width, features.device)
            mask = bias[:, region_of][:, :, region_of].unsqueeze(1)
        context = self._among_heads(query, key, value, mask)
        return context.view(n, height, width, dim), value.unflatten(1, (height, width))

    def _among_heads(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention on ``(batch, pixels, C)``; the mask is ``(batch, 1, queries, keys)``."""
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in (query, key, value)
        )
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.scale)
        return context.transpose(1, 2).flatten(2)

    def _region_of_pixels(self, height: int, width: int, device: torch.device) -> Tensor:
        row = torch.arange(height, device=device) // (height // self.n_win)
        column = torch.arange(width, device=device) // (width // self.n_win)
        return (row.unsqueeze(1) * self.n_win + column).flatten()


def select_largest(logits: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` largest entries of each row, in no particular order."""
    return logits.topk(count, dim=-1, sorted=False).indices


def _cut(features: Tensor, n_win: int) -> Tensor:
    """``(N, H, W, C)`` to ``(N * n_win ** 2, pixels, C)``."""
    n, height, width, dim = features.shape
    split = features.reshape(n, n_win, height // n_win, n_win, width // n_win, dim)
    return split.permute(0, 1, 3, 2, 4, 5).reshape(n * n_win**2, -1, dim)


def _join(regions: Tensor, n_win: int, height: int, width: int) -> Tensor:
    """The inverse of :func:`_cut`."""
    dim = regions.shape[-1]
    split = regions.reshape(-1, n_win, n_win, height // n_win, width // n_win, dim)
    return split.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, dim)


class NormedFirstBlock(AttentionBlock):
    """The block of both networks, whose residual branches start from the normalised input.

    The norm before the attention is applied twice with the same parameters: to the input, whose positional
    convolution and residuals all start from the result, and again before the attention. BiFormer's block
    does not have the first of the two.

    The perceptron's activation is not kept for the backward pass.
    """

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``."""
        features = self.norm1(features)
        features = features + self.position(features)
        features = features + self.drop_path(self.attention(self.norm1(features)))
        expand, activation, contract = self.mlp
        hidden = of_activation(expand, self.norm2, features)
        return features + self.drop_path(of_activation(contract, activation, hidden))
