"""Writing of networks as ONNX, TorchScript, torch.export's pt2, and safetensors."""

from __future__ import annotations

import contextlib
import io
import json
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.core.silence import dropped
from medbench.core.text import first_line
from medbench.inference.decoding import outputs_by_task
from medbench.inference.weights import FACTS_KEY
from medbench.models.local.exported import EMBEDDED

Array = npt.NDArray[np.float32]


class OneOutput(nn.Module):
    """A network's logits of one task.

    Args:
        network: the network.
        tasks: of its outputs, in order.
        task: the one that is given.
    """

    def __init__(self, network: nn.Module, tasks: Sequence[str], task: str) -> None:
        super().__init__()
        self.network, self.tasks, self.task = network, tuple(tasks), task

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the task."""
        logits: Tensor = outputs_by_task(self.network(images), self.tasks)[self.task]
        return logits


def write_onnx(network: nn.Module, example: Array, facts: str, path: Path) -> None:
    """Write ONNX with a free number of inputs, its facts as metadata; torch prints nothing of a failure.

    Raises:
        MedbenchError: ``export.network`` with the reason of torch's exporter.
    """
    import onnx

    tensor = torch.from_numpy(np.repeat(example, 2, axis=0))
    names = {
        "input_names": ["images"],
        "output_names": ["logits"],
        "dynamic_axes": {"images": {0: "n"}, "logits": {0: "n"}},
    }
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), dropped(1):
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(network, (tensor,), str(path), dynamo=False, opset_version=17, **names)  # type: ignore[arg-type]
        except Exception as first:  # noqa: BLE001 - the other exporter is tried
            try:
                dynamic = {"images": {0: torch.export.Dim("n", min=1)}}
                program = torch.onnx.export(
                    network,
                    (tensor,),
                    dynamo=True,
                    dynamic_shapes=dynamic,
                    input_names=["images"],
                    verbose=False,
                )
                assert program is not None
                program.save(str(path), external_data=False)
            except Exception as second:
                raise _unexported("ONNX", first) from second
    model = onnx.load(str(path))
    entry = model.metadata_props.add()
    entry.key, entry.value = EMBEDDED, facts
    onnx.save(model, str(path))


def write_torchscript(network: nn.Module, example: Array, facts: str, path: Path) -> None:
    """Write a trace for inputs of one size.

    Raises:
        MedbenchError: ``export.network``.
    """
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        try:
            trace = torch.jit.trace(network, torch.from_numpy(example))
        except Exception as error:
            raise _unexported("TorchScript", error) from error
        torch.jit.save(trace, str(path), _extra_files={EMBEDDED: facts})


def write_pt2(network: nn.Module, example: Array, facts: str, path: Path) -> None:
    """Write torch.export's program for inputs of one size, with a free number where the network allows it.

    Raises:
        MedbenchError: ``export.network``.
    """
    tensor = torch.from_numpy(np.repeat(example, 2, axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dynamic = {"images": {0: torch.export.Dim("n", min=1)}}
            program = torch.export.export(network, (tensor,), dynamic_shapes=dynamic)
        except Exception:  # noqa: BLE001 - a network that fixes its number of inputs is exported for one
            try:
                program = torch.export.export(network, (tensor[:1],))
            except Exception as error:
                raise _unexported("pt2", error) from error
        torch.export.save(program, str(path), extra_files={EMBEDDED: facts})


def _unexported(form: str, error: Exception) -> MedbenchError:
    text = textwrap.shorten(first_line(error), 160, placeholder=" …")
    return MedbenchError(
        "export.network",
        f"The network cannot be written as {form} ({type(error).__name__}: {text}).",
        "Try --format torchscript or pt2; safetensors holds any network's weights.",
    )


def write_safetensors(network: nn.Module, facts: Mapping[str, Any], path: Path) -> None:
    """Write the weights, with the facts that medbench keeps with its own, and compare them bit by bit.

    Raises:
        MedbenchError: ``export.parity``.
    """
    from safetensors.torch import load_file, save_file

    state = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, str(temporary), {FACTS_KEY: json.dumps(facts, sort_keys=True)})
        from_file = load_file(str(temporary))
        differing = [name for name, value in state.items() if not torch.equal(value, from_file[name])]
        if differing:
            raise MedbenchError(
                "export.parity", f"{path.name}: {differing[0]} differs.", "Report this as a bug."
            )
