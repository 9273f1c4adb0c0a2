"""Three-dimensional baseline networks of MONAI.

Library: Project-MONAI/MONAI (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from medbench.core.errors import MedbenchError
from medbench.models.blocks.padded_network import PaddedNetwork


def unet(
    *,
    in_channels: int,
    num_classes: int,
    channels: Sequence[int] = (16, 32, 64, 128, 256),
    num_res_units: int = 2,
    norm: str = "instance",
    dropout: float = 0.0,
) -> PaddedNetwork:
    """The residual U-Net of Kerfoot et al. 2019.

    Args:
        in_channels: input channels.
        num_classes: output channels.
        channels: widths from the full resolution on; every further level halves the sides.
        num_res_units: convolutions of a residual block; 0 has plain ones.
        norm: ``instance``, ``batch`` or ``group``.
        dropout: rate.

    Raises:
        MedbenchError: ``model.option``.
    """
    from monai.networks.nets.unet import UNet

    network = _built(
        "U-Net",
        UNet,
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=num_classes,
        channels=tuple(channels),
        strides=(2,) * (len(channels) - 1),
        num_res_units=num_res_units,
        norm=("group", {"num_groups": 8}) if norm == "group" else norm,
        dropout=dropout,
    )
    stride = 2 ** (len(channels) - 1)
    return PaddedNetwork(network, stride, 2 * stride)


def segresnet(
    *,
    in_channels: int,
    num_classes: int,
    init_filters: int = 16,
    blocks_down: Sequence[int] = (1, 2, 2, 4),
    blocks_up: Sequence[int] = (1, 1, 1),
    dropout_prob: float | None = 0.2,
) -> PaddedNetwork:
    """The encoder and decoder of Myronenko 2018, without its variational branch.

    Args:
        in_channels: input channels.
        num_classes: output channels.
        init_filters: width at the full resolution, a multiple of 8; doubled at every further level.
        blocks_down: residual blocks of each level of the encoder.
        blocks_up: of each level of the decoder, one fewer.
        dropout_prob: rate after the first convolution, or ``None``.

    Raises:
        MedbenchError: ``model.option``.
    """
    from monai.networks.nets.segresnet import SegResNet

    network = _built(
        "SegResNet",
        SegResNet,
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=num_classes,
        init_filters=init_filters,
        blocks_down=tuple(blocks_down),
        blocks_up=tuple(blocks_up),
        dropout_prob=dropout_prob,
    )
    return PaddedNetwork(network, 2 ** (len(blocks_down) - 1))


def swinunetr(
    *,
    in_channels: int,
    num_classes: int,
    feature_size: int = 48,
    depths: Sequence[int] = (2, 2, 2, 2),
    num_heads: Sequence[int] = (3, 6, 12, 24),
    window_size: int = 7,
    drop_path: float = 0.0,
    use_checkpoint: bool = False,
    use_v2: bool = False,
) -> PaddedNetwork:
    """Swin UNETR of Hatamizadeh et al. 2022.

    Args:
        in_channels: input channels.
        num_classes: output channels.
        feature_size: width of the first level, a multiple of 12.
        depths: blocks of each of the four stages, even numbers.
        num_heads: attention heads of each.
        window_size: side of an attention window in tokens.
        drop_path: rate at which residual branches are left out in training.
        use_checkpoint: compute the encoder again in the backward pass instead of keeping it.
        use_v2: a residual convolution before every stage.

    Raises:
        MedbenchError: ``model.option``.
    """
    from monai.networks.nets.swin_unetr import SwinUNETR

    network = _built(
        "Swin UNETR",
        SwinUNETR,
        in_channels=in_channels,
        out_channels=num_classes,
        feature_size=feature_size,
        depths=tuple(depths),
        num_heads=tuple(num_heads),
        window_size=window_size,
        dropout_path_rate=drop_path,
        use_checkpoint=use_checkpoint,
        use_v2=use_v2,
    )
    return PaddedNetwork(network, 32, 64)


def _built(title: str, kind: Callable[..., nn.Module], **options: Any) -> nn.Module:
    """The network on the default device; MONAI reads values of tensors while it builds."""
    device = torch.get_default_device()
    try:
        with torch.device("cpu"):
            return kind(**options).to(device)
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise MedbenchError(
            "model.option", f"{title} cannot be built with {options}: {error}", "Change the options."
        ) from error
