"""Three-dimensional baseline networks of MONAI.

Library: Project-MONAI/MONAI (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from medbench.core.errors import MedbenchError
from medbench.models.blocks.padded_network import DeeplySupervisedNetwork, PaddedNetwork


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
        in_channels,
        num_classes,
        channels=tuple(channels),
        strides=(2,) * (len(channels) - 1),
        num_res_units=num_res_units,
        norm=_norm(norm),
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
        in_channels,
        num_classes,
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
        in_channels,
        num_classes,
        feature_size=feature_size,
        depths=tuple(depths),
        num_heads=tuple(num_heads),
        window_size=window_size,
        dropout_path_rate=drop_path,
        use_checkpoint=use_checkpoint,
        use_v2=use_v2,
    )
    return PaddedNetwork(network, 32, 64)


def segresnet_ds(
    *,
    in_channels: int,
    num_classes: int,
    init_filters: int = 32,
    blocks_down: Sequence[int] = (1, 2, 2, 4, 4),
    norm: str = "instance",
    dsdepth: int = 4,
) -> DeeplySupervisedNetwork:
    """SegResNet with supervised levels, as its authors' winning programs have it.

    Args:
        in_channels: input channels.
        num_classes: output channels.
        init_filters: width at the full resolution; doubled at every further level.
        blocks_down: residual blocks of each level of the encoder.
        norm: ``instance``, ``batch`` or ``group``.
        dsdepth: levels of the decoder that give logits in training, the finest included; 1 is that alone.

    Raises:
        MedbenchError: ``model.option``.
    """
    from monai.networks.nets.segresnet_ds import SegResNetDS

    network = _built(
        "SegResNetDS",
        SegResNetDS,
        in_channels,
        num_classes,
        init_filters=init_filters,
        blocks_down=tuple(blocks_down),
        norm=_norm(norm),
        dsdepth=dsdepth,
    )
    return _deeply_supervised(network, len(blocks_down))


def dynunet(
    *,
    in_channels: int,
    num_classes: int,
    filters: Sequence[int] = (32, 64, 128, 256, 320),
    res_block: bool = False,
    deep_supervision: bool = True,
    deep_supr_num: int = 2,
    dropout: float = 0.0,
) -> DeeplySupervisedNetwork:
    """The U-Net of nnU-Net's form for isotropic data.

    Args:
        in_channels: input channels.
        num_classes: output channels.
        filters: widths from the full resolution on; every further level halves the sides.
        res_block: whether blocks are residual.
        deep_supervision: whether coarser levels give logits in training.
        deep_supr_num: number of those levels.
        dropout: rate.

    Raises:
        MedbenchError: ``model.option``.
    """
    from monai.networks.nets.dynunet import DynUNet

    levels = len(filters)
    network = _built(
        "DynUNet",
        DynUNet,
        in_channels,
        num_classes,
        kernel_size=[3] * levels,
        strides=[1] + [2] * (levels - 1),
        upsample_kernel_size=[2] * (levels - 1),
        filters=list(filters),
        res_block=res_block,
        deep_supervision=deep_supervision,
        deep_supr_num=deep_supr_num,
        dropout=dropout or None,
    )
    return _deeply_supervised(network, levels)


def mednext(
    *,
    in_channels: int,
    num_classes: int,
    init_filters: int = 32,
    kernel_size: int = 3,
    expansion: Sequence[int] = (2, 3, 4, 4),
    blocks: Sequence[int] = (3, 4, 8, 8),
    bottleneck_expansion: int = 4,
    bottleneck_blocks: int = 8,
    deep_supervision: bool = True,
) -> DeeplySupervisedNetwork:
    """MedNeXt of Roy et al. 2023, the medium form by default.

    Args:
        in_channels: input channels.
        num_classes: output channels.
        init_filters: width at the full resolution; doubled at every further level.
        kernel_size: of the depthwise convolutions.
        expansion: ratio of each level of the encoder; the decoder has the same from its coarsest level on.
        blocks: of each level of the encoder and, in reverse, of the decoder.
        bottleneck_expansion: ratio at the coarsest level.
        bottleneck_blocks: blocks there.
        deep_supervision: whether coarser levels give logits in training.

    Raises:
        MedbenchError: ``model.option``.
    """
    from monai.networks.nets.mednext import MedNeXt

    network = _built(
        "MedNeXt",
        MedNeXt,
        in_channels,
        num_classes,
        init_filters=init_filters,
        encoder_expansion_ratio=tuple(expansion),
        decoder_expansion_ratio=tuple(reversed(expansion)),
        bottleneck_expansion_ratio=bottleneck_expansion,
        kernel_size=kernel_size,
        deep_supervision=deep_supervision,
        use_residual_connection=True,
        blocks_down=tuple(blocks),
        blocks_bottleneck=bottleneck_blocks,
        blocks_up=tuple(reversed(blocks)),
    )
    return _deeply_supervised(network, len(blocks) + 1)


def unetr(
    *,
    in_channels: int,
    num_classes: int,
    image_size: int = 96,
    feature_size: int = 16,
    hidden_size: int = 768,
    mlp_dim: int = 3072,
    num_heads: int = 12,
    dropout_rate: float = 0.0,
) -> PaddedNetwork:
    """UNETR of Hatamizadeh et al. 2022, whose tokens have learnt places in windows of one size.

    Args:
        in_channels: input channels.
        num_classes: output channels.
        image_size: side of its windows in voxels, a multiple of 16; smaller windows are padded to it.
        feature_size: width at the full resolution.
        hidden_size: width of the tokens.
        mlp_dim: hidden width of the perceptrons.
        num_heads: attention heads.
        dropout_rate: rate.

    Raises:
        MedbenchError: ``model.option``.
    """
    from monai.networks.nets.unetr import UNETR

    if image_size < 16 or image_size % 16:
        raise MedbenchError(
            "model.option",
            f"UNETR: image_size={image_size} is no multiple of 16.",
            "Give 96, or another multiple of 16.",
        )
    network = _built(
        "UNETR",
        UNETR,
        in_channels,
        num_classes,
        img_size=(image_size,) * 3,
        feature_size=feature_size,
        hidden_size=hidden_size,
        mlp_dim=mlp_dim,
        num_heads=num_heads,
        dropout_rate=dropout_rate,
    )
    return PaddedNetwork(network, 1, image_size)


def _norm(name: str) -> str | tuple[str, dict[str, int]]:
    return ("group", {"num_groups": 8}) if name == "group" else name


def _deeply_supervised(network: nn.Module, levels: int) -> DeeplySupervisedNetwork:
    stride = 2 ** (levels - 1)
    return DeeplySupervisedNetwork(network, stride, 2 * stride)


def _built(
    title: str, kind: Callable[..., nn.Module], in_channels: int, num_classes: int, **options: Any
) -> nn.Module:
    """The network on the default device; MONAI reads values of tensors while it builds."""
    device = torch.get_default_device()
    options = {"spatial_dims": 3, "in_channels": in_channels, "out_channels": num_classes, **options}
    try:
        with torch.device("cpu"):
            return kind(**options).to(device)
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise MedbenchError(
            "model.option", f"{title} cannot be built with {options}: {error}", "Change the options."
        ) from error
