"""Weights that a training of nnU-Net starts from, and their place in its network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file
from medbench.inference.start_weights import freeze, start_weights
from medbench.inference.weights import Checkpoint, load_checkpoint
from medbench.inference.wrappers import unwrapped
from medbench.models.checkpoint_files import refuse_infinite
from medbench.nnunet.files import FACTS_KEY, import_weights, is_model, load_safely

if TYPE_CHECKING:
    from torch import Tensor, nn

START, REPORT = "start.pt", "start.json"
"""Files in a training's folder: the weights for the child process, and which of them fit."""
_HEADS = ".seg_layers."


def read_start(path: Path, cache: Path) -> Checkpoint:
    """Weights of one network: of a model folder, an archive or a checkpoint of nnU-Net, or of medbench.

    Of several folds the first counts.

    Raises:
        MedbenchError: ``weights.unsafe``, ``weights.corrupt``, ``weights.not_finite`` and others of
            :mod:`medbench.nnunet.files`.
    """
    if path.suffix != ".pth" and is_model(path):
        checkpoint = load_checkpoint(import_weights(path, "nnunet", cache))
    else:
        checkpoint = _native(path) or load_checkpoint(path)
    folds = sorted({name.split(".")[0] for name in checkpoint.state if name.startswith("fold_")})
    if not folds:
        return checkpoint
    prefix = f"{folds[0]}."
    state = {
        name.removeprefix(prefix): value
        for name, value in checkpoint.state.items()
        if name.startswith(prefix)
    }
    labels = checkpoint.facts.get(FACTS_KEY, {}).get("dataset", {}).get("labels")
    facts = checkpoint.facts if "classes" in checkpoint.facts or not labels else _with_classes(labels)
    return dataclasses.replace(checkpoint, state=state, facts=facts)


def _native(path: Path) -> Checkpoint | None:
    """A single checkpoint as nnU-Net saves it; ``None`` for any other file."""
    try:
        checkpoint = load_safely(path)
    except MedbenchError as error:
        if error.code == "weights.corrupt":
            return None
        raise
    state = unwrapped(checkpoint["network_weights"])
    refuse_infinite(state, str(path))
    labels = checkpoint["init_args"].get("dataset_json", {}).get("labels")
    return Checkpoint(state, _with_classes(labels) if labels else {}, sha256_file(path))


def _with_classes(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {"classes": {"label_map": list(labels)}}


def begin_with(
    network: nn.Module, state: Mapping[str, Tensor], request: Mapping[str, Any]
) -> dict[str, object]:
    """Give nnU-Net's network the weights that fit; which fit, and which do not.

    Args:
        network: as its trainer built it.
        state: the weights.
        request: ``source`` of the weights, ``frozen`` parts, and whether they mean ``other_classes``, so that
            the layers of the segmentation keep their fresh weights.

    Raises:
        MedbenchError: ``init.nothing_matches`` or ``init.part``.
    """
    own = network.state_dict()
    heads = [name for name in own if _HEADS in f".{name}"] if request["other_classes"] else []
    fit = start_weights(own, state, request["source"], heads=heads)
    fit.load_into(network)
    freeze(network, request["frozen"])
    return fit.as_json()
