"""Published checkpoints that a library's network starts from; no code in a file is run."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medbench.core.errors import MedbenchError
from medbench.core.folders import at_home


def read_parameters(path: Path, option: str) -> Mapping[str, Tensor]:
    """Parameters by name of a checkpoint, or of what it holds as ``state_dict`` or ``model``.

    Args:
        path: the file.
        option: the model option that named the file, for the error.

    Raises:
        MedbenchError: ``weights.missing``, ``weights.unsafe``, ``weights.corrupt`` or
            ``weights.not_a_state_dict``.
    """
    path = at_home(path)
    if not path.is_file():
        raise MedbenchError("weights.missing", f"{path}: there is no such checkpoint.", f"Check {option}.")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise MedbenchError(
            "weights.unsafe",
            f"{path}: refused: it holds more than tensors and plain values, so loading it could run code.",
            "Ask its author for a plain state_dict.",
        ) from error
    except Exception as error:
        raise MedbenchError(
            "weights.corrupt",
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}).",
            "Copy the file again from its source.",
        ) from error
    if not isinstance(content, Mapping):
        raise MedbenchError(
            "weights.not_a_state_dict", f"{path}: holds no names of parameters.", f"Check {option}."
        )
    parameters: Mapping[str, Tensor] = content.get("state_dict", content.get("model", content))
    return parameters


def load_parameters(
    network: nn.Module,
    parameters: Mapping[str, Tensor],
    path: Path,
    advice: str,
    *,
    names: Collection[str] | None = None,
    optional: Collection[str] = (),
    part: str = "network",
) -> None:
    """Load the parameters whose name and shape are the network's; others are ignored.

    Args:
        network: the network.
        parameters: those of the file.
        path: the file, for the error.
        advice: what to do when parameters are missing.
        names: the network's parameters to load; all if not given.
        optional: those of them that keep their values where the file does not provide them.
        part: what the network is, for the error.

    Raises:
        MedbenchError: ``weights.mismatch`` when a parameter is missing that is not optional.
    """
    own = network.state_dict()
    own = own if names is None else {name: own[name] for name in names}
    fitting = {
        name: parameters[name]
        for name, tensor in own.items()
        if name in parameters and parameters[name].shape == tensor.shape
    }
    missing = [name for name in own if name not in fitting and name not in optional]
    if missing:
        raise MedbenchError(
            "weights.mismatch",
            f"{path}: has {len(fitting)} of the {part}'s {len(own)} parameters (first missing: "
            f"{missing[0]}).",
            advice,
        )
    network.load_state_dict(fitting, strict=False)
