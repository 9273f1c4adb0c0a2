"""DSSAU-Net and dual sparse selection attention as their formulas read: what ours are measured against.

The network follows the paper and the authors' program (XiaZunhui/DSSAU-Net@ce1d11d) step by step:
``(N, C, H, W)`` maps, selected regions and pixels fetched through indices that are expanded to every channel,
linear layers where the paper has them, and parameters under the authors' names.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import StochasticDepth

from medbench.models import create_model
from medbench.models.blocks.dual_sparse_selection_attention import DualSparseSelectionAttention
from medbench.models.dssau_net import official_keys
from models_pair import Named, Pair


class PlainSparseAttention(nn.Module):
    """Section 3.2 of arXiv 2507.02488, on ``(N, H, W, C)`` like its neighbours, ``(N, C, H, W)`` within."""

    def __init__(self, dim: int, heads: int, topk: int, n_win: int = 8) -> None:
        super().__init__()
        self.heads, self.topk, self.n_win, self.scale = heads, topk, n_win, dim**-0.5
        self.qkv_linear = nn.Conv2d(dim, 3 * dim, 1)
        self.lepe = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.output_linear = nn.Conv2d(dim, dim, 1)

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = self.qkv_linear(features.permute(0, 3, 1, 2)).chunk(3, dim=1)
        n, dim, height, width = query.shape
        region = height // self.n_win, width // self.n_win
        grid = -(-height // region[0]), -(-width // region[1])
        regions, pixels, d = grid[0] * grid[1], region[0] * region[1], dim // self.heads

        means = [
            functional.avg_pool2d(part.detach(), region, ceil_mode=True, count_include_pad=False).flatten(2)
            for part in (query, key)
        ]
        chosen = (means[0].transpose(1, 2) @ means[1]).topk(self.topk, dim=-1).indices

        def cut(part: Tensor) -> Tensor:
            part = functional.pad(part, (0, grid[1] * region[1] - width, 0, grid[0] * region[0] - height))
            part = part.reshape(n, self.heads, d, grid[0], region[0], grid[1], region[1])
            return part.permute(0, 1, 3, 5, 4, 6, 2).reshape(n, self.heads, regions, pixels, d)

        def fetch(part: Tensor) -> Tensor:
            index = chosen.view(n, 1, regions, self.topk, 1, 1)
            index = index.expand(n, self.heads, regions, self.topk, pixels, d)
            table = part.unsqueeze(2).expand(n, self.heads, regions, regions, pixels, d)
            return table.gather(3, index).flatten(3, 4)

        queries, keys, values = cut(query) * self.scale, fetch(cut(key)), fetch(cut(value))
        logits, index = (queries @ keys.transpose(-1, -2)).topk(self.topk * pixels // 8, dim=-1)
        kept = values.unsqueeze(3).expand(*values.shape[:3], pixels, *values.shape[3:])
        kept = kept.gather(4, index.unsqueeze(-1).expand(*index.shape, d))
        attended = (logits.softmax(dim=-1).unsqueeze(-2) @ kept).squeeze(-2)
        attended = attended.view(n, self.heads, *grid, *region, d).permute(0, 1, 6, 2, 4, 3, 5)
        attended = attended.reshape(n, dim, grid[0] * region[0], grid[1] * region[1])
        attended = attended[..., :height, :width]
        return self.output_linear(attended + self.lepe(value)).permute(0, 2, 3, 1)


class PlainFullAttention(nn.Module):
    """Attention among all pixels of ``(N, H, W, C)``, eight heads."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.lepe = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        n, height, width, dim = features.shape
        qkv = self.qkv(features).view(n, height * width, 3, 8, dim // 8).permute(2, 0, 3, 1, 4)
        query, key, value = qkv
        weights = (query * (dim // 8) ** -0.5 @ key.transpose(-1, -2)).softmax(dim=-1)
        attended = (weights @ value).transpose(1, 2).reshape(n, height, width, dim)
        local = self.lepe(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.proj(attended + local)


class PlainBlock(nn.Module):
    """``(N, C, H, W)`` in and out."""

    def __init__(self, dim: int, attention: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = attention
        self.mlp = nn.Sequential(nn.Linear(dim, 3 * dim), nn.Identity(), nn.GELU(), nn.Linear(3 * dim, dim))
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        features = (images + self.pos_embed(images)).permute(0, 2, 3, 1)
        features = features + self.drop_path(self.attn(self.norm1(features)))
        features = features + self.drop_path(self.mlp(self.norm2(features)))
        return features.permute(0, 3, 1, 2)


def stages(dims: Sequence[int], n_win: int = 8, drop_path: float = 0.2) -> nn.ModuleList:
    depth, rates = (2, 2, 8, 2), iter(drop_path * block / 13 for block in range(14))

    def attention(level: int, dim: int) -> nn.Module:
        if level == 3:
            return PlainFullAttention(dim)
        return PlainSparseAttention(dim, dim // 32, (1, 4, 16)[level], n_win)

    return nn.ModuleList(
        nn.Sequential(*(PlainBlock(dim, attention(level, dim), next(rates)) for _ in range(depth[level])))
        for level, dim in enumerate(dims)
    )


def conv_norm(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def reductions(dims: Sequence[int]) -> nn.ModuleList:
    """The stem and what leads to the further levels."""
    first = dims[0]
    stem = (*conv_norm(3, first // 2, 3, 2), nn.GELU(), *conv_norm(first // 2, first, 3, 2))
    further = (conv_norm(inputs, outputs, 3, 2) for inputs, outputs in itertools.pairwise(dims))
    return nn.ModuleList([nn.Sequential(*stem), *further])


def _enlarge(images: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(images, tuple(size), mode="bilinear", align_corners=True)


class PlainDSSAUNet(nn.Module):
    """Parameters are named as the authors', so that ours loads them as it loads a checkpoint of theirs."""

    def __init__(self) -> None:
        super().__init__()
        dims, c = (96, 192, 384, 768), 64
        self.Encoder = nn.ModuleDict(
            {
                "downsample_layers": reductions(dims),
                "stages": stages(dims),
                "extra_norms": nn.ModuleList(nn.LayerNorm(dim, eps=1e-6) for dim in dims),
            }
        )
        self.Decoder = nn.ModuleDict({"stages": stages([c] * 4)})
        pyramid = [nn.Sequential(nn.AdaptiveMaxPool2d(side), nn.Conv2d(768, c, 1)) for side in (1, 2, 3, 6)]
        pooling = {"psp_modules": nn.ModuleList(pyramid), "final": conv_norm(768 + 4 * c, c)}
        self.decoder = nn.ModuleDict({"PPMHead": nn.ModuleDict(pooling)})
        for number, dim in ((1, 384), (2, 192), (3, 96)):
            self.decoder[f"Conv_fuse{number}"] = conv_norm(dim, c)
            self.decoder[f"Conv_fuse{number}_"] = conv_norm(c, c)
        self.decoder["fuse_all"] = conv_norm(4 * c, c)
        self.decoder["conv_x1"] = nn.Conv2d(c, c, 1)
        self.cls_seg = nn.Sequential(nn.Conv2d(c, 3, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        features, maps = images, []
        for reduce, stage, norm in zip(*self.Encoder.values(), strict=True):
            features = stage(reduce(features))
            maps.append(norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        pooling = self.decoder["PPMHead"]
        parts = [_enlarge(part(maps[3]), maps[3].shape[2:]) for part in pooling["psp_modules"]]
        features = pooling["final"](torch.cat([*parts, maps[3]], dim=1)).relu()
        features = self.Decoder["stages"][3](features)
        pyramid = [features]
        for number, level in ((1, 2), (2, 1), (3, 0)):
            skip = self.decoder[f"Conv_fuse{number}"](maps[level]).relu()
            features = _enlarge(features, skip.shape[2:])
            if level == 2:
                features = self.decoder["conv_x1"](features)
            features = self.Decoder["stages"][level](features + skip)
            features = self.decoder[f"Conv_fuse{number}_"](features).relu()
            pyramid.append(features)
        size = features.shape[2:]
        joined = torch.cat([_enlarge(part, size) for part in pyramid], dim=1)
        fused = self.decoder["fuse_all"](joined).relu()
        return self.cls_seg(_enlarge(fused, [4 * side for side in size]))


_LAYERS = {"qkv_linear": "qkv", "lepe": "local_enhancement", "output_linear": "output"}


def _attention_from(plain: Named) -> dict[str, Tensor]:
    split = {key: key.split(".") for key in plain}
    return {
        f"{_LAYERS[layer]}.{kind}": plain[key].flatten(1) if plain[key].shape[2:] == (1, 1) else plain[key]
        for key, (layer, kind) in split.items()
    }


def pairs() -> dict[str, Pair]:
    """The network at the paper's input size and its three sparse levels."""
    found = {
        "dssau_net": Pair(
            "DSSAU-Net 256×256",
            functools.partial(create_model, "dssau_net", num_classes=3),
            PlainDSSAUNet,
            (3, 256, 256),
            official_keys,
            num_classes=3,
        )
    }
    for dim, heads, side, topk in ((96, 3, 64, 1), (192, 6, 32, 4), (384, 12, 16, 16)):
        found[f"dual_sparse_selection_{side}"] = Pair(
            f"dual sparse selection attention {side}×{side}×{dim}, {heads} heads, topk {topk}",
            functools.partial(DualSparseSelectionAttention, dim, heads, 8, topk),
            functools.partial(PlainSparseAttention, dim, heads, topk),
            (side, side, dim),
            _attention_from,
        )
    return found
