"""Attention between the places of an image and the sentences of its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from medbench.models.renaming import rename_parameters


class CrossAttended(NamedTuple):
    """Attended features of an image-report pair.

    Attributes:
        text_to_image: ``(N, places, width)``, sentences as each place sees them.
        image_shares: ``(N, places, sentences)``, from 0 to 1; their sum is not 1.
        image_to_text: ``(N, sentences, width)``, places as each sentence sees them.
        text_shares: ``(N, sentences, places)``.
    """

    text_to_image: Tensor
    image_shares: Tensor
    image_to_text: Tensor
    text_shares: Tensor


class CrossAttention(nn.Module):
    """One head of attention in each direction, with a sigmoid in place of the soft-max.

    Args:
        width: channels of places and sentences.
    """

    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.query1, self.key1, self.value1 = (nn.Linear(width, width) for _ in range(3))
        self.query2, self.key2, self.value2 = (nn.Linear(width, width) for _ in range(3))

    def forward(self, places: Tensor, sentences: Tensor, present: Tensor | None = None) -> CrossAttended:
        """Features of places attended by sentences, and of sentences attended by places.

        Args:
            places: ``(N, places, width)``.
            sentences: ``(N, sentences, width)``.
            present: ``(N, sentences)``, which of them count; all if ``None``.
        """
        image_logits = self.query1(places) @ self.key2(sentences).transpose(1, 2) * self.scale
        text_logits = self.query2(sentences) @ self.key1(places).transpose(1, 2) * self.scale
        image_shares, text_shares = torch.sigmoid(image_logits), torch.sigmoid(text_logits)
        if present is not None:
            image_shares = image_shares * present[:, None]
            text_shares = text_shares * present[..., None]
        return CrossAttended(
            image_shares @ self.value2(sentences),
            image_shares,
            text_shares @ self.value1(places),
            text_shares,
        )


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The 12 entries of the authors' attention to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    places = ((r"(local_cross_attention\.)?(?=(query|key|value)[12]\.)", ""),)
    return rename_parameters(authors_state_dict, "CM-CGNS cross-modal attention", places)
