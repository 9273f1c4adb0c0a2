"""Export of networks with their weights and input contract, checked against the network itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.extras import require_package
from medbench.core.files import atomic_path
from medbench.core.finite import refuse_not_finite
from medbench.core.guard import Failure, guarded
from medbench.core.progress import Progress
from medbench.core.seeds import derived_seed
from medbench.core.text import counted
from medbench.core.writable import refuse_unwritable
from medbench.inference.predictor import InputContract
from medbench.inference.volumes import VolumeContract
from medbench.models import model_entry
from medbench.models.local.exported import load_exported
from medbench.running.job import FoldedJob, resolve
from medbench.running.predictors import load_predictor, say_fresh_weights
from medbench.running.request import Request
from medbench.running.setup import Setup

if TYPE_CHECKING:
    import torch

Format = Literal["onnx", "torchscript", "pt2", "safetensors"]
SUFFIXES: dict[Format, str] = {
    "onnx": ".onnx",
    "torchscript": ".pt",
    "pt2": ".pt2",
    "safetensors": ".safetensors",
}
TOLERANCE = 1e-3
"""Largest difference of logits, as a share of the largest logit (at least 1)."""
IMAGES = 3


@dataclass(frozen=True, slots=True)
class Parity:
    """How the exported network answers against the network.

    Attributes:
        difference: largest difference of two logits.
        tolerance: largest difference that is allowed.
        agreement: share of positions with the same class.
        inputs: what was answered, in words.
    """

    difference: float
    tolerance: float
    agreement: float
    inputs: str


def export(
    request: Request,
    form: Format,
    output: Path,
    progress: Progress,
    classes: int | Sequence[str] | None = None,
) -> Parity | None:
    """Write a network in a format of others, with its input contract, and compare the answers.

    Args:
        request: model and weights; its challenge may be empty.
        form: the format.
        output: the file.
        progress: told of the steps.
        classes: names or number of the classes, where neither challenge nor weights say.

    Returns:
        The comparison; ``None`` for safetensors, whose values are compared bit by bit.

    Raises:
        MedbenchError: ``export.suffix``, ``output.unwritable``, ``export.network`` for networks that formats
            do not hold; ``network.not_finite`` for answers that are no numbers, or ``export.parity`` for
            answers beyond the tolerance, and then no file is left.
    """
    if output.suffix != SUFFIXES[form]:
        raise MedbenchError(
            "export.suffix",
            f"{output}: {form} files end in {SUFFIXES[form]}.",
            f"-o {output.stem}{SUFFIXES[form]}",
        )
    refuse_unwritable(output)
    if model_entry(request.model).local in ("docker", "command"):
        raise MedbenchError(
            "export.network",
            f"{request.model}: is a program, and formats hold networks.",
            "Name a network: FILE.py:CLASS, or one of 'medbench models'.",
        )
    for package in {"onnx": ("onnx", "onnxscript", "onnxruntime"), "safetensors": ("safetensors",)}.get(
        form, ()
    ):
        require_package(package)
    setup, inputs, description = _subject(request, progress, classes)
    facts = _facts(setup)
    if form == "safetensors":
        _write_safetensors(setup, facts, output)
        return None
    if isinstance(setup.network.input_contract(), VolumeContract) and setup.network.entry.modality_mask:
        raise MedbenchError(
            "export.network",
            f"{setup.network.name}: has a second input, the modalities that are present.",
            "Export safetensors.",
        )
    from medbench.running import export_formats

    network, write = _one_output(setup), getattr(export_formats, f"write_{form}")
    with atomic_path(output) as temporary:
        write(network, inputs[:1], json.dumps(facts, sort_keys=True), temporary)
        parity = _compare(network, temporary, inputs, description)
        if not parity.difference <= parity.tolerance:  # nor where one of the two is no number
            raise MedbenchError(
                "export.parity",
                f"{output.name}: differs by {parity.difference:.3g}, more than {parity.tolerance:.3g}.",
                "Use another format; no file was left.",
            )
    return parity


def _subject(
    request: Request, progress: Progress, classes: int | Sequence[str] | None
) -> tuple[Setup, npt.NDArray[np.float32], str]:
    """The setup, prepared inputs ``(N, C, …)``, and what they are."""
    if request.challenge:
        job = resolve(request, progress)
        if isinstance(job, FoldedJob):
            raise MedbenchError("export.network", f"{job.split} takes a network a fold.", "Name one fold.")
        setup = job.setup
        contract = setup.network.input_contract(_size(setup))
        samples = [guarded(case.id, lambda case=case: job.read(case)) for case in job.cases[:IMAGES]]  # type: ignore[misc]
        read = [sample for sample in samples if not isinstance(sample, Failure)]
        origin = f"{job.challenge.title} ({job.data.kind})"
        if read and isinstance(contract, InputContract):
            inputs = np.concatenate([contract.prepare(one.images[:1]) for one in read])  # type: ignore[union-attr]
            return (
                setup,
                inputs,
                f"{counted(len(inputs), 'image')} of {job.challenge.title} ({job.data.kind})",
            )
        if read and isinstance(contract, VolumeContract):
            volumes = [_window(contract.prepare(one).array, contract.size) for one in read]  # type: ignore[arg-type]
            return setup, np.stack(volumes), f"{counted(len(read), 'window')} of {origin}"
    predictor = load_predictor(
        request.model,
        weights="none" if request.weights == "auto" else request.weights,
        classes=classes,
        options=request.options,
        inference=request.inference,
    )
    setup = predictor.setup
    say_fresh_weights(request, setup.network, progress)
    sides = (_size(setup),) * (3 if setup.network.sees_volumes else 2)
    random = np.random.default_rng(derived_seed(0))
    inputs = random.standard_normal((IMAGES, setup.network.in_channels, *sides)).astype(np.float32)
    return setup, inputs, f"{IMAGES} random inputs"


def _size(setup: Setup) -> int:
    size: int = setup.settings()["image_size"]
    return size


def _window(array: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """The middle of a volume as one window, padded by zeros where it is smaller."""
    window = np.zeros((len(array), *(size,) * 3), np.float32)
    parts = [slice(max(0, (side - size) // 2), max(0, (side - size) // 2) + size) for side in array.shape[1:]]
    middle = array[(slice(None), *parts)]
    window[(slice(None), *(slice(side) for side in middle.shape[1:]))] = middle
    return window


def _facts(setup: Setup) -> dict[str, Any]:
    """Facts embedded in the file: contract, classes, origin."""
    network, contract = setup.network, setup.network.input_contract(_size(setup))
    task, classes = next(iter(setup.challenge.card.demands.items()))
    own_contract: dict[str, Any] = {"size": _size(setup), "channels": network.in_channels}
    if isinstance(contract, InputContract):
        own_contract |= {
            "channel_order": contract.channel_order,
            "scale": contract.scale,
            "mean": list(contract.mean),
            "std": list(contract.std),
        }
    elif isinstance(contract, VolumeContract):
        own_contract |= {"background": contract.background, "blending": contract.blending}
    modalities = setup.challenge.card.modalities
    several = network.sees_volumes and len(modalities) > 1
    names = {"modalities": [[key, *others] for key, others in modalities.items()]} if several else {}
    return {
        **names,
        "contract": own_contract,
        "task": task,
        "classes": list(classes),
        "axes": 3 if network.sees_volumes else 2,
        "model": network.name,
        "weights_sha256": setup.weights.sha256,
    }


def _one_output(setup: Setup) -> torch.nn.Module:
    """The network with one output, the logits of the demanded task.

    Raises:
        MedbenchError: ``export.network`` where several tasks are demanded, or features are read.
    """
    demands = list(setup.challenge.card.demands)
    if len(demands) != 1 or setup.network.form == "sequence" or setup.network.framework is not None:
        raise MedbenchError(
            "export.network",
            f"{setup.network.name} for {setup.challenge.title}: has not one output of logits for images.",
            "Export safetensors.",
        )
    from medbench.running.export_formats import OneOutput

    return OneOutput(setup.module, setup.network.returned, demands[0]).eval()


def _write_safetensors(setup: Setup, facts: dict[str, Any], output: Path) -> None:
    from medbench.running.export_formats import write_safetensors

    own = {**setup.weights.facts, "export": facts} if setup.weights.facts else {"export": facts}
    write_safetensors(setup.module, own, output)


def _compare(
    network: torch.nn.Module, path: Path, inputs: npt.NDArray[np.float32], description: str
) -> Parity:
    import torch

    exported_network = load_exported(path).eval()
    with torch.inference_mode():
        first = torch.cat([network(torch.from_numpy(one[np.newaxis])) for one in inputs]).float()
        second = torch.cat([exported_network(torch.from_numpy(one[np.newaxis])) for one in inputs]).float()
    refuse_not_finite(first)
    refuse_not_finite(second)
    scale = max(1.0, float(first.abs().max()))
    same = (
        (first.argmax(1) == second.argmax(1)).float().mean()
        if first.shape[1] > 1
        else (((first >= 0) == (second >= 0)).float().mean())
    )
    return Parity(float((first - second).abs().max()), TOLERANCE * scale, float(same), description)
