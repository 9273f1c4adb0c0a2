"""Checkpoints: ours with their facts, the authors' by renaming, and nothing that executes code."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path

if TYPE_CHECKING:
    import torch

FACTS_KEY = "medbench"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state dictionary and what is known of it.

    Attributes:
        state: parameter name -> tensor, on the CPU.
        facts: what our own training recorded (model, options, image size, recipe …); empty for foreign files.
        sha256: of the file.
    """

    state: dict[str, torch.Tensor]
    facts: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""


def save_checkpoint(path: Path, state: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """Write weights with their facts, atomically; equal weights and facts give equal bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save({"state_dict": state, FACTS_KEY: json.dumps(facts, sort_keys=True)}, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load_checkpoint(path: Path, verify: Callable[[str], None] | None = None) -> Checkpoint:
    """Read a checkpoint once, without executing anything in it.

    Bare state dictionaries and the usual wrappers (``state_dict``, ``model``, ``net``, ``network``) are
    understood; a ``module.`` prefix is dropped.

    Args:
        path: the file.
        verify: called with the SHA-256 of the bytes before anything is made of them; may raise.

    Raises:
        MedbenchError: ``weights.missing``, ``weights.unsafe`` for a file that holds anything but tensors
            and plain values, ``weights.corrupt``, or ``weights.not_a_state_dict``.
    """
    if not path.is_file():
        raise MedbenchError("weights.missing", f"{path}: there is no such checkpoint.", "Check --weights.")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if verify is not None:
        verify(sha256)
    state, facts = _parsed(content, path)
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    return Checkpoint(state, facts, sha256)


def _parsed(content: bytes, path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """State dictionary and facts in the bytes of a checkpoint."""
    import pickle

    import torch

    try:
        stored = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise MedbenchError(
            "weights.unsafe",
            f"{path}: refused: it holds more than tensors and plain values, so loading it could run code.",
            "Ask its author for a plain state_dict or a safetensors file.",
        ) from error
    except Exception as error:
        raise MedbenchError(
            "weights.corrupt",
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}).",
            "Copy the file again from its source.",
        ) from error
    facts: dict[str, Any] = {}
    state = stored
    if isinstance(stored, dict):
        if isinstance(stored.get(FACTS_KEY), str):
            facts = json.loads(stored[FACTS_KEY])
        for wrapper in ("state_dict", "model", "net", "network", "model_state_dict"):
            if isinstance(stored.get(wrapper), dict):
                state = stored[wrapper]
                break
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(t, torch.Tensor) for t in state.values())
    ):
        raise MedbenchError(
            "weights.not_a_state_dict",
            f"{path}: holds no state dictionary.",
            "Expected parameter names and tensors.",
        )
    return state, facts


def load_into(network: torch.nn.Module, model_name: str, checkpoint: Checkpoint, source: str) -> list[str]:
    """Load our own or the authors' weights into a network, strictly.

    A part of our own that the authors never released (an image-level head) may keep its initial weights.

    Returns:
        Names of the parameters that the checkpoint did not provide.

    Raises:
        MedbenchError: ``weights.mismatch`` naming the first parameters that do not fit.
    """
    from medbench.models import model_entry, official_state_dict

    own = network.state_dict()
    state = checkpoint.state
    if not set(own) & set(state) and model_entry(model_name).official_keys:
        state = official_state_dict(model_name, state)
    missing = [key for key in own if key not in state]
    excess = [key for key in state if key not in own]
    wrong = [key for key in own if key in state and own[key].shape != state[key].shape]
    optional = [key for key in missing if key.startswith("image_head.")]
    if excess or wrong or len(optional) < len(missing):
        first = (wrong or [key for key in missing if key not in optional] or excess)[:3]
        raise MedbenchError(
            "weights.mismatch",
            f"{source}: does not fit {model_name}: {len(missing) - len(optional)} parameters missing, "
            f"{len(excess)} unknown, {len(wrong)} of another shape (first: {', '.join(first)}).",
            "Give the options it was trained with (--set), or the right checkpoint.",
        )
    network.load_state_dict({**{key: own[key] for key in optional}, **state})
    return optional
