"""Exported networks: ONNX through onnxruntime, TorchScript, and torch.export's pt2."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.errors import MedbenchError
from medbench.core.extras import require_package
from medbench.core.files import read_bytes
from medbench.core.machine import memory_bytes
from medbench.core.text import first_line
from medbench.models.checkpoint_files import refuse_damaged

if TYPE_CHECKING:
    from torch import nn

EMBEDDED = "medbench.json"
_OTHER_FILES = ("model_path must not be empty", "external data")
"""What onnxruntime says of weights in another file."""


@dataclass(frozen=True, slots=True)
class Exported:
    """Facts embedded in an exported network.

    Attributes:
        contract: the input contract that medbench's export embedded; empty without.
        classes: that it learnt, as embedded.
        task: of its answers.
        axes: 2 or 3, spatial; 0 where the file does not say.
        channels: of its input; 0 where the file leaves them open.
        side: of its input; 0 where the file leaves it open.
        modalities: of its channels, with all names of each; empty where the file does not say.
    """

    contract: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    task: str = "label_map"
    axes: int = 0
    channels: int = 0
    side: int = 0
    modalities: tuple[tuple[str, ...], ...] = ()


def read_facts(path: Path) -> Exported:
    """Facts of the file's input.

    Raises:
        MedbenchError: ``model.file`` for a file that cannot be read as its suffix says, or keeps its weights
            in another one, ``weights.corrupt`` for a damaged archive, ``model.axes`` for inputs that are no
            batch of images or volumes, ``package.missing``.
    """
    if path.suffix.lower() == ".onnx":
        return _of_onnx(path)
    refuse_damaged(read_bytes(path, memory_bytes() // 2), path)
    extra = _extra_of_pt2(path) if path.suffix.lower() == ".pt2" else _extra_of_script(path)
    facts = _embedded(extra, path)
    return Exported(
        facts.get("contract", {}),
        tuple(facts.get("classes", ())),
        str(facts.get("task", "label_map")),
        int(facts.get("axes", 0)),
        modalities=_modalities(facts),
    )


def _modalities(facts: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(str, names)) for names in facts.get("modalities", ()))


def _embedded(text: str | bytes, path: Path) -> dict[str, Any]:
    if not text:
        return {}
    try:
        facts = json.loads(text)
        fits = isinstance(facts, dict) and isinstance(facts.get("contract", {}), dict)
        fits = fits and all(isinstance(names, list) for names in facts.get("modalities", ()))
    except ValueError:
        fits = False
    if not fits:
        raise MedbenchError(
            "model.file",
            f"{path}: its embedded input contract is no JSON object.",
            "Export the network again.",
        )
    return facts


def _session(path: Path) -> Any:
    require_package("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    content = read_bytes(path, memory_bytes() // 2)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if any(words in str(error).lower() for words in _OTHER_FILES):  # bytes lie in no folder beside others
            raise MedbenchError(
                "model.file",
                f"{path}: keeps its weights in another file, which no hash of this one covers.",
                f"Save it as one file: onnx.save(onnx.load('{path.name}'), 'whole.onnx').",
            ) from error
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> MedbenchError:
    if "constants.pkl" in str(error):  # which every archive of TorchScript has, and none of torch.save
        return MedbenchError(
            "model.file",
            f"{path}: is a checkpoint (torch.save), not an exported network.",
            f"Name the network, and the file as its weights: -m MODEL --weights {path.name}.",
        )
    text = first_line(error)[:200]
    return MedbenchError(
        "model.file",
        f"{path}: cannot be read as an exported network ({type(error).__name__}: {text}).",
        "Export it again; 'medbench export' writes such files.",
    )


def _of_onnx(path: Path) -> Exported:
    session = _session(path)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) < 1 or len(inputs[0].shape) not in (4, 5):
        shapes = ", ".join(str(one.shape) for one in inputs)
        raise MedbenchError(
            "model.axes",
            f"{path}: takes the inputs {shapes}, not one batch of images "
            "(N, C, H, W) or volumes (N, C, D, H, W).",
            "Export the network with one input of logits.",
        )
    shape = inputs[0].shape
    sides = {side for side in shape[2:] if isinstance(side, int)}
    if len(sides) > 1:
        raise MedbenchError(
            "model.axes",
            f"{path}: takes inputs of sides {shape[2:]}, expected square ones.",
            "Export it anew.",
        )
    facts = _embedded(session.get_modelmeta().custom_metadata_map.get(EMBEDDED, ""), path)
    channels = shape[1] if isinstance(shape[1], int) else 0
    return Exported(
        facts.get("contract", {}),
        tuple(facts.get("classes", ())),
        str(facts.get("task", "label_map")),
        len(shape) - 2,
        channels,
        next(iter(sides), 0),
        _modalities(facts),
    )


def _extra_of_script(path: Path) -> str | bytes:
    import torch

    extra = {EMBEDDED: ""}
    try:
        torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    except Exception as error:
        raise _unreadable(path, error) from error
    return extra[EMBEDDED]


def _extra_of_pt2(path: Path) -> str | bytes:
    extra = {EMBEDDED: ""}
    try:
        _load_pt2(path, extra)
    except Exception as error:
        raise _unreadable(path, error) from error
    return extra[EMBEDDED]


def _load_pt2(path: Path, extra: dict[str, Any] | None = None) -> Any:
    """The program of a pt2 file; tensors alone are unpickled, where torch.export would take any object."""
    import torch

    with _tensors_alone():
        return torch.export.load(str(path), extra_files=extra)


@contextlib.contextmanager
def _tensors_alone() -> Iterator[None]:
    """While it lasts ``torch.load`` refuses pickles of anything but tensors, whatever its caller asks for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def load_exported(path: Path) -> nn.Module:
    """The network of a file.

    Raises:
        MedbenchError: as :func:`read_facts`.
    """
    import torch

    from medbench.models.local.exported_networks import ExportedProgram, OnnxNetwork

    if path.suffix.lower() == ".onnx":
        return OnnxNetwork(_session(path), path)
    refuse_damaged(read_bytes(path, memory_bytes() // 2), path)
    try:
        if path.suffix.lower() == ".pt2":
            return ExportedProgram(_load_pt2(path).module())
        network: nn.Module = torch.jit.load(str(path), map_location="cpu")
    except Exception as error:
        raise _unreadable(path, error) from error
    return network
