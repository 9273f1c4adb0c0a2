"""Networks of segmentation-models-pytorch with any of its encoders; nothing is downloaded.

Library: qubvel-org/segmentation_models.pytorch (MIT).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
from torch import nn

from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name
from medbench.models.blocks.padded_network import PaddedNetwork
from medbench.models.smp_table import ARCHITECTURES
from medbench.models.starting_weights import load_parameters, read_parameters

_PER_STAGE = ("decoder_channels", "decoder_intermediate_channels")
_HEAD_NAMES = {"classification_head": "image_head"}


def smp_network(
    architecture: str,
    *,
    in_channels: int = 3,
    num_classes: int = 2,
    num_image_classes: int | None = None,
    encoder: str | None = None,
    encoder_weights: str | Path | None = None,
    **options: Any,
) -> PaddedNetwork:
    """A network of segmentation-models-pytorch.

    Args:
        architecture: name of the architecture in the library.
        in_channels: input channels.
        num_classes: segmentation classes.
        num_image_classes: adds the library's own classification head on the deepest features.
        encoder: any encoder of the library, or ``tu-<timm name>``; the architecture's default if not given.
        encoder_weights: path of a checkpoint of the encoder.
        options: further options of the architecture.

    Raises:
        MedbenchError: ``encoder.unknown``; ``model.option`` for values that do not go together;
            ``weights.missing``, ``weights.unsafe`` or ``weights.mismatch`` for an encoder file.
    """
    card = ARCHITECTURES[architecture]
    encoder = encoder or card.encoder
    check_encoder(encoder)
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    depth = arguments.get("encoder_depth", card.options["encoder_depth"])
    for key in _PER_STAGE:
        widths = card.options.get(key)
        if key not in arguments and isinstance(widths, tuple):
            arguments[key] = widths[-depth:]
    if architecture == "pspnet":
        arguments["upsampling"] = 2**depth
    if architecture == "dpt":
        arguments["dynamic_img_size"] = True
    if num_image_classes is not None:
        arguments["aux_params"] = {"classes": num_image_classes}
    try:
        network = smp.create_model(
            architecture,
            encoder,
            encoder_weights=None,
            in_channels=in_channels,
            classes=num_classes,
            **arguments,
        )
    except (AssertionError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise MedbenchError(
            "model.option",
            f"{card.title} cannot be built with encoder {encoder} and options {options}: {error}",
            "Change the options, or the encoder.",
        ) from error
    if encoder_weights is not None:
        load_encoder(network.encoder, Path(encoder_weights))
    stride = network.encoder.output_stride
    if architecture == "dpt":
        return PaddedNetwork(network, 2 * stride, new_names=_HEAD_NAMES)
    return PaddedNetwork(network, stride, 8 * stride if architecture == "pan" else 1, _HEAD_NAMES)


def check_encoder(name: str) -> None:
    """Refuse an encoder that neither library nor timm has, by ``encoder.unknown`` with the nearest names."""
    if name.startswith("tu-"):
        if not timm.is_model(name.removeprefix("tu-")):
            raise unknown_name("encoder", name, [f"tu-{encoder}" for encoder in timm.list_models()])
        return
    names = smp.encoders.get_encoder_names()
    if name not in names:
        raise unknown_name("encoder", name, names)


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Load weights of an encoder from a file without running code in it; other parameters are ignored.

    Raises:
        MedbenchError: ``weights.missing``, ``weights.unsafe``, or ``weights.mismatch`` when it does not
            provide every parameter of the encoder.
    """
    load_parameters(
        encoder,
        read_parameters(path, "encoder_weights"),
        path,
        "Give a checkpoint of the same encoder with the same input channels.",
        part="encoder",
    )
