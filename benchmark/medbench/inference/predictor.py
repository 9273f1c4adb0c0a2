"""The standard predictor of two-dimensional networks: pictures in, label maps and class scores out."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from medbench.core.sample import Prediction, Sample

if TYPE_CHECKING:
    import torch


class Predictor(Protocol):
    """Anything that answers samples: a network, a container, a folder of earlier predictions.

    Attributes:
        time_s: seconds spent so far by phase (``preprocess``, ``forward``, ``postprocess``).
    """

    time_s: dict[str, float]

    def predict(self, sample: Sample) -> Prediction:
        """The prediction for one case."""
        ...


@dataclass(frozen=True, slots=True)
class InputContract:
    """How a network wants its pictures.

    Attributes:
        size: side in pixels that pictures are resized to; ``None`` keeps their own size.
        channel_order: ``RGB`` or ``BGR``.
        scale: 8-bit values are divided by this.
        mean: subtracted after scaling, one a channel.
        std: divided by afterwards, one a channel.
    """

    size: int | None = None
    channel_order: str = "RGB"
    scale: float = 255.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def prepare(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """``(images, height, width, 3)`` 8-bit RGB to normalised ``(images, 3, size, size)`` float32."""
        from medbench.io.raster import resize_picture

        if self.size is not None:
            images = np.stack([resize_picture(image, self.size, self.size) for image in images])
        if self.channel_order == "BGR":
            images = images[..., ::-1]
        scaled = images.astype(np.float32) / np.float32(self.scale)
        normalised = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))


@contextlib.contextmanager
def torch_settings(deterministic: bool, threads: int | None) -> Iterator[None]:
    """Set the number of threads and determinism for a block, and put both back."""
    import torch

    before_threads = torch.get_num_threads()
    before_deterministic = torch.are_deterministic_algorithms_enabled()
    before_warn = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        if threads:
            torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        yield
    finally:
        torch.set_num_threads(before_threads)
        torch.use_deterministic_algorithms(before_deterministic, warn_only=before_warn)


class NetworkPredictor:
    """A 2-D network with a segmentation output and, optionally, an image-level one.

    Logits are brought back to the picture's own size (bilinear) before the argmax. Batches never mix
    cases, so a case's prediction does not depend on where a run started.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        contract: InputContract,
        *,
        device: str = "cpu",
        batch_size: int = 8,
        precision: str = "fp32",
    ) -> None:
        import torch

        self.network = network.eval().to(device)
        self.contract = contract
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.autocast_dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self.time_s: dict[str, float] = defaultdict(float)

    def predict(self, sample: Sample) -> Prediction:
        """Label maps at the pictures' own size and class probabilities, as demanded."""
        labels: list[npt.NDArray[np.uint8]] = []
        classes: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(sample.images), self.batch_size):
            images = sample.images[start : start + self.batch_size]
            with self._timed("preprocess"):
                prepared = self.contract.prepare(images)
            with self._timed("forward"):
                logits, image_logits = self._forward(prepared)
            with self._timed("postprocess"):
                if "labels" in sample.demands:
                    labels.append(_label_maps(logits, images.shape[1:3]))
                if "image_classes" in sample.demands:
                    assert image_logits is not None, "the network was built without an image-level head"
                    classes.append(image_logits.float().softmax(dim=1).cpu().numpy())
        return Prediction(
            labels=np.concatenate(labels) if labels else None,
            image_classes=np.concatenate(classes) if classes else None,
        )

    def _forward(self, prepared: npt.NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor | None]:
        import torch

        autocast = torch.autocast(
            self.device.type, self.autocast_dtype, enabled=self.autocast_dtype is not None
        )
        with torch.inference_mode(), autocast:
            output = self.network(torch.from_numpy(prepared).to(self.device))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return output if isinstance(output, tuple) else (output, None)

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.time_s[phase] += time.perf_counter() - started


def _label_maps(logits: torch.Tensor, size: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    import torch
    from torch.nn import functional

    with torch.inference_mode():
        full = functional.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)
        return full.argmax(dim=1).to(torch.uint8).cpu().numpy()
