"""Classifiers of timm, any of them by name; nothing is ever downloaded.

Library: huggingface/pytorch-image-models (Apache-2.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn
from torch.nn import functional

from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name
from medbench.models.starting_weights import load_parameters, read_parameters


class SquareInput(nn.Module):
    """A network that sees squares of one size only; others are resized (bilinear) before it.

    Args:
        network: the network.
        side: of its input in pixels.
    """

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network = network
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to ``(N, classes)`` logits."""
        if images.shape[-2:] != (self.side, self.side):
            images = functional.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True)
        logits: Tensor = self.network(images)
        return logits


def timm_network(
    architecture: str,
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    pretrained_weights: str | Path | None = None,
    **options: Any,
) -> nn.Module:
    """A classifier of the library with fresh weights.

    Args:
        architecture: the library's name of it.
        in_channels: input channels.
        num_classes: image classes.
        pretrained_weights: path of a checkpoint of the architecture; its classifier may have other classes
            and is left out then.
        options: further ones of the library, those that differ from its own.

    Raises:
        MedbenchError: ``model.unknown``; ``model.option`` for options that the architecture does not have;
            ``weights.missing``, ``weights.unsafe`` or ``weights.mismatch`` for the checkpoint.
    """
    check_architecture(architecture)
    settings = {key: value for key, value in options.items() if value is not None}
    try:
        network = timm.create_model(
            architecture, pretrained=False, in_chans=in_channels, num_classes=num_classes, **settings
        )
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        raise MedbenchError(
            "model.option",
            f"timm/{architecture} cannot be built with {settings}: {error}",
            "Leave the option out, or choose another network.",
        ) from error
    if pretrained_weights is not None:
        _load_pretrained(network, Path(pretrained_weights))
    facts: Any = network.pretrained_cfg
    return SquareInput(network, facts["input_size"][-1]) if facts.get("fixed_input_size") else network


def check_architecture(name: str) -> None:
    """Refuse a name that the library does not have.

    Raises:
        MedbenchError: ``model.unknown`` with the nearest names.
    """
    if not timm.is_model(name):
        raise unknown_name("model", f"timm/{name}", [f"timm/{model}" for model in timm.list_models()])


def _load_pretrained(network: nn.Module, path: Path) -> None:
    """Load everything but the classifier, without executing anything in the file."""
    library: Any = network
    classifier = library.get_classifier()
    heads = {id(tensor) for tensor in classifier.parameters()} if isinstance(classifier, nn.Module) else set()
    load_parameters(
        network,
        read_parameters(path, "pretrained_weights"),
        path,
        "Give a checkpoint of the same architecture with the same input channels.",
        optional={name for name, tensor in network.named_parameters() if id(tensor) in heads},
    )
