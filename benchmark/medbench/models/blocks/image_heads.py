"""Image-level classification heads of segmentation networks, of our own design."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medbench.models.options import refuse_options


class SegmentationEvidence(nn.Module):
    """A classification head on the amount and confidence of every label in the segmentation.

    Its input has two numbers per label: the mean probability, and the mean probability over pixels weighted
    by this probability; both as log odds, followed by a perceptron with one hidden layer. So few numbers
    hardly identify a video, which limits overfitting to videos. No gradient goes back into the segmentation.

    Args:
        num_classes: labels of the segmentation.
        num_image_classes: classes of an image.
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
    """A classification head on the mean of a feature map: layer norm and one linear layer.

    Args:
        dim: channels of the map.
        num_image_classes: classes of an image.
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
    """The image-level head by the options ``image_head`` and ``num_image_classes``, or ``None``.

    Args:
        model: name of the model, for errors.
        image_head: input of the head, ``segmentation`` or ``encoder``.
        encoder_dim: channels of the deepest encoder map.
        num_classes: labels of the segmentation.
        num_image_classes: classes of an image, or ``None`` for no head.

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
    """The segmentation logits, or with a head ``(segmentation logits, image logits)``.

    Args:
        head: the result of :func:`make_image_head`.
        logits: ``(N, num_classes, H, W)``.
        deepest: the deepest encoder map ``(N, H / s, W / s, encoder_dim)``.
    """
    if head is None:
        return logits
    return logits, head(deepest if isinstance(head, PooledFeatures) else logits)
