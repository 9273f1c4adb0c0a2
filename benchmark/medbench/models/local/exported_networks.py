"""Exported networks as modules that predictors call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class OnnxNetwork(nn.Module):
    """A session of onnxruntime; a file with a fixed batch answers input by input.

    Args:
        session: ``onnxruntime.InferenceSession``.
        path: its file.
    """

    def __init__(self, session: Any, path: Path) -> None:
        super().__init__()
        self.session = session
        self.name, batch = session.get_inputs()[0].name, session.get_inputs()[0].shape[0]
        self.one_by_one = isinstance(batch, int)
        self.parameter_count = _count(path)

    def forward(self, images: Tensor) -> Tensor:
        """The first output for a batch of inputs."""
        values = images.detach().float().cpu().numpy()
        parts = [values[index : index + 1] for index in range(len(values))] if self.one_by_one else [values]
        answers = [self.session.run(None, {self.name: part})[0] for part in parts]
        return torch.from_numpy(np.concatenate(answers)).to(images.device)


def _count(path: Path) -> int | None:
    """Number of elements of the floating-point weights; ``None`` without the package onnx."""
    try:
        import onnx
    except ImportError:
        return None
    floating = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    weights = onnx.load(str(path), load_external_data=False).graph.initializer
    return sum(int(np.prod(one.dims)) for one in weights if one.data_type in floating)


class ExportedProgram(nn.Module):
    """A module of torch.export, which was exported for evaluation and refuses to be told so.

    Args:
        module: what ``torch.export.load(…).module()`` returns.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def train(self, mode: bool = True) -> ExportedProgram:
        """The module as it is."""
        return self

    def forward(self, images: Tensor) -> Any:
        """The module's output."""
        return self.module(images)
