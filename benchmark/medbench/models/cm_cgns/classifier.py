"""A linear classifier on the global features of the image encoder, as CM-CGNS is judged by."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from medbench.models.cm_cgns.image_encoder import ImageEncoder
from medbench.models.renaming import rename_parameters


class Classifier(nn.Module):
    """Image logits by one linear layer on the encoder's global features.

    Args:
        in_channels: input channels.
        num_classes: classes of whole images.
        pool: whether the ResNet's global feature is by attention; the authors' program, whose wrapper is
            missing, can only have had the map's mean.
        frozen: whether the encoder stays as it is, in evaluation mode: a linear probe.
        size: as :class:`medbench.models.cm_cgns.image_encoder.ImageEncoderSize`.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 5,
        *,
        pool: bool = False,
        frozen: bool = False,
        **size: object,
    ) -> None:
        super().__init__()
        self.encoder = ImageEncoder(in_channels, pool=pool, **size)  # type: ignore[arg-type]
        self.classification_head = nn.Linear(self.encoder.size.width, num_classes)
        self.frozen = frozen
        self.encoder.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> Classifier:
        """As of any module, except that a frozen encoder keeps its statistics."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Image logits ``(N, num_classes)``."""
        logits: Tensor = self.classification_head(self.encoder(images)[0])
        return logits


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of the authors' classifier to ours: a bare head, or a head and its encoder.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    places = (
        (r"linear_layer\.block_forward\.2\.", "classification_head."),
        (r"(image_)?encoder\.(model\.)?", "encoder.backbone."),
    )
    return rename_parameters(authors_state_dict, "CM-CGNS classifier", places)


class LinearHead(nn.Module):
    """The classifier's layer alone, on features ``(N, width)``.

    Args:
        num_classes: classes of whole images.
        width: of the features.
    """

    def __init__(self, num_classes: int = 5, *, width: int = 2048) -> None:
        super().__init__()
        self.classification_head = nn.Linear(width, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Image logits ``(N, num_classes)``."""
        logits: Tensor = self.classification_head(features)
        return logits
