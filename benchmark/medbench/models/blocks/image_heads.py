"""Heads that class the whole picture, beside a network that segments it. Ours; no paper's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medbench.core.errors import MedbenchError


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


def image_head(
    model: str, image_head: str, num_classes: int, num_image_classes: int | None, encoder_dim: int
) -> PooledFeatures | SegmentationEvidence | None:
    """The head that the options ``image_head`` and ``num_image_classes`` ask for.

    Args:
        model: name of the model, for errors.
        image_head: what the head looks at, ``segmentation`` or ``encoder``.
        num_classes: labels of the segmentation.
        num_image_classes: classes of a picture, or ``None`` for no head.
        encoder_dim: channels of the deepest encoder map.

    Raises:
        MedbenchError: ``model.option`` for another ``image_head``, or a head on a segmentation of one label.
    """
    problem = ""
    if image_head not in ("segmentation", "encoder"):
        problem = f"image_head={image_head!r} is neither 'segmentation' nor 'encoder'"
    elif image_head == "segmentation" and num_image_classes is not None and num_classes < 2:
        problem = f"image_head='segmentation' needs two or more num_classes, not {num_classes}"
    if problem:
        raise MedbenchError("model.option", f"{model}: {problem}.", f"See 'medbench models show {model}'.")
    if num_image_classes is None:
        return None
    if image_head == "encoder":
        return PooledFeatures(encoder_dim, num_image_classes)
    return SegmentationEvidence(num_classes, num_image_classes)
