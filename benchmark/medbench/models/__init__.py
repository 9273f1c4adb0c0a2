"""Models: a file per paper, shared parts in ``blocks``, a card of facts per family in ``cards``.

Importing this imports no torch.
"""

from __future__ import annotations

from medbench.models.entry import ModelEntry, ModelOption
from medbench.models.registry import (
    create_model,
    list_models,
    model_entries,
    model_entry,
    official_state_dict,
    register_model,
)

__all__ = [
    "ModelEntry",
    "ModelOption",
    "create_model",
    "list_models",
    "model_entries",
    "model_entry",
    "official_state_dict",
    "register_model",
]
