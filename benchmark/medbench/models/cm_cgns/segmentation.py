"""CM-CGNS, arXiv 2506.11674: the segmentation networks that evaluate its pre-training on chest X-rays.

The authors' code (violet-42/CM-CGNS@4e75806, no licence stated) was read for facts. U-Net takes its
pre-training's ResNet-50, SETR its ViT-B/16. There the encoder's weights are fixed and the decoder is trained.
Their program has one logit a pixel and a threshold, ours a logit for every label.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.image_heads import make_image_head, with_image_logits
from medbench.models.blocks.padded_network import PaddedNetwork
from medbench.models.options import refuse_options
from medbench.models.renaming import rename_parameters
from medbench.models.smp import smp_network

PATCH = 16
WIDTHS = (64, 128, 256, 512)
DEPTHS = (3, 4, 6, 3)
_SETR_PLACES = (
    (r"encoder_2d\.bert_model\.", "encoder."),
    (r"encoder_2d\.final_dense\.", "projection."),
    (r"decoder_2d\.decoder_1\.", "decoder.0."),
    (r"decoder_2d\.decoder_2\.", "decoder.1."),
    (r"decoder_2d\.decoder_3\.", "decoder.2."),
    (r"decoder_2d\.decoder_4\.", "decoder.3."),
    (r"decoder_2d\.final_out\.", "segmentation_head."),
)


def unet(
    in_channels: int = 3,
    num_classes: int = 2,
    *,
    num_image_classes: int | None = None,
    encoder_weights: str | Path | None = None,
    widths: Sequence[int] = WIDTHS,
    depths: Sequence[int] = DEPTHS,
) -> PaddedNetwork:
    """U-Net on a ResNet-50, as the authors take it from segmentation-models-pytorch, or on a smaller ResNet.

    Args:
        in_channels: input channels.
        num_classes: labels with the background; the authors have 1.
        num_image_classes: adds the library's head for classes of the whole image.
        encoder_weights: path of a pre-trained encoder's ``state_dict`` in the library's names.
        widths: channels of the ResNet's four stages before their expansion by 4.
        depths: blocks of its four stages.

    Raises:
        MedbenchError: ``model.option``, or as :func:`medbench.models.smp.smp_network`.
    """
    refuse_options(
        "cm_cgns",
        (
            (
                len(widths) != 4 or len(depths) != 4 or min(*widths, *depths) < 1,
                f"widths={list(widths)} and depths={list(depths)} are not four numbers each",
            ),
        ),
    )
    as_published = (tuple(widths), tuple(depths)) == (WIDTHS, DEPTHS)
    sizes: dict[str, Any] = {} if as_published else {"channels": tuple(widths), "layers": tuple(depths)}
    return smp_network(
        "unet",
        in_channels=in_channels,
        num_classes=num_classes,
        num_image_classes=num_image_classes,
        encoder="resnet50" if as_published else "tu-resnet50",
        encoder_weights=encoder_weights,
        **sizes,
    )


class SETR(nn.Module):
    """SETR with progressive enlargement on a vision transformer.

    The transformer sees images of ``image_size``: others are resized to it, and their logits back.

    Args:
        in_channels: input channels.
        num_classes: labels with the background; the authors have 1.
        image_size: side that the transformer sees in pixels, a multiple of 16.
        embed_dim: channels of the transformer.
        depth: its blocks.
        num_heads: of its attention.
        decoder_channels: after each enlargement by 2.
        num_image_classes: classes of the whole image, by a head of ours.
        image_head: input of that head, ``segmentation`` or ``encoder``.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        image_size: int = 224,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        decoder_channels: Sequence[int] = (512, 256, 128, 64),
        num_image_classes: int | None = None,
        image_head: str = "segmentation",
    ) -> None:
        super().__init__()
        refuse_options(
            "cm_cgns.setr",
            (
                (
                    image_size < PATCH or image_size % PATCH > 0,
                    f"image_size={image_size} is no multiple of 16",
                ),
                (depth < 1, f"depth={depth} is not positive"),
                (
                    num_heads < 1 or embed_dim < 1 or embed_dim % num_heads > 0,
                    f"num_heads={num_heads} does not divide embed_dim={embed_dim}",
                ),
                (
                    len(decoder_channels) != 4 or min(decoder_channels) < 1,
                    f"decoder_channels={list(decoder_channels)} are not four numbers of channels",
                ),
            ),
        )
        self.image_size = image_size
        self.encoder = VisionTransformer(
            img_size=image_size,
            patch_size=PATCH,
            in_chans=in_channels,
            num_classes=0,
            global_pool="",
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
        )
        self.projection = nn.Linear(embed_dim, embed_dim)
        widths = (embed_dim, *decoder_channels)
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in itertools.pairwise(widths)
        )
        self.segmentation_head = nn.Conv2d(widths[-1], num_classes, 3, padding=1)
        self.image_head = make_image_head(
            "cm_cgns.setr", image_head, embed_dim, num_classes, num_image_classes
        )

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits ``(N, num_classes, H, W)`` of images, and image logits with an image-level head."""
        sides = images.shape[-2:]
        tokens = self.projection(self.encoder(_resized(images, (self.image_size,) * 2))[:, 1:])
        grid = self.image_size // PATCH
        deepest = tokens.unflatten(1, (grid, grid))
        features = deepest.permute(0, 3, 1, 2)
        for step in self.decoder:
            features = functional.interpolate(
                step(features), scale_factor=2, mode="bilinear", align_corners=True
            )
        logits = _resized(self.segmentation_head(features), sides)
        return with_image_logits(self.image_head, logits, deepest)


def _resized(images: Tensor, sides: Sequence[int]) -> Tensor:
    if tuple(images.shape[-2:]) == tuple(sides):
        return images
    return functional.interpolate(images, size=tuple(sides), mode="bilinear", align_corners=False)


def unet_official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The 380 entries of the authors' U-Net, which are the library's, to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    places = tuple((rf"{name}\.", f"{name}.") for name in ("encoder", "decoder", "segmentation_head"))
    return rename_parameters(authors_state_dict, "CM-CGNS with U-Net", places)


def setr_official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The 182 entries of the authors' SETR to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    return rename_parameters(authors_state_dict, "CM-CGNS with SETR", _SETR_PLACES)
