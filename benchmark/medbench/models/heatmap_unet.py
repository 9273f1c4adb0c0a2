"""The heat-map U-Net of the starting kit of IUGC 2025: one map a landmark at an eighth of the image's sides.

Source: 0oTyTo0/IUGC2025@bc8fce2 (read for facts): 64 to 1024 channels on five levels, two 3 × 3 convolutions
a level with bias, batch normalisation and ReLU, max pooling, transposed convolutions of 2 × 2, 1 × 1 to the
maps, which are resized bilinearly with aligned corners.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.heatmap_readout import READOUTS, Readout, read_out
from medbench.models.options import refuse_options

LEVELS = 5
STRIDE = 8


class DoubleConvolution(nn.Sequential):
    """Two 3 × 3 convolutions with batch normalisation and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers += [
                nn.Conv2d(channels, out_channels, 3, padding=1),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class HeatmapUNet(nn.Module):
    """Heat maps of landmarks while it is trained, points of them otherwise.

    Args:
        in_channels: channels of the input ``(N, in_channels, H, W)``; sides are padded to multiples of 16.
        num_classes: landmarks.
        base_features: channels at the full resolution.
        readout: how a point is read from its map; see :mod:`medbench.models.blocks.heatmap_readout`.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 3,
        *,
        base_features: int = 64,
        readout: Readout = "subpixel",
    ) -> None:
        refuse_options(
            "heatmap_unet",
            (
                (base_features < 1, f"base_features={base_features} is not positive"),
                (readout not in READOUTS, f"readout={readout} is none of {', '.join(READOUTS)}"),
            ),
        )
        super().__init__()
        self.readout = readout
        widths = [base_features << level for level in range(LEVELS)]
        self.encoders = nn.ModuleList(
            DoubleConvolution(before, after)
            for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.enlargers = nn.ModuleList(
            nn.ConvTranspose2d(width, width // 2, 2, stride=2) for width in widths[:0:-1]
        )
        self.decoders = nn.ModuleList(DoubleConvolution(width, width // 2) for width in widths[:0:-1])
        self.head = nn.Conv2d(base_features, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Heat maps ``(N, landmarks, H / 8, W / 8)`` in training, else points ``(N, landmarks, 2)``.

        Points are x and y as shares of the image's width and height.
        """
        maps = self.heatmaps(images)
        return maps if self.training else read_out(maps, self.readout, (images.shape[2], images.shape[3]))

    def heatmaps(self, images: Tensor) -> Tensor:
        """Heat maps ``(N, landmarks, H / 8, W / 8)``, sides rounded up."""
        height, width = images.shape[2], images.shape[3]
        divisor = 1 << (LEVELS - 1)
        features = functional.pad(images, (0, -width % divisor, 0, -height % divisor))
        skips: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            features = encoder(functional.max_pool2d(features, 2) if level else features)
            skips.append(features)
        for enlarger, decoder, skip in zip(self.enlargers, self.decoders, skips[-2::-1], strict=True):
            features = decoder(torch.cat([skip, enlarger(features)], dim=1))
        maps = self.head(features)[..., :height, :width]
        return functional.interpolate(
            maps, size=(-(-height // STRIDE), -(-width // STRIDE)), mode="bilinear", align_corners=True
        )
