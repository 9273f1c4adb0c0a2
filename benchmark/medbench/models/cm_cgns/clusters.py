"""Clusters of sentences by cosine, learnt batch by batch without gradients."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.models.renaming import rename_parameters

TAKEN = 100.0


class SentenceClusters(nn.Module):
    """Centroids that follow the sentences of the batches.

    A batch first sets them: a sentence drawn by lot, then again and again the one farthest from the last.
    Each further batch moves a centroid towards the sum of the sentences that are nearest to it. The
    centroids' norms grow on the way, which cosines do not see.

    Args:
        num_clusters: centroids.
        width: channels of a sentence.
        momentum: share of a centroid that stays.
    """

    def __init__(
        self,
        *,
        num_clusters: int = 128,
        width: int = 768,
        momentum: float = 0.999,
    ) -> None:
        super().__init__()
        self.momentum = momentum
        self.centroid: Tensor
        self.register_buffer("centroid", torch.zeros(num_clusters, width))

    @property
    def initialised(self) -> bool:
        """Whether a batch has set the centroids."""
        return bool(self.centroid.any())

    @torch.no_grad()
    def initialise(self, sentences: Tensor, first: int) -> Tensor:
        """Set the centroids to rows of ``sentences``, and return their numbers ``(num_clusters,)``.

        Args:
            sentences: ``(N, width)``, unit length, N at least the number of clusters.
            first: number of the row to begin with.

        Raises:
            MedbenchError: ``clusters.few_sentences``.
        """
        check_sentences(len(sentences), len(self.centroid))
        likeness = sentences @ sentences.T
        rows = torch.empty(len(self.centroid), dtype=torch.long, device=sentences.device)
        rows[0] = first
        for number in range(1, len(rows)):
            likeness[:, rows[number - 1]] = TAKEN
            rows[number] = likeness[rows[number - 1]].argmin()
        self.centroid.copy_(sentences[rows])
        return rows

    @torch.no_grad()
    def update(self, sentences: Tensor) -> None:
        """Move every centroid that is nearest to some of the sentences ``(N, width)`` towards their sum."""
        member = functional.one_hot(self.nearest(sentences, 1)[:, 0], len(self.centroid)).to(sentences.dtype)
        centroids = (1 - self.momentum) * (member.T @ sentences) + self.momentum * self.centroid
        self.centroid.copy_(torch.where(member.any(dim=0)[:, None], centroids, self.centroid))

    @torch.no_grad()
    def nearest(self, sentences: Tensor, count: int = 2) -> Tensor:
        """Numbers ``(N, count)`` of the centroids with the largest cosine to each sentence, nearest first."""
        return (sentences @ functional.normalize(self.centroid, dim=1).T).topk(count, dim=1).indices


def check_sentences(count: int, num_clusters: int) -> None:
    """Refuse a batch with fewer sentences than there are clusters to set.

    Raises:
        MedbenchError: ``clusters.few_sentences``.
    """
    if count < num_clusters:
        raise MedbenchError(
            "clusters.few_sentences",
            f"A batch with {counted(count, 'sentence')} cannot set {counted(num_clusters, 'cluster')}.",
            "Give a larger batch (--recipe-set batch_size=…) or fewer clusters (--set num_clusters=…).",
        )


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' centroids to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    return rename_parameters(authors_state_dict, "CM-CGNS clusters", ((r"(kc\.)?(?=centroid)", ""),))
