"""The U-Net that nnU-Net plans for square images or cubic volumes, as a plain network.

Paper: Isensee et al. 2021, doi 10.1038/s41592-020-01008-z. Library: MIC-DKFZ/nnUNet (Apache-2.0), whose own
functions decide the topology here. What ``medbench train -m nnunet`` trains is planned from the data instead.
"""

from __future__ import annotations

import importlib.util
import math
from typing import Literal

from medbench.core.errors import MedbenchError
from medbench.models.blocks.padded_network import PaddedNetwork
from medbench.models.options import refuse_options

Configuration = Literal["2d", "3d_fullres", "3d_lowres"]
CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres")
SMALLEST_SIDE = 4
WIDEST = {2: 512, 3: 320}


def require_nnunet() -> None:
    """Refuse to go on where the library is not installed.

    Raises:
        MedbenchError: ``nnunet.missing``.
    """
    if importlib.util.find_spec("nnunetv2") is None:
        raise MedbenchError(
            "nnunet.missing",
            "nnU-Net is not installed.",
            "Install it with the extra 'nnunet': pip install 'medbench[nnunet]'.",
        )


def planned_unet(
    *,
    in_channels: int,
    num_classes: int,
    configuration: Configuration | None = None,
    image_size: int = 512,
    base_features: int = 32,
) -> PaddedNetwork:
    """nnU-Net's plain convolutional U-Net for isotropic data of one size.

    Args:
        in_channels: input channels.
        num_classes: output channels.
        configuration: ``2d``, the default, or one of those in three dimensions.
        image_size: side of the patch in pixels or voxels, which decides the number of levels.
        base_features: width at the full resolution; it doubles at every level up to 512 (320 in 3-D).

    Raises:
        MedbenchError: ``nnunet.missing`` or ``model.option``.
    """
    refuse_options(
        "nnunet",
        (
            (
                configuration not in (None, *CONFIGURATIONS),
                f"configuration={configuration} is none of {', '.join(CONFIGURATIONS)}",
            ),
            (image_size < 2 * SMALLEST_SIDE, f"image_size={image_size} is below {2 * SMALLEST_SIDE}"),
            (base_features < 1, f"base_features={base_features} is not positive"),
        ),
    )
    require_nnunet()
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
    from torch import nn

    dims = 2 if configuration in (None, "2d") else 3
    topology = get_pool_and_conv_props((1.0,) * dims, (image_size,) * dims, SMALLEST_SIDE, 999999)
    strides, kernels = topology[1], topology[2]
    stages = len(strides)
    network = PlainConvUNet(
        input_channels=in_channels,
        n_stages=stages,
        features_per_stage=[min(WIDEST[dims], base_features * 2**stage) for stage in range(stages)],
        conv_op=nn.Conv2d if dims == 2 else nn.Conv3d,
        kernel_sizes=kernels,
        strides=strides,
        n_conv_per_stage=2,
        num_classes=num_classes,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )
    stride = math.prod(stage[0] for stage in strides)
    return PaddedNetwork(network, stride, 2 * stride)
