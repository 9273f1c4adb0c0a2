"""Removal of wrappers that other programs put around parameters when they save them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")

DICTIONARIES = ("state_dict", "model", "net", "network", "model_state_dict")
"""Entries of a file under which the parameters lie."""
_ALWAYS = ("module.",)
_SOMETIMES = ("model.", "net.", "network.")
_COMPILED = "_orig_mod"
_COUNTERS = ("total_ops", "total_params")


def unwrapped(state: Mapping[str, T]) -> dict[str, T]:
    """Parameters without what no network's own names have.

    ``torch.compile`` puts ``_orig_mod`` into names, parallel training ``module.`` before all of them, thop
    counters beside the parameters, and averaging ``n_averaged``.

    >>> unwrapped({"module._orig_mod.head.weight": 1, "module.total_ops": 2})
    {'head.weight': 1}
    """
    plain = {
        ".".join(part for part in name.split(".") if part != _COMPILED): value
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
