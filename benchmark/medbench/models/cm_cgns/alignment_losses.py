"""The losses of CM-CGNS between an image and its report."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from medbench.models.cm_cgns.clusters import SentenceClusters
from medbench.models.options import ProgramForm

INITIAL_LIKENESS = 0.4
LARGEST_SHARE = 0.5
HARD_WEIGHT = 3.0
MARGIN_WEIGHT = 1e-4
UPPER_MARGIN, LOWER_MARGIN = 0.2, 0.5


def place_loss(predict: Callable[[Tensor], Tensor], places: Tensor, sentences: Tensor) -> Tensor:
    """Mean negative cosine between the places of images and what they see of their reports, as in SimSiam.

    Args:
        predict: the small network that either side passes while the other is held.
        places: ``(N, places, width)``.
        sentences: the same shape, the text as each place sees it.
    """
    there = functional.cosine_similarity(predict(places), sentences.detach(), dim=-1)
    back = functional.cosine_similarity(predict(sentences), places.detach(), dim=-1)
    return -(there + back).mean() / 2


def contrastive_loss(images: Tensor, reports: Tensor, scale: Tensor) -> Tensor:
    """Mean cross entropy of images among reports and reports among images, InfoNCE.

    Args:
        images: ``(N, width)``, unit length.
        reports: the same shape; row i belongs to image i.
        scale: factor of the cosines.
    """
    logits = scale * images @ reports.T
    own = torch.arange(len(images), device=images.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def hit_share(images: Tensor, reports: Tensor, count: int) -> Tensor:
    """Share of the images whose own report is among the ``count`` most alike."""
    likeness = images @ reports.T
    own = likeness.diagonal()[:, None]
    return ((likeness > own).sum(dim=1) < count).to(likeness.dtype).mean()


class SentenceLoss:
    """The cross entropy of sentences among their visual counterparts, guided by clusters.

    A sentence's hard negative is the centroid second nearest to it; sentences whose nearest centroid is the
    same are false negatives of each other.

    Args:
        form: ``corrected`` takes false negatives out of the denominator, adds the hard negative alone, with a
            weight of 3, and takes the margin loss's mean over false negatives; a batch of which most is in
            one cluster, so that hardly a negative would be left, has the plain cross entropy. ``published``
            leaves false negatives in, adds N - 1 zeros with each hard negative (L2), and takes the mean
            over all pairs, of which those that are no false negatives give a constant (L3).
    """

    def __init__(self, form: ProgramForm = "corrected") -> None:
        self.form = form

    def __call__(
        self,
        clusters: SentenceClusters,
        sentences: Tensor,
        from_image: Tensor,
        draw_first: Callable[[int], int],
        learn: bool = True,
    ) -> Tensor:
        """The loss of a batch, whose sentences first set or move the centroids.

        Args:
            clusters: the centroids.
            sentences: ``(N, width)``, all of the batch, unit length.
            from_image: the same shape: the image as each sentence sees it, unit length.
            draw_first: draws the row below N that the first centroid is.
            learn: whether the centroids follow the batch; not in validation.

        Raises:
            MedbenchError: ``clusters.few_sentences`` for the batch that is to set the centroids.
        """
        likeness = sentences @ from_image.T
        own = torch.arange(len(sentences), device=sentences.device)
        if not clusters.initialised:
            if learn and float(likeness.mean()) <= INITIAL_LIKENESS:
                clusters.initialise(from_image.detach(), draw_first(len(from_image)))
            return functional.cross_entropy(likeness, own)
        if learn:
            clusters.update(from_image.detach())
        nearest = clusters.nearest(sentences.detach())
        if self.form == "corrected" and largest_share(nearest[:, 0]) > LARGEST_SHARE:
            return functional.cross_entropy(likeness, own)
        hard = functional.normalize(clusters.centroid[nearest[:, 1]], dim=1)
        hardness = HARD_WEIGHT * (sentences * hard).sum(dim=1)
        false = (nearest[:, :1] == nearest[:, 0]).fill_diagonal_(False)
        return self.entropy(likeness, hardness, false) + MARGIN_WEIGHT * self.margin(likeness, false)

    def entropy(self, likeness: Tensor, hardness: Tensor, false: Tensor) -> Tensor:
        """The cross entropy with a column more for the hard negatives.

        Args:
            likeness: ``(N, N)`` cosines, of a sentence and its own counterpart on the diagonal.
            hardness: ``(N,)``, weighted cosines of sentences and their hard negatives.
            false: ``(N, N)``, which pairs are false negatives.
        """
        columns = [likeness, hardness[:, None]]
        if self.form == "published":
            zeros = likeness.new_full((len(likeness), 1), len(likeness) - 1).log()
            columns.append(zeros)
        else:
            columns[0] = likeness.masked_fill(false, -torch.inf)
        return (torch.cat(columns, dim=1).logsumexp(dim=1) - likeness.diagonal()).mean()

    def margin(self, likeness: Tensor, false: Tensor) -> Tensor:
        """How far false negatives leave the band of 0.2 below to 0.5 above the sentence's own counterpart."""
        gap = (likeness - likeness.diagonal()[:, None]) * false
        excess = (gap + UPPER_MARGIN).relu() + (-gap - LOWER_MARGIN).relu()
        if self.form == "published":
            return excess.mean()
        return (excess * false).sum() / false.sum().clamp_min(1)


def largest_share(assignment: Tensor) -> float:
    """Share of the sentences that are in the largest cluster.

    >>> largest_share(torch.tensor([3, 1, 3, 3]))
    0.75
    """
    return float(assignment.bincount().max()) / len(assignment)
