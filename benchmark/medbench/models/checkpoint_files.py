"""Files of torch and of safetensors, of which nothing but tensors and plain values is read."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.text import printable

_IMAGE_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff")
_TORCH_SIGNATURES = (b"PK", b"\x80")
"""First bytes of an archive of torch, and of a pickle."""
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

    _refuse_damaged(content, path)
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


def _refuse_damaged(content: bytes, path: Path) -> None:
    """Refuse an archive of torch with a part whose checksum does not agree, which torch itself reads.

    Where no checksum agrees, the archive was written without any.

    Raises:
        MedbenchError: ``weights.corrupt`` naming the part.
    """
    if not content.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = [
                one for one in archive.infolist() if one.compress_type == zipfile.ZIP_STORED and one.file_size
            ]
            wrong = [one.filename for one in parts if not _agrees(archive, one)]
    except Exception:  # noqa: BLE001 - what is no archive at all is judged by torch
        return
    if 0 < len(wrong) < len(parts):
        raise MedbenchError(
            "weights.corrupt",
            f"{path}: is damaged: the checksum of {printable(wrong[0])} does not agree.",
            "Copy the file again from its source.",
        )


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
