"""MedFormer as its formulas read: what the classifier and the UPerNet are measured against.

The paper and the authors' programs (XiaZunhui/MedFormer@3ede415) step by step, on ``(N, C, H, W)`` maps, with
parameters under the authors' names; the blocks are those of ``models_plain_dssau_net.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models import create_model
from medbench.models.medformer import classifier_official_keys, official_keys
from models_pair import Pair
from models_plain_dssau_net import reductions, stages

DIMS = {"tiny": (32, 64, 128, 256), "small": (64, 128, 256, 512), "base": (96, 192, 384, 768)}


class PlainClassifier(nn.Module):
    def __init__(self, dims: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.downsample_layers = reductions(dims)
        self.stages = stages(dims, 7, 0.1)
        self.norm = nn.BatchNorm2d(dims[3])
        self.head = nn.Linear(dims[3], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        for reduce, stage in zip(self.downsample_layers, self.stages, strict=True):
            images = stage(reduce(images))
        return self.head(self.norm(images).flatten(2).mean(dim=-1))


class ConvReLU(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).relu()


def _enlarge(images: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(images, like.shape[2:], mode="bilinear")


class PlainUPerNet(nn.Module):
    def __init__(self, dims: Sequence[int], n_win: int, channels: int, num_classes: int) -> None:
        super().__init__()
        norms = nn.ModuleList(nn.LayerNorm(dim, eps=1e-6) for dim in dims)
        parts = {
            "downsample_layers": reductions(dims),
            "stages": stages(dims, n_win, 0.2),
            "extra_norms": norms,
        }
        self.MedFormer_mm = nn.ModuleDict(parts)
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(side), ConvReLU(dims[3], channels)) for side in (1, 2, 3, 6)
        )
        self.bottleneck = ConvReLU(dims[3] + 4 * channels, channels, 3)
        self.lateral_convs = nn.ModuleList(ConvReLU(dim, channels) for dim in dims[:3])
        self.fpn_convs = nn.ModuleList(ConvReLU(channels, channels, 3) for _ in range(3))
        self.fpn_bottleneck = ConvReLU(4 * channels, channels, 3)
        self.dropout = nn.Dropout2d(0.1)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        features, maps = images, []
        for reduce, stage, norm in zip(*self.MedFormer_mm.values(), strict=True):
            features = stage(reduce(features))
            maps.append(norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        pooled = [_enlarge(part(maps[3]), maps[3]) for part in self.psp_modules]
        laterals = [layer(part) for layer, part in zip(self.lateral_convs, maps[:3], strict=True)]
        laterals.append(self.bottleneck(torch.cat([maps[3], *pooled], dim=1)))
        for level in (3, 2, 1):
            laterals[level - 1] = laterals[level - 1] + _enlarge(laterals[level], laterals[level - 1])
        outputs = [layer(part) for layer, part in zip(self.fpn_convs, laterals[:3], strict=True)]
        outputs.append(laterals[3])
        joined = torch.cat([_enlarge(output, outputs[0]) for output in outputs], dim=1)
        return _enlarge(self.conv_seg(self.dropout(self.fpn_bottleneck(joined))), images)


def _classifier(size: str) -> Pair:
    return Pair(
        f"MedFormer-{size.title()} classifier 224×224",
        functools.partial(create_model, f"medformer_{size}.classifier", num_classes=7),
        functools.partial(PlainClassifier, DIMS[size], 7),
        (3, 224, 224),
        classifier_official_keys,
        num_classes=7,
        dense=False,
    )


def pairs() -> dict[str, Pair]:
    """The classifiers and the UPerNet for ISIC-2018, at the authors' input sizes."""
    return {
        **{f"medformer_classifier.{size}": _classifier(size) for size in DIMS},
        "medformer_upernet": Pair(
            "MedFormer-Small with UPerNet 256×256",
            functools.partial(create_model, "medformer_small", num_classes=2),
            functools.partial(PlainUPerNet, DIMS["small"], 8, 64, 2),
            (3, 256, 256),
            official_keys,
            num_classes=2,
        ),
    }
