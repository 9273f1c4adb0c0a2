"""Checkpoints of medbench and of authors, read without running code in them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, read_bytes
from medbench.core.machine import memory_bytes
from medbench.core.registry import nearest_names
from medbench.core.text import counted, printable
from medbench.inference.facts import read_facts
from medbench.inference.wrappers import dictionaries, peelings, unwrapped, wholes
from medbench.models.checkpoint_files import refuse_infinite, safetensors_texts, stored_values

if TYPE_CHECKING:
    import torch

SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")
"""Usual endings of checkpoints."""
FACTS_KEY = "medbench"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state dictionary with the facts of its training.

    Attributes:
        state: parameter name -> tensor, on the CPU.
        facts: model, options, image size, recipe … of a training by medbench; empty for other files.
        sha256: of the file.
    """

    state: dict[str, torch.Tensor]
    facts: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""


def save_checkpoint(path: Path, state: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """Write a checkpoint atomically; equal weights and facts give equal bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save({"state_dict": state, FACTS_KEY: json.dumps(facts, sort_keys=True)}, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load_checkpoint(path: Path, verify: Callable[[str], None] | None = None) -> Checkpoint:
    """The checkpoint in a file, read once and without running code in it.

    Files of torch and of safetensors, bare state dictionaries and those that lie in the file as its only one
    or under a usual entry (``state_dict``, ``model``, ``net`` …; :mod:`medbench.inference.wrappers`) are
    understood.

    Args:
        path: the file.
        verify: called with the SHA-256 of the file before it is parsed; may raise.

    Raises:
        MedbenchError: ``weights.missing``, ``file.too_large`` for one of more than half of the memory,
            ``weights.unsafe`` for a file that holds anything but tensors and plain values,
            ``weights.corrupt``, ``weights.not_a_state_dict``, ``weights.not_finite``, or ``weights.facts``.
    """
    if not path.is_file():
        raise no_such_checkpoint(path)
    content = read_bytes(path, memory_bytes() // 2)
    sha256 = hashlib.sha256(content).hexdigest()
    if verify is not None:
        verify(sha256)
    state, facts = _parse(content, path)
    state = unwrapped(state)
    refuse_infinite(state, str(path))
    return Checkpoint(state, facts, sha256)


def no_such_checkpoint(path: Path, words: Sequence[str] = ()) -> MedbenchError:
    """The error for a checkpoint that is not there, with the nearest name.

    Args:
        path: as it was given.
        words: that are understood in place of a file.
    """
    if path.is_dir():
        inside = next((file for file in sorted(path.iterdir()) if file.suffix in SUFFIXES), None)
        advice = "Give the .pt or .safetensors file of a training."
        advice = f"Give the file in it: {inside}." if inside else advice
        return MedbenchError("weights.missing", f"{path}: is a folder, not a checkpoint.", advice)
    beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    near = nearest_names(path.name.lower(), words) if len(path.parts) == 1 else []
    near = (near or [str(path.with_name(name)) for name in nearest_names(path.name, beside)])[:1]
    also = f" Expected a file, {' or '.join(words)}." if words else ""
    advice = f"Did you mean {near[0]}?" if near else "Check --weights."
    return MedbenchError("weights.missing", f"{path}: there is no such checkpoint.", advice + also)


def _parse(content: bytes, path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """State dictionary and facts in the bytes of a checkpoint."""

    contents = stored_values(content, path)
    facts: dict[str, Any] = {}
    if text := safetensors_texts(content).get(FACTS_KEY):
        facts = read_facts(text, path)
    elif isinstance(contents, dict) and isinstance(contents.get(FACTS_KEY), str):
        facts = read_facts(contents[FACTS_KEY], path)
    states = dictionaries(contents, _is_state) if isinstance(contents, dict) else {}
    if len(states) == 1:
        return next(iter(states.values())), facts
    if states:
        raise MedbenchError(
            "weights.several",
            f"{path}: holds several state dictionaries: {', '.join(map(printable, states))}.",
            "Save the one to use in a file of its own.",
        )
    raise MedbenchError(
        "weights.not_a_state_dict",
        f"{path}: holds no state dictionary{_no_tensors(contents)}.",
        "Expected parameter names and tensors.",
    )


def _is_state(value: Any) -> bool:
    """Whether a value is a dictionary of names and plain tensors."""
    import torch

    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(name, str) for name in value)
        and all(isinstance(tensor, torch.Tensor) and _is_plain(tensor) for tensor in value.values())
    )


def _no_tensors(contents: Any) -> str:
    """The first entries that are no plain tensors, where others are."""
    import torch

    if not isinstance(contents, dict):
        return ""
    tensors = [name for name, value in contents.items() if isinstance(value, torch.Tensor)]
    others = [
        printable(str(name))
        for name, value in contents.items()
        if not (isinstance(value, torch.Tensor) and _is_plain(value))
    ]
    return f": its entries {', '.join(others[:3])} are no plain tensors" if tensors and others else ""


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether every value is stored as it is: neither sparse nor quantised nor without values."""
    return str(tensor.layout) == "torch.strided" and not tensor.is_quantized and not tensor.is_meta


def load_into(network: torch.nn.Module, model_name: str, checkpoint: Checkpoint, source: str) -> list[str]:
    """Load weights of medbench or of the authors into a network, strictly.

    A part that the authors' network lacks (an image-level head) may keep its initial weights.

    Returns:
        Names of parameters that the checkpoint lacks.

    Raises:
        MedbenchError: ``weights.mismatch`` naming the first parameters that do not fit.
    """
    own = network.state_dict()
    state = _in_our_names(model_name, own, checkpoint.state, source)
    missing = [key for key in own if key not in state]
    excess = [key for key in state if key not in own]
    wrong = [key for key in own if key in state and own[key].shape != state[key].shape]
    optional = [key for key in missing if key.startswith("image_head.")]
    if excess or wrong or len(optional) < len(missing):
        first = (wrong or [key for key in missing if key not in optional] or excess)[:3]
        n_missing = counted(len(missing) - len(optional), "parameter")
        raise MedbenchError(
            "weights.mismatch",
            f"{source}: does not fit {model_name}: {n_missing} missing, "
            f"{len(excess)} unknown, {len(wrong)} of another shape (first: {', '.join(first)}).",
            "Give the options it was trained with (--set), or the right checkpoint.",
        )
    network.load_state_dict({**{key: own[key] for key in optional}, **state})
    return optional


def _in_our_names(
    model_name: str, own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], source: str
) -> dict[str, torch.Tensor]:
    """The weights without wrappers, in our names where they are in the authors'.

    Raises:
        MedbenchError: ``weights.several`` where the file holds the network's parameters more than once.
    """
    from medbench.models import model_entry, official_state_dict

    candidates = list(peelings(state))
    for candidate in candidates:
        if set(own) & set(candidate):
            return candidate
    parts = wholes(state, own)
    if len(parts) > 1:
        raise MedbenchError(
            "weights.several",
            f"{source}: holds the network's parameters {len(parts)} times: under "
            f"{', '.join(printable(beginning.rstrip('.')) for beginning in parts)}.",
            "Save those to use in a file of their own.",
        )
    if parts:
        return next(iter(parts.values()))
    if not model_entry(model_name).official_keys:
        return candidates[0]
    for candidate in candidates[:0:-1]:
        with contextlib.suppress(MedbenchError):
            return official_state_dict(model_name, candidate)
    return official_state_dict(model_name, candidates[0])
