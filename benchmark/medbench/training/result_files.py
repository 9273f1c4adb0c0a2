"""Files of a training: what it goes on from, and the result that it leaves."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, write_json
from medbench.core.finite import is_finite
from medbench.models.checkpoint_files import damaged_part

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "weights.pt"
SUMMARY = "training.json"
RESUME = "resume.ckpt"
BEST = "best.pt"


def is_finished(folder: Path) -> bool:
    """Whether a folder holds the result of a training."""
    return (folder / WEIGHTS).exists() and (folder / SUMMARY).exists()


def training_summary(folder: Path) -> dict[str, Any] | None:
    """Content of ``training.json`` of a finished training, or ``None`` where there is none."""
    if not is_finished(folder):
        return None
    summary: dict[str, Any] = read_json(folder / SUMMARY)
    return summary


def check_state(path: Path) -> None:
    """Refuse a stored state that is damaged: torch would go on from wrong numbers without a word.

    Raises:
        MedbenchError: ``training.state``.
    """
    try:
        with open(path, "rb") as stream:
            is_damaged = damaged_part(stream) is not None
    except zipfile.BadZipFile:
        is_damaged = True
    if is_damaged:
        raise MedbenchError(
            "training.state",
            f"{path}: the stored state of the training is damaged.",
            f"Remove the folder {path.parent} to train anew.",
        )


def best_weights(folder: Path, what: str) -> dict[str, Tensor]:
    """Weights of the epoch that is kept, on the CPU.

    Args:
        folder: of the training.
        what: is trained there, for the error.

    Raises:
        MedbenchError: ``training.diverged`` for weights that are not finite, or as :func:`check_state`.
    """
    import torch

    check_state(folder / BEST)
    state: dict[str, Tensor] = torch.load(folder / BEST, map_location="cpu", weights_only=True)
    if not all(map(is_finite, state.values())):
        raise MedbenchError(
            "training.diverged", f"{what} ended with infinite weights.", "Lower the learning rate."
        )
    return state


def write_result(
    folder: Path, state: dict[str, Tensor], facts: Mapping[str, Any], session: Mapping[str, Any]
) -> Path:
    """Write ``weights.pt`` and ``training.json``, whole or not at all.

    Args:
        folder: of the training.
        state: parameter name -> tensor, on the CPU.
        facts: stored with the weights and in ``training.json``.
        session: facts for ``training.json`` alone, such as times, which differ between equal trainings.

    Returns:
        Path of the weights.
    """
    from medbench.inference.weights import save_checkpoint

    save_checkpoint(folder / WEIGHTS, state, dict(facts))
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(folder / SUMMARY, {**facts, **session, "finished": now})
    return folder / WEIGHTS


def leave_best(folder: Path, facts: Mapping[str, Any], session: Mapping[str, Any]) -> Path:
    """Make the best weights the result of a training, and remove what it would go on from.

    Args and returned path: as :func:`write_result`.

    Raises:
        MedbenchError: ``training.diverged``.
    """
    weights = write_result(folder, best_weights(folder, f"{folder}: training"), facts, session)
    (folder / BEST).unlink()
    (folder / RESUME).unlink(missing_ok=True)
    return weights
