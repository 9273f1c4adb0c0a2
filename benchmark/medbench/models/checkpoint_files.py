"""Files of torch and of safetensors, of which nothing but tensors and plain values is read."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from medbench.core.errors import MedbenchError
from medbench.core.files import LFS_POINTER
from medbench.core.finite import is_finite
from medbench.core.text import printable

if TYPE_CHECKING:
    import torch

_IMAGE_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff")
_TORCH_SIGNATURES = (b"PK", b"\x80")
"""First bytes of an archive of torch, and of a pickle."""
WRAPPER_PARTS = frozenset(
    ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
)
"""Parts of names by torch.compile, FSDP, recomputed activations and Lightning's Fabric."""
_PIECE_BYTES = 1 << 20
_FOREIGN = re.compile(r"GLOBAL ([\w.]{1,80})")
"""In torch's refusal of a pickle, the type that it would make."""


def stored_values(content: bytes, path: Path) -> Any:
    """Tensors and plain values in the bytes of a checkpoint; no code in them is run.

    Args:
        content: the bytes.
        path: where they come from, for the error.

    Raises:
        MedbenchError: ``weights.unsafe`` for what holds anything else, ``weights.corrupt``, or
            ``weights.not_a_state_dict`` for an image or a network of TorchScript.
    """
    import pickle

    import torch

    refuse_damaged(content, path)
    if content.startswith(LFS_POINTER):
        raise MedbenchError(
            "weights.corrupt",
            f"{path}: is a pointer of Git LFS, not the file itself.",
            "Fetch it: git lfs pull.",
        )
    if content.startswith(_IMAGE_SIGNATURES):
        raise MedbenchError(
            "weights.not_a_state_dict",
            f"{path}: is an image, no checkpoint.",
            "Give the .pt or .safetensors file of a training.",
        )
    try:
        if _is_safetensors(content):
            from safetensors.torch import load

            return load(content)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not content.startswith(_TORCH_SIGNATURES):
            raise MedbenchError(
                "weights.unsafe",
                f"{path}: refused: it is no file of torch or safetensors, and reading others could run code.",
                "Give the .pt or .safetensors file of a training.",
            ) from error
        kind = _FOREIGN.search(str(error))
        raise MedbenchError(
            "weights.unsafe",
            f"{path}: refused: it holds more than tensors and plain values"
            f"{f' ({printable(kind[1])})' if kind else ''}, so loading it could run code.",
            "Ask its author for a plain state_dict or a safetensors file.",
        ) from error
    except Exception as error:
        if "TorchScript" in str(error):
            raise MedbenchError(
                "weights.not_a_state_dict",
                f"{path}: is a network of TorchScript, not a checkpoint.",
                f"Run the network itself: -m file:{path}.",
            ) from error
        raise MedbenchError(
            "weights.corrupt",
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}).",
            "Copy the file again from its source.",
        ) from error


def refuse_infinite(state: Mapping[str, torch.Tensor], source: str) -> None:
    """Refuse weights that no training leaves that went well.

    Raises:
        MedbenchError: ``weights.not_finite`` naming the first parameter with NaN or infinity.
    """
    for name, tensor in state.items():
        values = tensor.float() if tensor.is_floating_point() and tensor.element_size() == 1 else tensor
        if (tensor.is_floating_point() or tensor.is_complex()) and not is_finite(values):
            raise MedbenchError(
                "weights.not_finite",
                f"{source}: the parameter {printable(name)} holds NaN or infinity, so every answer would be "
                "nonsense.",
                "The training diverged or the file was damaged: use another checkpoint.",
            )


def refuse_damaged(content: bytes, path: Path) -> None:
    """Refuse an archive of torch with a part whose checksum does not agree, which torch itself reads.

    Raises:
        MedbenchError: ``weights.corrupt`` naming the part.
    """
    if not content.startswith(b"PK"):
        return
    try:
        part = damaged_part(io.BytesIO(content))
    except Exception:  # noqa: BLE001 - what is no archive at all is judged by torch
        return
    if part is not None:
        raise MedbenchError(
            "weights.corrupt",
            f"{path}: is damaged: the checksum of {printable(part)} does not agree.",
            "Copy the file again from its source.",
        )


def damaged_part(stream: BinaryIO) -> str | None:
    """Name of the first part of an archive of torch whose checksum does not agree; ``None`` if all agree.

    Where no checksum agrees, the archive was written without any.

    Raises:
        zipfile.BadZipFile: for what is no archive, or ends early.
    """
    with zipfile.ZipFile(stream) as archive:
        parts = [
            one for one in archive.infolist() if one.compress_type == zipfile.ZIP_STORED and one.file_size
        ]
        wrong = [one.filename for one in parts if not _agrees(archive, one)]
    return wrong[0] if 0 < len(wrong) < len(parts) else None


def _agrees(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    """Whether a part of an archive has the checksum that the archive says."""
    try:
        with archive.open(part) as stream:
            while stream.read(_PIECE_BYTES):
                pass
    except zipfile.BadZipFile:
        return False
    return True


def safetensors_texts(content: bytes) -> Mapping[str, str]:
    """Texts by name in the header of a safetensors file that was read before; none for other files."""
    if not _is_safetensors(content):
        return {}
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    texts: Mapping[str, str] = header.get("__metadata__") or {}
    return texts


def _is_safetensors(content: bytes) -> bool:
    """Whether the bytes begin as safetensors do: the length of a JSON object, and that object."""
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8
