"""The alignment of images and reports: cross attention, sentence pool, clusters and the three losses."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.gathering import gather_rows
from medbench.models.cm_cgns.alignment_losses import SentenceLoss, contrastive_loss, place_loss
from medbench.models.cm_cgns.attention_pool import AttentionPool
from medbench.models.cm_cgns.clusters import SentenceClusters
from medbench.models.cm_cgns.cross_attention import CrossAttention
from medbench.models.options import ProgramForm, refuse_options
from medbench.models.renaming import rename_parameters

Guidance = Literal["clusters", "plain", "none"]


class Aligned(NamedTuple):
    """Losses of a batch, and what else it gives.

    Attributes:
        image: of the places of the images; zero where only whole images and reports are compared.
        text: of the sentences; zero likewise.
        whole: of whole images and reports.
        reports: ``(N, width)``, one vector a report of this process.
        text_to_image: ``(N, places, width)``, the text as each place of this process's images sees it.
    """

    image: Tensor
    text: Tensor
    whole: Tensor
    reports: Tensor
    text_to_image: Tensor


class Alignment(nn.Module):
    """Compares images with reports, place by sentence and as wholes.

    Sentences and whole vectors of all processes of a distributed training are compared with each other.

    Args:
        form: of the sentences' loss; see :class:`medbench.models.cm_cgns.alignment_losses.SentenceLoss`.
        guidance: ``clusters`` as in the paper; ``plain`` compares sentences without clusters; ``none``
            compares whole images and reports alone, as ConVIRT and CLIP do.
        num_clusters: of the sentences.
        width: channels of places and sentences.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        *,
        form: ProgramForm = "corrected",
        guidance: Guidance = "clusters",
        num_clusters: int = 128,
        width: int = 768,
    ) -> None:
        super().__init__()
        refuse_options(
            "cm_cgns.alignment",
            (
                (form not in ("corrected", "published"), f"form={form} is neither corrected nor published"),
                (
                    guidance not in ("clusters", "plain", "none"),
                    f"guidance={guidance} is none of clusters, plain, none",
                ),
                (num_clusters < 2, f"num_clusters={num_clusters} leaves no second nearest"),
                (width < 8 or width % 8 > 0, f"width={width} is no multiple of 8"),
            ),
        )
        self.guidance = guidance
        self.sentence_loss = SentenceLoss(form)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.1)))
        self.cross_attention = CrossAttention(width=width)
        self.predictor = nn.Sequential(
            nn.Linear(width, width // 2), nn.ReLU(inplace=True), nn.Linear(width // 2, width)
        )
        self.sentence_pool = AttentionPool(width)
        self.clusters = SentenceClusters(num_clusters=num_clusters, width=width)
        self.draw_first: Callable[[int], int] = random.Random(0).randrange

    def whole_reports(self, sentences: Tensor, present: Tensor) -> Tensor:
        """One vector ``(N, width)`` of unit length for each report.

        Args:
            sentences: ``(N, sentences, width)``.
            present: ``(N, sentences)``, which of them are there.
        """
        return functional.normalize(self.sentence_pool(sentences, present), dim=-1)

    def forward(
        self,
        images: Tensor,
        places: Tensor,
        sentences: Tensor,
        present: Tensor,
        loss_mask: Tensor | None = None,
    ) -> Aligned:
        """Losses of a batch.

        Args:
            images: ``(N, width)``, unit length.
            places: ``(N, places, width)``, unit length.
            sentences: ``(N, sentences, width)``.
            present: ``(N, sentences)``, which of them are there.
            loss_mask: ``(N, sentences)``, which of them take part in the sentences' loss; all that are
                there if ``None``.

        Raises:
            MedbenchError: ``clusters.few_sentences``.
        """
        reports = self.whole_reports(sentences, present)
        whole = contrastive_loss(gather_rows(images), gather_rows(reports), self.logit_scale.exp())
        if self.guidance == "none":
            nothing = whole.new_zeros(())
            return Aligned(nothing, nothing, whole, reports, places)
        attention = self.cross_attention(places, sentences, present)
        image = place_loss(self.predictor, places, attention.text_to_image)
        text = self._sentences(
            sentences, attention.image_to_text, present if loss_mask is None else loss_mask
        )
        return Aligned(image, text, whole, reports, attention.text_to_image)

    def _sentences(self, sentences: Tensor, from_image: Tensor, loss_mask: Tensor) -> Tensor:
        flags = gather_rows(loss_mask)
        with torch.autocast(sentences.device.type, enabled=False):
            z1, z2 = (
                functional.normalize(gather_rows(vectors.to(self.clusters.centroid.dtype))[flags], dim=1)
                for vectors in (sentences, from_image)
            )
            if self.guidance == "plain":
                return functional.cross_entropy(z1 @ z2.T, torch.arange(len(z1), device=z1.device))
            return self.sentence_loss(self.clusters, z1, z2, self.draw_first, self.training)


ALIGNMENT_PLACES = (
    (r"logit_scale", "logit_scale"),
    (r"local_cross_attention\.", "cross_attention."),
    (r"predictor\.", "predictor."),
    (r"global_text_attention\.", "sentence_pool."),
    (r"kc\.", "clusters."),
)


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The 26 entries of the authors' alignment to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    return rename_parameters(authors_state_dict, "CM-CGNS alignment", ALIGNMENT_PLACES)


def pool_official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The 8 entries of the authors' pool of sentences to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    places = ((r"(global_text_attention\.)?(?=[qkvc]_proj\.)", ""),)
    return rename_parameters(authors_state_dict, "CM-CGNS sentence pool", places)


def sentence_pool(width: int = 768) -> AttentionPool:
    """The pool that makes a report's vector of its sentences'.

    Args:
        width: channels of a sentence.
    """
    return AttentionPool(width)
