"""The network that CM-CGNS trains on pairs of image and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from medbench.models.cm_cgns.alignment import ALIGNMENT_PLACES, Alignment, Guidance
from medbench.models.cm_cgns.image_decoder import (
    UNUSED_BY_RESNET,
    ImageDecoder,
    decoder_places,
    reconstruction_loss,
)
from medbench.models.cm_cgns.image_encoder import ImageEncoder
from medbench.models.cm_cgns.text_encoder import TextEncoder, gather_sentences
from medbench.models.options import ProgramForm, refuse_options
from medbench.models.renaming import rename_parameters


class Pairs(NamedTuple):
    """A batch of images and reports.

    Attributes:
        images: ``(N, 3, side, side)`` from -1 to 1.
        token_ids: ``(N, tokens)``.
        present: ``(N, tokens)``, 1 where a token counts.
        sentence_index: ``(N, tokens)``, number of a token's sentence from 1 on, -1 outside.
    """

    images: Tensor
    token_ids: Tensor
    present: Tensor
    sentence_index: Tensor


class PairLosses(NamedTuple):
    """Losses of a batch; the training takes their sum.

    Attributes:
        image: of the places of the images.
        text: of the sentences.
        whole: of whole images and reports.
        reconstruction: of masked images; zero in the first stage.
    """

    image: Tensor
    text: Tensor
    whole: Tensor
    reconstruction: Tensor


class PretrainingNetwork(nn.Module):
    """Image encoder, text encoder, projections, alignment and image decoder.

    Args:
        in_channels: channels of the images.
        form: ``published`` keeps the authors' quirks L1 to L6, ``corrected`` has none of them.
        guidance: as :class:`medbench.models.cm_cgns.alignment.Alignment`.
        reconstruct: whether there is an image decoder, for the second stage.
        width: channels in which both sides are compared, and of the text.
        num_clusters: of the sentences.
        vocabulary_size: tokens of the vocabulary.
        text_depth: layers of the text encoder.
        text_heads: of its attention.
        text_hidden: channels of its perceptron.
        max_tokens: longest report in tokens that the text encoder can take.
        decoder_widths: channels of the image decoder; the paper's if empty.
        dropout: of the text encoder, and of the image decoder's transformer.
        size: of the image encoder; as :class:`medbench.models.cm_cgns.image_encoder.ImageEncoderSize`.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        form: ProgramForm = "corrected",
        guidance: Guidance = "clusters",
        reconstruct: bool = True,
        width: int = 768,
        num_clusters: int = 128,
        vocabulary_size: int = 28996,
        text_depth: int = 12,
        text_heads: int = 12,
        text_hidden: int = 3072,
        max_tokens: int = 512,
        decoder_widths: Sequence[int] = (),
        dropout: float = 0.1,
        **size: object,
    ) -> None:
        super().__init__()
        refuse_options(
            "cm_cgns.pretraining",
            (
                (
                    reconstruct and guidance == "none",
                    "reconstruct=True needs the places that guidance=none leaves out",
                ),
            ),
        )
        self.image_encoder = ImageEncoder(in_channels, form=form, **size)  # type: ignore[arg-type]
        self.text_encoder = TextEncoder(
            vocabulary_size=vocabulary_size,
            width=width,
            depth=text_depth,
            num_heads=text_heads,
            hidden_width=text_hidden,
            max_tokens=max_tokens,
            dropout=dropout,
        )
        sizes = self.image_encoder.size
        self.global_image_projection = nn.Linear(sizes.width, width)
        self.local_image_projection = nn.Linear(sizes.width, width)
        self.local_text_projection = nn.Linear(width, width)
        for projection in (
            self.global_image_projection,
            self.local_image_projection,
            self.local_text_projection,
        ):
            nn.init.normal_(projection.weight, std=projection.in_features**-0.5)
        self.alignment = Alignment(form=form, guidance=guidance, num_clusters=num_clusters, width=width)
        self.image_decoder: ImageDecoder | None = None
        if reconstruct:
            self.image_decoder = ImageDecoder(
                encoder=sizes.encoder,
                form=form,
                width=width,
                grid=sizes.grid,
                widths=decoder_widths,
                dropout=dropout,
            )

    def encode_images(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Whole images ``(N, width)`` and their places ``(N, places, width)``, unit length."""
        whole, places = self.image_encoder(images)
        return (
            functional.normalize(self.global_image_projection(whole), dim=-1),
            functional.normalize(self.local_image_projection(places), dim=-1),
        )

    def encode_sentences(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Sentences ``(N, sentences, width)``, means of unit vectors, and which of them are there."""
        tokens = self.local_text_projection(self.text_encoder(pairs.token_ids, pairs.present))
        return gather_sentences(functional.normalize(tokens, dim=-1), pairs.sentence_index)

    def encode_reports(self, pairs: Pairs) -> Tensor:
        """Whole reports ``(N, width)``, unit length; the images are not looked at."""
        return self.alignment.whole_reports(*self.encode_sentences(pairs))

    def forward(self, pairs: Pairs, mask: Tensor | None = None) -> PairLosses:
        """Losses of a batch.

        Args:
            pairs: the batch.
            mask: which local features the reconstruction keeps; ``None`` in the first stage.
        """
        whole, places = self.encode_images(pairs.images)
        losses = self.alignment(whole, places, *self.encode_sentences(pairs))
        reconstruction = losses.whole.new_zeros(())
        if mask is not None and self.image_decoder is not None:
            output = self.image_decoder(places, losses.text_to_image, mask)
            reconstruction = reconstruction_loss(output, pairs.images)
        return PairLosses(losses.image, losses.text, losses.whole, reconstruction)


_UNUSED = r"global_text_projection|projector|prototype"


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of the authors' whole network to ours, less those that it never computes with.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    convolutional = "image_decoder.output_head.12.weight" in authors_state_dict
    places = (
        (r"image_encoder\.model\.", "image_encoder.backbone."),
        (r"image_encoder\.pool\.", "image_encoder.pool."),
        (r"text_encoder\.encoder\.", "text_encoder.encoder."),
        (r"(?=(global_image|local_image|local_text)_projection\.)", ""),
        *((pattern, f"alignment.{name}") for pattern, name in ALIGNMENT_PLACES),
        *decoder_places("resnet_50" if convolutional else "vit_base", "image_decoder."),
    )
    skip = f"{_UNUSED}|{UNUSED_BY_RESNET}" if convolutional else _UNUSED
    return rename_parameters(authors_state_dict, "CM-CGNS", places, skip=skip)
