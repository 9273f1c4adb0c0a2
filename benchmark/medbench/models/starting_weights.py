"""Published checkpoints that a library's network starts from; no code in a file is run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from medbench.core.errors import MedbenchError
from medbench.core.files import read_bytes
from medbench.core.folders import at_home
from medbench.core.machine import memory_bytes
from medbench.core.text import counted
from medbench.models.checkpoint_files import WRAPPER_PARTS, refuse_infinite, stored_values


def read_parameters(path: Path, option: str) -> Mapping[str, Tensor]:
    """Parameters by name of a file of torch or safetensors, also as its ``state_dict`` or ``model``.

    Args:
        path: the file.
        option: the model option that named the file, for the error.

    Raises:
        MedbenchError: ``weights.missing``, ``file.too_large`` for one of more than half of the memory,
            ``weights.unsafe``, ``weights.corrupt``, ``weights.not_a_state_dict`` or ``weights.not_finite``.
    """
    path = at_home(path)
    if not path.is_file():
        raise MedbenchError("weights.missing", f"{path}: there is no such checkpoint.", f"Check {option}.")
    content: Any = stored_values(read_bytes(path, memory_bytes() // 2), path)
    names = ("state_dict", "model") if isinstance(content, Mapping) else ()
    content = next((content[name] for name in names if isinstance(content.get(name), Mapping)), content)
    items = content.items() if isinstance(content, Mapping) else ()
    parameters = {name: tensor for name, tensor in items if isinstance(tensor, Tensor)}
    if not parameters:
        raise MedbenchError(
            "weights.not_a_state_dict", f"{path}: holds no names of parameters.", f"Check {option}."
        )
    refuse_infinite(parameters, str(path))
    return parameters


def without_wrapper(parameters: Mapping[str, Tensor], names: Collection[str]) -> Mapping[str, Tensor]:
    """Parameters by the names of a network, where all of them lie below one beginning or a wrapper's parts.

    >>> list(without_wrapper({"module._orig_mod.head.weight": None}, ["head.weight"]))
    ['head.weight']
    """
    if not names or any(name in parameters for name in names):
        return parameters
    plain = {
        ".".join(part for part in name.split(".") if part not in WRAPPER_PARTS): tensor
        for name, tensor in parameters.items()
    }
    first = next(iter(names))
    beginnings = [name.removesuffix(first) for name in plain if f".{name}".endswith(f".{first}")]
    if len(beginnings) != 1:
        return parameters
    return {
        name.removeprefix(beginnings[0]): tensor
        for name, tensor in plain.items()
        if name.startswith(beginnings[0])
    }


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
    """Load the parameters whose name and shape are the network's, with or without a wrapper before them.

    Others are ignored.

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
    parameters = without_wrapper(parameters, own)
    fitting = {
        name: parameters[name]
        for name, tensor in own.items()
        if name in parameters and parameters[name].shape == tensor.shape
    }
    missing = [name for name in own if name not in fitting and name not in optional]
    if missing:
        raise MedbenchError(
            "weights.mismatch",
            f"{path}: has {len(fitting)} of the {part}'s {counted(len(own), 'parameter')} (first missing: "
            f"{missing[0]}).",
            advice,
        )
    network.load_state_dict(fitting, strict=False)
