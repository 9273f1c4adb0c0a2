"""Reconstruction of a masked image from what is left of it and from its report."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.cm_cgns.image_encoder import Encoder
from medbench.models.options import ProgramForm, refuse_options
from medbench.models.renaming import rename_parameters

KEPT = 0.5
WEIGHT = 10.0
WIDTHS: Mapping[str, tuple[int, ...]] = {"resnet_50": (512, 256, 128, 64), "vit_base": (512, 256, 128)}
PASSES = 6


class ImageDecoder(nn.Module):
    """Reconstructs an image from half of its local features and the text as each place sees it.

    Args:
        encoder: whose features: ``resnet_50`` concatenates both sides, ``vit_base`` lets one attend to the
            other and passes six times through one layer of a transformer.
        form: ``published`` hides channels of the ResNet's features instead of places (quirk L4), cannot give
            negative pixels (L5), and lets the transformer attend among the images of a batch instead of the
            places of an image (L6); ``corrected`` does none of it.
        width: channels of the features.
        grid: places along a side; 0 for 7, and for 14 of ``vit_base``.
        widths: channels after each enlargement but the last; the paper's if empty.
        dropout: of the transformer, in training.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        *,
        encoder: Encoder = "resnet_50",
        form: ProgramForm = "corrected",
        width: int = 768,
        grid: int = 0,
        widths: Sequence[int] = (),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        refuse_options(
            "cm_cgns.image_decoder",
            (
                (encoder not in WIDTHS, f"encoder={encoder} is none of {', '.join(WIDTHS)}"),
                (form not in ("corrected", "published"), f"form={form} is neither corrected nor published"),
                (width < 8 or width % 8 > 0, f"width={width} is no multiple of 8"),
                (
                    len(widths) not in (0, len(WIDTHS.get(encoder, ()))) or min(widths, default=1) < 1,
                    f"widths={list(widths)} are not {len(WIDTHS.get(encoder, ()))} numbers of channels",
                ),
                (grid < 0, f"grid={grid} is negative"),
            ),
        )
        self.encoder, self.form = encoder, form
        self.grid = grid or {"resnet_50": 7, "vit_base": 14}[encoder]
        self.transformer: nn.TransformerDecoderLayer | None = None
        if encoder == "vit_base":
            self.positional_encoding = nn.Parameter(torch.zeros(self.grid**2, width))
            self.fusion = nn.MultiheadAttention(width, 8, batch_first=True)
            self.transformer = nn.TransformerDecoderLayer(
                width, 8, 2048, dropout, batch_first=form == "corrected"
            )
        channels = (width if encoder == "vit_base" else 2 * width, *(widths or WIDTHS[encoder]), 3)
        self.head = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(channels)
        )

    def mask_shape(self, batch: int, width: int) -> tuple[int, int, int]:
        """Shape of a mask of features ``(batch, places, width)``."""
        by_channel = self.form == "published" and self.encoder == "resnet_50"
        return (batch, 1, width) if by_channel else (batch, self.grid**2, 1)

    def draw_mask(self, batch: int, width: int, seed: int) -> Tensor:
        """A mask with half of the features, by its seed alone.

        Args:
            batch: images.
            width: channels of the features.
            seed: of the draw.
        """
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(self.mask_shape(batch, width), generator=generator) < KEPT

    def forward(self, places: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """The reconstruction ``(N, 3, 32 grid, 32 grid)``, from -1 to 1 (of ``vit_base`` 16 grid).

        Args:
            places: ``(N, places, width)``, local features.
            text: the same shape, the text as each place sees it.
            mask: which features stay; :meth:`draw_mask`.
        """
        visible = places * mask.to(places.dtype)
        if self.transformer is None:
            features = torch.cat([visible, text], dim=2)
        else:
            features, _ = self.fusion(visible / KEPT, text, text, need_weights=False)
            memory = features = features + self.positional_encoding
            for _ in range(PASSES):
                features = self.transformer(features, memory)
        maps = features.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        for number, layer in enumerate(self.head, 1):
            maps = layer(maps)
            if number < len(self.head) or self.form == "published":
                maps = maps.relu()
            maps = functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=True)
        return maps.tanh()


def reconstruction_loss(reconstruction: Tensor, images: Tensor) -> Tensor:
    """Ten times the mean absolute difference of images from -1 to 1."""
    return WEIGHT * functional.l1_loss(reconstruction, images)


def decoder_places(encoder: str, prefix: str = "") -> tuple[tuple[str, str], ...]:
    """Where the authors' parameters of the decoder belong; a shared layer takes those of its last name."""
    step = "0|3|6|9|12"
    heads = tuple(
        (rf"image_decoder\.output_head\.{number}\.", f"{prefix}head.{place}.")
        for place, number in enumerate(step.split("|"))
    )
    if encoder == "resnet_50":
        return heads
    return (
        *heads,
        (r"image_decoder\.positional_encoding", f"{prefix}positional_encoding"),
        (r"image_decoder\.fusion_attention\.multihead_attn\.", f"{prefix}fusion."),
        (r"image_decoder\.transformer_decoder\.layers\.\d+\.", f"{prefix}transformer."),
    )


UNUSED_BY_RESNET = r"image_decoder\.(positional_encoding|fusion_attention|transformer_decoder)"


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of the authors' decoder to ours: 10 of 123 with the ResNet-50, as the others are unused.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    convolutional = "image_decoder.output_head.12.weight" in authors_state_dict
    return rename_parameters(
        authors_state_dict,
        "CM-CGNS image decoder",
        decoder_places("resnet_50" if convolutional else "vit_base"),
        skip=UNUSED_BY_RESNET if convolutional else None,
    )
