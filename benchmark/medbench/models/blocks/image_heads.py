"""Heads that class the whole picture, beside a network that segments it. Ours; no paper's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medbench.models.options import refuse_options


class SegmentationEvidence(nn.Module):
    """Classes a picture by how much of each structure the segmentation finds and how sure it is of it.

    Of every label two numbers are taken: its mean probability, and the mean of its probability over the
    pixels weighted by that same probability; both as log odds, followed by a perceptron of one hidden layer.
    So few numbers carry little of what tells one video from another. No gradient goes back into the
    segmentation.

    Args:
        num_classes: labels of the segmentation.
        num_image_classes: classes of a picture.
        hidden: width of the hidden layer.
    """

    def __init__(self, num_classes: int, num_image_classes: int, hidden: int = 64) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(
            nn.Linear(2 * num_classes, hidden), nn.GELU(), nn.Linear(hidden, num_image_classes)
        )

    def forward(self, logits: Tensor) -> Tensor:
        """Segmentation logits ``(N, num_classes, H, W)`` to image logits ``(N, num_image_classes)``."""
        probability = logits.detach().float().softmax(dim=1)
        amount = probability.mean(dim=(2, 3))
        certainty = probability.square().mean(dim=(2, 3)) / amount.clamp_min(1e-12)
        evidence: Tensor = torch.cat((amount, certainty), dim=1).logit(eps=1e-4)
        image_logits: Tensor = self.perceptron(evidence.to(next(self.parameters()).dtype))
        return image_logits


class PooledFeatures(nn.Module):
    """Classes a picture by the mean of a feature map: layer norm and one linear layer.

    Args:
        dim: channels of the map.
        num_image_classes: classes of a picture.
    """

    def __init__(self, dim: int, num_image_classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, num_image_classes)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, dim)`` to ``(N, num_image_classes)``."""
        image_logits: Tensor = self.linear(self.norm(features.mean(dim=(1, 2))))
        return image_logits


ImageHead = PooledFeatures | SegmentationEvidence


def make_image_head(
    model: str, image_head: str, encoder_dim: int, num_classes: int, num_image_classes: int | None
) -> ImageHead | None:
    """The head that the options ``image_head`` and ``num_image_classes`` ask for.

    Args:
        model: name of the model, for errors.
        image_head: what the head looks at, ``segmentation`` or ``encoder``.
        encoder_dim: channels of the deepest encoder map.
        num_classes: labels of the segmentation.
        num_image_classes: classes of a picture, or ``None`` for no head.

    Raises:
        MedbenchError: ``model.option`` for another ``image_head``, or a head on a segmentation of one label.
    """
    refuse_options(
        model,
        (
            (
                image_head not in ("segmentation", "encoder"),
                f"image_head={image_head!r} is neither 'segmentation' nor 'encoder'",
            ),
            (
                image_head == "segmentation" and num_image_classes is not None and num_classes < 2,
                f"image_head='segmentation' needs two or more num_classes, not {num_classes}",
            ),
        ),
    )
    if num_image_classes is None:
        return None
    if image_head == "encoder":
        return PooledFeatures(encoder_dim, num_image_classes)
    return SegmentationEvidence(num_classes, num_image_classes)


def with_image_logits(
    head: ImageHead | None, logits: Tensor, deepest: Tensor
) -> Tensor | tuple[Tensor, Tensor]:
    """The segmentation logits, or with a head both they and the image logits.

    Args:
        head: what :func:`make_image_head` gave.
        logits: ``(N, num_classes, H, W)``.
        deepest: the deepest encoder map ``(N, H / s, W / s, encoder_dim)``.
    """
    if head is None:
        return logits
    return logits, head(deepest if isinstance(head, PooledFeatures) else logits)
