"""MSLAU-Net as its formulas read, without any of our shortcuts: what the network is measured against.

Image-shaped ``(N, C, H, W)`` maps throughout, every step in the published order, one attention call a group,
and parameters under the authors' names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models import create_model
from medbench.models.blocks.multi_scale_linear_attention import MultiScaleLinearAttention
from medbench.models.mslau_net import official_keys
from models_pair import Named, Pair


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, images: Tensor) -> Tensor:
        n, dim, height, width = images.shape
        tokens = images.flatten(2).transpose(1, 2)
        parts = self.qkv(tokens).reshape(n, height * width, 3, self.heads, dim // self.heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        context = keys.softmax(dim=-1).transpose(-2, -1) @ values
        attended = (queries.softmax(dim=-2) @ context).reshape(n, height * width, dim)
        return self.proj(attended).transpose(1, 2).reshape(n, dim, height, width)


class Depthwise(nn.Module):
    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)

    def forward(self, images: Tensor) -> Tensor:
        return self.depthwise(images)


class MultiScale(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.scale_weights = nn.Parameter(torch.ones(4))
        for kernel in (3, 5, 7, 9):
            setattr(self, f"dw_conv_{kernel}x{kernel}", Depthwise(dim // 4, kernel))
        self.linear_attention = Attention(dim // 4, heads)
        self.final_conv = nn.Conv2d(dim, dim, 1)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        n, length, dim = tokens.shape
        images = tokens.contiguous().view(n, dim, height, width)
        outputs = []
        for index, part in enumerate(images.chunk(4, dim=1)):
            kernel = 3 + 2 * index
            mixed = functional.relu(part + getattr(self, f"dw_conv_{kernel}x{kernel}")(part))
            outputs.append(self.linear_attention(mixed) * self.scale_weights[index])
        return self.final_conv(torch.cat(outputs, dim=1)).reshape(n, length, dim)


class Perceptron(nn.Module):
    def __init__(self, dim: int, hidden: int, layer: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.fc1, self.fc2 = layer(dim, hidden), layer(hidden, dim)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(features)))


class GlobalBlock(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = MultiScale(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Perceptron(dim, 4 * dim, nn.Linear)

    def forward(self, images: Tensor) -> Tensor:
        images = images + self.pos_embed(images)
        height, width = images.shape[2:]
        tokens = images.flatten(2).transpose(1, 2)
        tokens = tokens + self.attn(self.norm1(tokens), height, width)
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).reshape(images.shape)


class LocalBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.BatchNorm2d(dim)
        self.conv1 = nn.Conv2d(dim, dim, 1)
        self.attn = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.conv2 = nn.Conv2d(dim, dim, 1)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = Perceptron(dim, 4 * dim, lambda inputs, outputs: nn.Conv2d(inputs, outputs, 1))

    def forward(self, images: Tensor) -> Tensor:
        images = images + self.pos_embed(images)
        images = images + self.conv2(self.attn(self.conv1(self.norm1(images))))
        return images + self.mlp(self.norm2(images))


class PatchEmbedding(nn.Module):
    def __init__(self, inputs: int, outputs: int, patch: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(outputs)
        self.proj = nn.Conv2d(inputs, outputs, patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        images = self.proj(images)
        tokens = self.norm(images.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).reshape(images.shape)


def enlarge() -> nn.Module:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


def step(inputs: int, outputs: int, kernel: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


class PlainMSLAUNet(nn.Module):
    """``(N, in_channels, H, W)``, H and W multiples of 32, to ``(N, num_classes, H, W)`` logits."""

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 9,
        embed_dim: Sequence[int] = (64, 128, 256, 512),
        depth: Sequence[int] = (4, 8, 11, 5),
        head_dim: int = 64,
    ) -> None:
        super().__init__()
        first, second, third, fourth = embed_dim
        self.encoder = nn.ModuleDict()
        for level, (dim, blocks) in enumerate(zip(embed_dim, depth, strict=True)):
            before = embed_dim[level - 1] if level else in_channels
            self.encoder[f"patch_embed{level + 1}"] = PatchEmbedding(before, dim, 2 if level else 4)
            self.encoder[f"blocks{level + 1}"] = nn.Sequential(
                *(LocalBlock(dim) if level < 2 else GlobalBlock(dim, dim // head_dim) for _ in range(blocks))
            )
        deepest = [*step(fourth, third), enlarge(), *step(third, second), enlarge()]
        self.conv_mla = nn.ModuleDict(
            {
                "mla_p4": nn.Sequential(*step(second, first), enlarge()),
                "mla_p3": nn.Sequential(*step(third, second), enlarge(), *step(second, first), enlarge()),
                "mla_p2": nn.Sequential(*deepest, *step(second, first), enlarge()),
                **{f"mla_p{level}_3x3": nn.Sequential(*step(first, first, 3)) for level in (5, 4, 3, 2)},
            }
        )
        self.mlahead = nn.ModuleDict(
            {f"head{level}": nn.Sequential(*step(first, first, 3), enlarge()) for level in (2, 3, 4, 5)}
        )
        self.seg = nn.Conv2d(4 * first, num_classes, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        maps, features = [], images
        for level in range(1, 5):
            features = self.encoder[f"blocks{level}"](self.encoder[f"patch_embed{level}"](features))
            maps.append(features)
        sums = [maps[0]]
        for level, name in enumerate(("mla_p4", "mla_p3", "mla_p2"), 1):
            sums.append(sums[-1] + self.conv_mla[name](maps[level]))
        smooth = [self.conv_mla[f"mla_p{5 - level}_3x3"](total) for level, total in enumerate(sums)]
        heads = [self.mlahead[f"head{2 + level}"](total) for level, total in enumerate(smooth)]
        logits = self.seg(torch.cat(heads, dim=1))
        return functional.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=True)


class MultiScaleLayer(MultiScale):
    """The attention alone, ``(N, H, W, C)`` in and out."""

    def forward(self, features: Tensor) -> Tensor:
        _, height, width, _ = features.shape
        return super().forward(features.flatten(1, 2), height, width).view(features.shape)


def _network(title: str, side: int, num_classes: int) -> Pair:
    return Pair(
        f"{title}, {side} x {side}",
        lambda: create_model("mslau_net", num_classes=num_classes),
        lambda: PlainMSLAUNet(num_classes=num_classes),
        (3, side, side),
        official_keys,
        num_classes,
    )


def _layer(dim: int, heads: int, side: int) -> Pair:
    theirs, ours = "encoder.blocks3.0.attn.", "encoder.2.0.attention."

    def ours_from(named: Named) -> dict[str, Tensor]:
        found = official_keys({theirs + name: tensor for name, tensor in named.items()})
        return {name.removeprefix(ours): tensor for name, tensor in found.items()}

    return Pair(
        f"MSLAU-Net attention, {side} x {side} x {dim}",
        lambda: MultiScaleLinearAttention(dim, heads),
        lambda: MultiScaleLayer(dim, heads),
        (side, side, dim),
        ours_from,
    )


def pairs() -> dict[str, Pair]:
    """The network at the paper's sizes, and its attention layers."""
    return {
        "mslau_net": _network("MSLAU-Net", 224, 9),
        "mslau_net.cvc": _network("MSLAU-Net", 256, 1),
        "mslau_net/attention16": _layer(256, 4, 14),
        "mslau_net/attention32": _layer(512, 8, 7),
    }
