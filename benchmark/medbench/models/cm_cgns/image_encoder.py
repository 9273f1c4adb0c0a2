"""The image encoder of CM-CGNS: a ResNet-50 with an attention pool, or a ViT-B/16."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from timm.models.resnet import Bottleneck, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from medbench.models.cm_cgns.attention_pool import AttentionPool
from medbench.models.options import ProgramForm, refuse_options
from medbench.models.renaming import rename_parameters

Encoder = Literal["resnet_50", "vit_base"]
STRIDES = {"resnet_50": 32, "vit_base": 16}


@dataclasses.dataclass(frozen=True, slots=True)
class ImageEncoderSize:
    """Sizes of an image encoder; the defaults are the paper's.

    Attributes:
        encoder: ``resnet_50`` or ``vit_base``.
        image_size: side of the images in pixels, a multiple of 32 (of 16 for ``vit_base``).
        widths: channels of the ResNet's four stages before their expansion by 4.
        depths: blocks of the ResNet's four stages.
        embed_dim: channels of the transformer.
        depth: blocks of the transformer.
        num_heads: of its attention.
    """

    encoder: Encoder = "resnet_50"
    image_size: int = 224
    widths: Sequence[int] = (64, 128, 256, 512)
    depths: Sequence[int] = (3, 4, 6, 3)
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12

    @property
    def width(self) -> int:
        """Channels of the features."""
        return 4 * self.widths[-1] if self.encoder == "resnet_50" else self.embed_dim

    @property
    def grid(self) -> int:
        """Places of the local features along a side."""
        return self.image_size // STRIDES[self.encoder]

    def check(self, model: str) -> None:
        """Refuse sizes that do not go together.

        Raises:
            MedbenchError: ``model.option``.
        """
        refuse_options(
            model,
            (
                (self.encoder not in STRIDES, f"encoder={self.encoder} is none of {', '.join(STRIDES)}"),
                (
                    self.image_size < 32 or self.image_size % STRIDES.get(self.encoder, 32) > 0,
                    f"image_size={self.image_size} is no multiple of {STRIDES.get(self.encoder, 32)}",
                ),
                (
                    len(self.widths) != 4 or len(self.depths) != 4 or min(*self.widths, *self.depths) < 1,
                    f"widths={list(self.widths)} and depths={list(self.depths)} are not four numbers each",
                ),
                (
                    self.embed_dim % self.num_heads > 0 or self.depth < 1,
                    f"num_heads={self.num_heads} does not divide embed_dim={self.embed_dim}, or depth is 0",
                ),
            ),
        )


class ImageEncoder(nn.Module):
    """Global and local features of images.

    Args:
        in_channels: input channels.
        form: ``published`` views the ResNet's last map as tokens (quirk L1); ``corrected`` takes a token for
            each of its places.
        pool: whether the ResNet's global feature is by attention; else the map's mean, as in the program's
            classifier.
        size: see :class:`ImageEncoderSize`.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        form: ProgramForm = "corrected",
        pool: bool = True,
        **size: object,
    ) -> None:
        super().__init__()
        self.size = ImageEncoderSize(**size)  # type: ignore[arg-type]
        self.size.check("cm_cgns.image_encoder")
        self.form = form
        self.backbone: nn.Module
        self.pool: AttentionPool | None = None
        if self.size.encoder == "resnet_50":
            self.backbone = ResNet(
                Bottleneck,  # type: ignore[arg-type]
                tuple(self.size.depths),
                num_classes=0,
                in_chans=in_channels,
                global_pool="",
                channels=tuple(self.size.widths),
            )
            if pool:
                self.pool = AttentionPool(self.size.width, 8, self.size.grid**2)
        else:
            self.backbone = VisionTransformer(
                img_size=self.size.image_size,
                patch_size=STRIDES["vit_base"],
                in_chans=in_channels,
                num_classes=0,
                global_pool="",
                embed_dim=self.size.embed_dim,
                depth=self.size.depth,
                num_heads=self.size.num_heads,
            )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features of images ``(N, in_channels, image_size, image_size)``.

        Returns:
            Global features ``(N, width)`` and local ones ``(N, places, width)``, row by row.
        """
        if self.size.encoder == "vit_base":
            tokens = self.backbone(images)
            return tokens[:, 0], tokens[:, 1:]
        features = self.backbone.forward_features(images)  # type: ignore[operator]
        places = features.flatten(2).transpose(1, 2)
        whole = places.mean(dim=1) if self.pool is None else self.pool(places)
        if self.form == "published":
            return whole, features.reshape(len(features), -1, features.shape[1])
        return whole, places


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of the authors' image encoder, 327 of the ResNet-50 or 150 of the ViT-B/16, to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    names = r"(conv1|bn1|layer\d)\."
    transformer = r"(cls_token|pos_embed|patch_embed\.|blocks\.|norm\.)"
    places = (
        (r"(image_encoder\.)?pool\.", "pool."),
        (r"(image_encoder\.)?model\.", "backbone."),
        (rf"(?={names}|{transformer})", "backbone."),
    )
    return rename_parameters(authors_state_dict, "CM-CGNS image encoder", places)
