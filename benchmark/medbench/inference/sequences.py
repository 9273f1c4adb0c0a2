"""The predictor of networks for sequences: features of frames to one value per frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.finite import refuse_not_finite
from medbench.core.sample import Prediction, SequenceSample
from medbench.inference.decoding import outputs_by_task
from medbench.inference.predictor import TimedPredictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class SequencePredictor(TimedPredictor):
    """A predictor that runs a network on the frames of a sequence.

    Args:
        network: ``(1, frames, features)`` float32 to ``(1, frames)``, or to a mapping or tuple of one such
            output per task; further axes behind the frames are kept.
        tasks: names of the network's tasks in the order of its outputs.
        device: where the network runs.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        *,
        tasks: Sequence[str] = ("frame_scores",),
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        super().__init__(network, device, precision)
        self.tasks = tuple(tasks)

    def predict(self, sample: SequenceSample) -> Prediction:
        """The prediction of a sequence: float32 with one entry per frame for each task.

        Raises:
            MedbenchError: ``network.outputs`` when an output is missing or has not one entry a frame,
                ``network.not_finite`` when an entry is NaN or infinite.
        """
        import torch

        with self.timed("preprocess"):
            features = np.ascontiguousarray(sample.features, np.float32)[np.newaxis]
        with self.timed("forward"), self.inferring():
            output = self.network(torch.from_numpy(features).to(self.device))
        with self.timed("postprocess"):
            outputs = outputs_by_task(output, self.tasks)
            frames = len(sample.features)
            return Prediction({task: _frames(task, outputs[task], frames) for task in sorted(sample.demands)})


def _frames(task: str, output: Any, frames: int) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = output.float().cpu().numpy()
    if values.shape[:2] != (1, frames):
        raise MedbenchError(
            "network.outputs",
            f"The network's output for {task} has the shape {values.shape}, expected (1, {frames}).",
            "Return one entry for every frame of the sequence.",
        )
    refuse_not_finite(output)
    return values[0]
