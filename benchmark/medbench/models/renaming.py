"""Renaming of parameters from the authors' names to medbench's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from medbench.core.errors import MedbenchError
from medbench.core.text import agreeing, counted, named

if TYPE_CHECKING:
    from torch import Tensor

Rules = Sequence[tuple[str, str]]


def rename_parameters(
    authors_state_dict: Mapping[str, Tensor],
    title: str,
    places: Rules,
    parts: Rules = (),
    skip: str | None = None,
) -> dict[str, Tensor]:
    """The state dictionary with every parameter renamed; of two with the same new name the later is kept.

    Args:
        authors_state_dict: as their program saves it.
        title: title of the model, for errors.
        places: patterns and replacements of the beginning of a name; the first match applies, and a name
            without a match is an error.
        parts: patterns and replacements anywhere in the result, in order.
        skip: pattern of the beginning of names that their program registers but never computes with.

    Raises:
        MedbenchError: ``weights.unknown_keys`` naming the first of them.
    """
    ours: dict[str, Tensor] = {}
    strangers = []
    for key, tensor in authors_state_dict.items():
        if skip and re.match(skip, key):
            continue
        for pattern, replacement in places:
            name, count = re.subn(rf"\A(?:{pattern})", replacement, key)
            if count:
                for part, substitute in parts:
                    name = re.sub(part, substitute, name)
                ours[name] = tensor
                break
        else:
            strangers.append(key)
    if strangers:
        raise MedbenchError(
            "weights.unknown_keys",
            f"{len(strangers)} of {counted(len(authors_state_dict), 'parameter')} "
            f"{agreeing(len(strangers), 'is', 'are')} not of the authors' {title} "
            f"(first: {named(strangers, 3)}).",
            "Is the checkpoint of another model, or does it have medbench's parameter names already?",
        )
    return ours


def as_matrices(state: dict[str, Tensor], names: str) -> dict[str, Tensor]:
    """The state with 1×1 convolution weights ``(out, in, 1, 1)`` whose names match as ``(out, in)``."""
    return {
        key: tensor.flatten(1) if re.search(names, key) and tensor.shape[2:] == (1, 1) else tensor
        for key, tensor in state.items()
    }
