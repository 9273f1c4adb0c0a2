"""Removal of wrappers that other programs put around parameters when they save them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from medbench.models.checkpoint_files import WRAPPER_PARTS

T = TypeVar("T")

DICTIONARIES = ("state_dict", "model", "net", "network", "model_state_dict")
"""Entries of a file under which the parameters lie, whatever lies beside them."""
DEEPEST = 3
"""Dictionaries in one another in which parameters are looked for."""
_OPTIMIZER = "optim"
_ALWAYS = ("module.", "_module.")
_SOMETIMES = ("model.", "net.", "network.")
_COUNTERS = ("total_ops", "total_params")


def dictionaries(
    contents: Mapping[Any, Any], is_state: Callable[[Any], bool], depth: int = DEEPEST
) -> dict[str, dict[str, Any]]:
    """The dictionaries of parameters in a file's contents by their entries, such as ``ema/shadow``.

    Contents that are parameters themselves have the entry ``""``. Where one of :data:`DICTIONARIES` holds
    parameters, the others are left out: they are averages or other networks of the same training.

    Args:
        contents: of the file.
        is_state: whether a value is a dictionary of parameters.
        depth: dictionaries in one another that are opened.
    """
    if is_state(contents):
        return {"": dict(contents)}
    inner = {
        name: dictionaries(value, is_state, depth - 1)
        for name, value in contents.items()
        if depth and isinstance(value, Mapping) and isinstance(name, str) and not name.startswith(_OPTIMIZER)
    }
    usual = next((name for name in DICTIONARIES if inner.get(name)), None)
    states = {usual: inner[usual]} if usual is not None else inner
    return {
        f"{name}/{below}".rstrip("/"): state
        for name, states_below in states.items()
        for below, state in states_below.items()
    }


def unwrapped(state: Mapping[str, T]) -> dict[str, T]:
    """Parameters without what no network's own names have.

    ``torch.compile``, FSDP and recomputed activations put parts of their own into names, parallel training
    ``module.`` before all of them, thop counters beside the parameters, and averaging ``n_averaged``.

    >>> unwrapped({"module._orig_mod.head.weight": 1, "module.total_ops": 2})
    {'head.weight': 1}
    """
    plain = {
        ".".join(part for part in name.split(".") if part not in WRAPPER_PARTS): value
        for name, value in state.items()
        if name.rpartition(".")[2] not in _COUNTERS
    }
    if any(name.startswith(_ALWAYS) for name in plain):
        plain.pop("n_averaged", None)
    while prefix := _shared_prefix(plain, _ALWAYS):
        plain = {name.removeprefix(prefix): value for name, value in plain.items()}
    return plain


def peelings(state: Mapping[str, T]) -> Iterator[dict[str, T]]:
    """The parameters as they are, then without each prefix that all share, which may be a network's own."""
    parameters = dict(state)
    yield parameters
    while prefix := _shared_prefix(parameters, (*_ALWAYS, *_SOMETIMES)):
        parameters = {name.removeprefix(prefix): value for name, value in parameters.items()}
        yield parameters


def _shared_prefix(state: Mapping[str, T], prefixes: tuple[str, ...]) -> str:
    """The prefix that all names have; empty where there is none or a name would be empty without it."""
    return next(
        (
            prefix
            for prefix in prefixes
            if state and all(name.startswith(prefix) and name != prefix for name in state)
        ),
        "",
    )


def wholes(state: Mapping[str, T], names: Collection[str]) -> dict[str, dict[str, T]]:
    """Parameters by the beginning under which exactly a network's names lie, as in ``model.head.weight``.

    Beside the network a file may hold buffers of its loss, or the network a second time as an average.

    >>> wholes({"net.head.weight": 1, "loss.weight": 2}, ["head.weight"])
    {'net.': {'head.weight': 1}}
    """
    first = next(iter(names), "")
    beginnings = [name.removesuffix(first) for name in state if name.endswith(f".{first}")]
    below = {
        beginning: {
            name.removeprefix(beginning): value for name, value in state.items() if name.startswith(beginning)
        }
        for beginning in beginnings
    }
    own = set(names)
    return {beginning: parameters for beginning, parameters in below.items() if parameters.keys() == own}
