"""Networks of segmentation-models-pytorch with any of its encoders; nothing is ever downloaded.

Library: qubvel-org/segmentation_models.pytorch (MIT).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name


class PaddedNetwork(nn.Module):
    """Pads inputs at the bottom and right to a multiple of the stride and crops the logits back."""

    def __init__(self, network: nn.Module, stride: int) -> None:
        super().__init__()
        self.network = network
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, channels, H, W)`` to ``(N, classes, H, W)`` logits, with image logits if there is that head."""
        height, width = images.shape[-2:]
        bottom, right = -height % self.stride, -width % self.stride
        if bottom or right:
            images = functional.pad(images, (0, right, 0, bottom), mode="replicate")
        output = self.network(images)
        if isinstance(output, tuple):
            return output[0][..., :height, :width], output[1]
        return output[..., :height, :width]


def smp_network(
    architecture: str,
    *,
    in_channels: int = 3,
    num_classes: int = 2,
    num_image_classes: int | None = None,
    encoder: str = "resnet34",
    encoder_depth: int | None = None,
    encoder_weights: str | None = None,
) -> nn.Module:
    """A network of the library.

    Args:
        architecture: the library's name of it.
        in_channels: input channels.
        num_classes: segmentation classes.
        num_image_classes: adds the library's own classification head on the deepest features.
        encoder: any encoder of the library, or ``tu-<timm name>``.
        encoder_depth: number of encoder stages; the architecture's default if not given.
        encoder_weights: path of a checkpoint of the encoder.

    Raises:
        MedbenchError: ``encoder.unknown``, or ``weights.mismatch`` for an encoder file that does not fit.
    """
    known = smp.encoders.get_encoder_names()
    if encoder not in known and not encoder.startswith("tu-"):
        raise unknown_name("encoder", encoder, known)
    arguments: dict[str, Any] = {} if encoder_depth is None else {"encoder_depth": encoder_depth}
    if num_image_classes is not None:
        arguments["aux_params"] = {"classes": num_image_classes}
    if architecture == "dpt":
        arguments["dynamic_img_size"] = True
    network = smp.create_model(
        architecture, encoder, encoder_weights=None, in_channels=in_channels, classes=num_classes, **arguments
    )
    if encoder_weights is not None:
        load_encoder(network.encoder, Path(encoder_weights))
    return PaddedNetwork(network, 32)


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Load a local encoder checkpoint, without executing anything in it.

    Raises:
        MedbenchError: ``weights.mismatch``.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    own = encoder.state_dict()
    fitting = {key: tensor for key, tensor in state.items() if key in own and own[key].shape == tensor.shape}
    if len(fitting) < len(own):
        missing = next(key for key in own if key not in fitting)
        raise MedbenchError(
            "weights.mismatch",
            f"{path}: provides {len(fitting)} of the encoder's {len(own)} parameters (first missing: {missing}).",
            "Give a checkpoint of the same encoder.",
        )
    encoder.load_state_dict(fitting)
