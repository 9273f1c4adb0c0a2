"""BRAU-Net and BRAU-Net++ transcribed step by step from the papers, for comparison.

As the authors' programs (Caipengzhou/BRAU-Net@7a35eb4, Caipengzhou/BRAU-Netplusplus@b25641a) do it: tokens
are cut into regions before the projection, selected regions are fetched through an index expanded to every
channel, the attention's matrix is written out, convolutions get copies in ``(N, C, H, W)`` order. Parameters
have their names, so that ours loads them as it loads a checkpoint of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

import medbench
from medbench.models.blocks.bi_level_routing_attention import AUTHORS_BLOCK_PARTS, BiLevelRoutingAttention
from models_pair import Named, Pair


class PlainRoutingAttention(nn.Module):
    """Section 3 of arXiv 2303.08810 on ``(N, H, W, C)``."""

    def __init__(self, dim: int, heads: int, n_win: int, topk: int) -> None:
        super().__init__()
        self.heads, self.n_win, self.topk, self.scale = heads, n_win, topk, dim**-0.5
        self.lepe = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.qkv = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim)})
        self.wo = nn.Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        n, height, width, dim = features.shape
        a, b, regions = height // self.n_win, width // self.n_win, self.n_win**2
        pixels = a * b
        cells = features.view(n, self.n_win, a, self.n_win, b, dim).permute(0, 1, 3, 2, 4, 5)
        query, keys_values = self.qkv["qkv"](cells).reshape(n, regions, pixels, -1).split((dim, 2 * dim), -1)

        means = query.detach().mean(2), keys_values[..., :dim].detach().mean(2)
        weights, chosen = ((means[0] * self.scale) @ means[1].transpose(1, 2)).topk(self.topk, dim=-1)
        weights.softmax(dim=-1)
        index = chosen.view(n, regions, self.topk, 1, 1).expand(-1, -1, -1, pixels, 2 * dim)
        table = keys_values.view(n, 1, regions, pixels, -1).expand(-1, regions, -1, -1, -1)
        fetched = table.gather(2, index)

        d = dim // self.heads
        key, value = fetched.view(n * regions, self.topk * pixels, 2, self.heads, d).unbind(2)
        key, value = key.permute(0, 2, 3, 1).contiguous(), value.permute(0, 2, 1, 3).contiguous()
        query = query.reshape(n * regions, pixels, self.heads, d).permute(0, 2, 1, 3).contiguous()
        attended = ((query * self.scale) @ key).softmax(dim=-1) @ value
        attended = attended.view(n, self.n_win, self.n_win, self.heads, a, b, d)
        attended = attended.permute(0, 1, 4, 2, 5, 3, 6).reshape(n, height, width, dim)

        values = keys_values[..., dim:].view(n, self.n_win, self.n_win, a, b, dim)
        values = values.permute(0, 5, 1, 3, 2, 4).reshape(n, dim, height, width).contiguous()
        local = self.lepe(values).permute(0, 2, 3, 1).contiguous()
        return self.wo(attended + local)


class PlainFullAttention(nn.Module):
    """Attention among all pixels of ``(N, H, W, C)``, eight heads."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.lepe = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)

    def forward(self, features: Tensor) -> Tensor:
        n, height, width, dim = features.shape
        qkv = self.qkv(features).view(n, height * width, 3, 8, dim // 8).permute(2, 0, 3, 1, 4)
        query, key, value = qkv
        weights = (query * (dim // 8) ** -0.5 @ key.transpose(-1, -2)).softmax(dim=-1)
        attended = (weights @ value).transpose(1, 2).reshape(n, height, width, dim)
        local = self.lepe(features.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1).contiguous()
        return self.proj(attended + local)


class PlainBlock(nn.Module):
    """Tokens ``(N, H * H, C)`` in and out."""

    def __init__(self, dim: int, attention: nn.Module, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = attention
        hidden = mlp_ratio * dim
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.Identity(), nn.GELU(), nn.Linear(hidden, dim))
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        n, length, dim = tokens.shape
        side = round(length**0.5)
        images = self.norm1(tokens).view(n, side, side, dim).permute(0, 3, 1, 2).contiguous()
        features = (images + self.pos_embed(images)).permute(0, 2, 3, 1).contiguous()
        features = features + self.drop_path(self.attn(self.norm1(features)))
        features = features + self.drop_path(self.mlp(self.norm2(features)))
        return features.view(n, length, dim)


class PlainExpand(nn.Module):
    """Tokens ``(N, H * H, C)`` to ``(N, (factor * H) ** 2, outputs)``."""

    def __init__(self, dim: int, outputs: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.expand = nn.Linear(dim, factor**2 * outputs, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        n, length, _ = tokens.shape
        side = round(length**0.5)
        features = self.expand(tokens).view(n, side, side, self.factor, self.factor, -1)
        return self.norm(features.permute(0, 1, 3, 2, 4, 5).reshape(n, length * self.factor**2, -1))


class PlainMerging(nn.Module):
    """Tokens re-read as an image, convolved, and back."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, 2 * dim, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(2 * dim)

    def forward(self, tokens: Tensor) -> Tensor:
        n, length, dim = tokens.shape
        side = round(length**0.5)
        return self.bn(self.conv(tokens.view(n, dim, side, side))).view(n, length // 4, 2 * dim)


class PlainChannelSpatialAttention(nn.Module):
    """``(N, C, H, W)`` in and out."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = dim // 4
        self.channel_attention = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.spatial_attention = nn.Sequential(
            nn.Conv2d(dim, hidden, 7, padding=3),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, dim, 7, padding=3),
            nn.BatchNorm2d(dim),
        )

    def forward(self, images: Tensor) -> Tensor:
        weights = self.channel_attention(images.permute(0, 2, 3, 1).contiguous())
        images = images * weights.permute(0, 3, 1, 2).contiguous()
        return images * self.spatial_attention(images).sigmoid()


def _blocks(
    dim: int, attention: Callable[[], nn.Module], mlp_ratio: int, rates: Sequence[float]
) -> list[PlainBlock]:
    return [PlainBlock(dim, attention(), mlp_ratio, rate) for rate in rates]


def _ramp(blocks: int) -> list[float]:
    return [0.2 * block / (blocks - 1) for block in range(blocks)]


def _decoder(stages: Sequence[list[PlainBlock]]) -> dict[str, nn.Module]:
    """The parts of both decoders but the last enlargement; stages from 1/16 to 1/4."""
    layers: list[nn.Module] = [PlainExpand(768, 384, 2)]
    for number, (dim, blocks) in enumerate(zip((384, 192, 96), stages, strict=True)):
        layer = nn.ModuleDict({"blocks": nn.Sequential(*blocks)})
        if number < 2:
            layer["upsample"] = PlainExpand(dim, dim // 2, 2)
        layers.append(layer)
    joins = [nn.Identity(), *(nn.Linear(2 * dim, dim) for dim in (384, 192, 96))]
    return {
        "layers_up": nn.ModuleList(layers),
        "concat_back_dim": nn.ModuleList(joins),
        "norm_up": nn.LayerNorm(96),
    }


def _as_image(tokens: Tensor) -> Tensor:
    n, length, dim = tokens.shape
    side = round(length**0.5)
    return tokens.view(n, side, side, dim).permute(0, 3, 1, 2).contiguous()


def _as_tokens(images: Tensor) -> Tensor:
    return images.flatten(2).transpose(1, 2).contiguous()


class PlainBRAUNet(nn.Module):
    """arXiv 2310.00289."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        dims, depths = (96, 192, 384, 768), (4, 4, 8, 4)

        def blocks(level: int) -> list[PlainBlock]:
            dim = dims[level]
            return _blocks(
                dim,
                lambda: (
                    PlainFullAttention(dim)
                    if level == 3
                    else PlainRoutingAttention(dim, (2, 4, 8)[level], 8, (4, 8, 16)[level])
                ),
                4,
                _ramp(depths[level]),
            )

        stages = nn.ModuleList()
        for level in range(4):
            stage = nn.ModuleDict({"blocks": nn.Sequential(*blocks(level))})
            if level < 3:
                stage["downsample_layer"] = PlainMerging(dims[level])
            stages.append(stage)
        self.bra_unet = nn.ModuleDict(
            {
                "patch_embed": nn.ModuleDict(
                    {
                        "downsample_layers_conv1": nn.Conv2d(3, 48, 3, 2, 1),
                        "downsample_layers_bn1": nn.BatchNorm2d(48),
                        "downsample_layers_conv2": nn.Conv2d(48, 96, 3, 2, 1),
                        "downsample_layers_bn2": nn.BatchNorm2d(96),
                    }
                ),
                "stages": stages,
                **_decoder([blocks(2), blocks(1), blocks(0)]),
                "up": PlainExpand(96, 96, 4),
                "output": nn.Conv2d(96, num_classes, 1, bias=False),
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        net = self.bra_unet
        conv1, norm1, conv2, norm2 = net["patch_embed"].values()
        tokens = _as_tokens(norm2(conv2(nn.functional.gelu(norm1(conv1(images))))))
        skips = []
        for stage in net["stages"]:
            skips.append(tokens)
            for part in stage.values():
                tokens = part(tokens)
        tokens = net["layers_up"][0](tokens)
        for layer, join, skip in zip(
            net["layers_up"][1:], net["concat_back_dim"][1:], skips[2::-1], strict=True
        ):
            tokens = join(torch.cat([tokens, skip], dim=-1))
            for part in layer.values():
                tokens = part(tokens)
        return net["output"](_as_image(net["up"](net["norm_up"](tokens))))


class PlainBRAUNetPP(nn.Module):
    """arXiv 2401.00722, without the two blocks that are never computed with."""

    def __init__(self, num_classes: int, n_win: int) -> None:
        super().__init__()
        dims, depths = (96, 192, 384, 768), (2, 2, 8)

        def blocks(level: int, rates: Sequence[float]) -> list[PlainBlock]:
            dim = dims[level]
            return _blocks(
                dim,
                lambda: PlainRoutingAttention(dim, dim // 32, n_win, (2, 4, 8)[level]),
                3,
                rates,
            )

        def conv_norm(inputs: int, outputs: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs)]

        stem = nn.Sequential(*conv_norm(3, 48), nn.GELU(), *conv_norm(48, 96))
        reductions = [nn.Sequential(*conv_norm(dim, 2 * dim)) for dim in dims[:3]]
        rates = _ramp(14)
        stages = [blocks(0, rates[:2]), blocks(1, rates[2:4]), blocks(2, rates[4:12])]
        self.bra_unet = nn.ModuleDict(
            {
                **{f"sccsa{level + 1}": PlainChannelSpatialAttention(2 * dims[level]) for level in range(3)},
                "downsample_layers": nn.ModuleList([stem, *reductions]),
                "stages": nn.ModuleList(nn.Sequential(*stage) for stage in stages),
                **_decoder([blocks(level, _ramp(depths[level])) for level in (2, 1, 0)]),
                "up4": PlainExpand(96, 96, 4),
                "output": nn.Conv2d(96, num_classes, 1, bias=False),
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        net = self.bra_unet
        stem, *reductions = net["downsample_layers"]
        images, skips = stem(images), []
        for stage, reduce in zip(net["stages"], reductions, strict=True):
            skips.append(stage(_as_tokens(images)))
            images = reduce(_as_image(skips[-1]))
        tokens = net["layers_up"][0](_as_tokens(images))
        for number in (1, 2, 3):
            joined = _as_image(torch.cat([tokens, skips[3 - number]], dim=-1))
            tokens = net["concat_back_dim"][number](_as_tokens(net[f"sccsa{4 - number}"](joined)))
            for part in net["layers_up"][number].values():
                tokens = part(tokens)
        return net["output"](_as_image(net["up4"](net["norm_up"](tokens))))


def _layer_names(plain: Named) -> dict[str, Tensor]:
    renamed = {}
    for key, tensor in plain.items():
        name = f"layer.attn.{key}"
        for part, ours in AUTHORS_BLOCK_PARTS:
            name = re.sub(part, ours, name)
        renamed[name.removeprefix("layer.attention.")] = tensor
    return renamed


def _layer(paper: str, dim: int, heads: int, side: int, n_win: int, topk: int) -> Pair:
    return Pair(
        f"{paper}'s attention {side}×{side}×{dim}, {heads} heads, topk {topk}",
        lambda: BiLevelRoutingAttention(dim, heads, n_win, topk),
        lambda: PlainRoutingAttention(dim, heads, n_win, topk),
        (side, side, dim),
        _layer_names,
    )


def _network(
    title: str, name: str, plain: Callable[[], nn.Module], side: int, channels: int, num_classes: int
) -> Pair:
    return Pair(
        f"{title} {side}×{side}",
        lambda: medbench.create_model(name, num_classes=num_classes),
        plain,
        (channels, side, side),
        lambda tensors: medbench.official_state_dict(name, tensors),
        num_classes,
    )


def pairs() -> dict[str, Pair]:
    """The networks at the papers' sizes, and their attention layers."""
    return {
        "brau_net": _network("BRAU-Net", "brau_net", PlainBRAUNet, 256, 3, 3),
        "brau_net_pp": _network("BRAU-Net++", "brau_net_pp", lambda: PlainBRAUNetPP(9, 7), 224, 3, 9),
        "brau_net_pp.isic": _network(
            "BRAU-Net++", "brau_net_pp.isic", lambda: PlainBRAUNetPP(1, 8), 256, 3, 1
        ),
        "brau_net/attention4": _layer("BRAU-Net", 96, 2, 64, 8, 4),
        "brau_net/attention8": _layer("BRAU-Net", 192, 4, 32, 8, 8),
        "brau_net/attention16": _layer("BRAU-Net", 384, 8, 16, 8, 16),
        "brau_net_pp/attention4": _layer("BRAU-Net++", 96, 3, 56, 7, 2),
        "brau_net_pp/attention8": _layer("BRAU-Net++", 192, 6, 28, 7, 4),
        "brau_net_pp/attention16": _layer("BRAU-Net++", 384, 12, 14, 7, 8),
    }
