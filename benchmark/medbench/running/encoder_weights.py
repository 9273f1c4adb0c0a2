"""Weights of single encoders, from local files, for the beginning of a pre-training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.inference.weights import load_checkpoint

if TYPE_CHECKING:
    from torch import Tensor, nn

    from medbench.models.cm_cgns.image_encoder import ImageEncoder
    from medbench.models.cm_cgns.text_encoder import TextEncoder

TEXT_FILES = ("model.safetensors", "pytorch_model.bin")


def load_text_weights(encoder: TextEncoder, path: Path) -> None:
    """Load a BERT's weights into a text encoder; heads of other tasks are left out.

    Args:
        encoder: the encoder.
        path: a file, or a folder with ``model.safetensors`` or ``pytorch_model.bin``.

    Raises:
        MedbenchError: ``weights.missing``, ``weights.mismatch``, or as
            :func:`medbench.inference.weights.load_checkpoint`.
    """
    file = path
    if path.is_dir():
        present = [path / name for name in TEXT_FILES if (path / name).is_file()]
        if not present:
            raise MedbenchError(
                "weights.missing", f"{path}: holds none of {', '.join(TEXT_FILES)}.", "Check --text-weights."
            )
        file = present[0]
    state = {key.removeprefix("bert."): value for key, value in load_checkpoint(file).state.items()}
    own = encoder.encoder.state_dict()
    parameters = {
        key.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): value
        for key, value in state.items()
    }
    _load(encoder.encoder, {key: value for key, value in parameters.items() if key in own}, file, "pooler.")


def load_image_weights(encoder: ImageEncoder, path: Path) -> None:
    """Load a backbone's weights, in torchvision's or timm's names, into an image encoder; its pool stays.

    Raises:
        MedbenchError: as :func:`load_text_weights`.
    """
    state = load_checkpoint(path).state
    parameters = {key: value for key, value in state.items() if not key.startswith(("fc.", "head."))}
    _load(encoder.backbone, parameters, path)


def _load(network: nn.Module, state: dict[str, Tensor], path: Path, optional: str = "\0") -> None:
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.startswith(optional)]
    wrong = [key for key in state if key not in own or own[key].shape != state[key].shape]
    if missing or wrong:
        raise MedbenchError(
            "weights.mismatch",
            f"{path}: does not fit the encoder: {counted(len(missing), 'parameter')} missing, {len(wrong)} "
            f"unknown or of another shape (first: {', '.join((wrong or missing)[:3])}).",
            "Give the encoder's sizes by --set, or the right file.",
        )
    network.load_state_dict(state, strict=False)
