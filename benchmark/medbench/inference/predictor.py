"""The predictor of two-dimensional networks, and the interface of all predictors."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.finite import refuse_not_finite
from medbench.core.machine import return_freed_memory_of_other_shapes
from medbench.core.sample import Prediction, Sample
from medbench.inference.decoding import ImageGeometry, Resampling, decode, outputs_by_task
from medbench.inference.torch_settings import tf32
from medbench.io.raster import looked_up

if TYPE_CHECKING:
    import torch

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


class Predictor(Protocol):
    """The interface of predictors: anything that gives predictions of samples."""

    @property
    def time_s(self) -> Mapping[str, float]:
        """Seconds spent so far by phase (``preprocess``, ``forward``, ``postprocess``)."""
        ...

    def predict(self, sample: Any) -> Prediction:
        """The prediction of a sample, with an answer for each of its demands."""
        ...


def summed_times(predictors: Iterable[Predictor]) -> dict[str, float]:
    """Seconds by phase, over all predictors."""
    total: dict[str, float] = {}
    for predictor in predictors:
        for phase, seconds in predictor.time_s.items():
            total[phase] = total.get(phase, 0.0) + seconds
    return total


@dataclass(frozen=True, slots=True)
class InputContract:
    """Preparation of images for a network.

    Attributes:
        size: side in pixels that images are resized to; ``None`` keeps the size of the images.
        channel_order: ``RGB`` or ``BGR``.
        scale: 8-bit values are divided by this.
        mean: subtracted after scaling, one number per channel.
        std: divisor after the subtraction, one number per channel.
        resampling: ``image`` averages areas on the way in and interpolates logits on the way back;
            ``spline`` is the protocol of TransUNet: cubic splines on the way in, and the label map by nearest
            neighbour on the way back (``scipy.ndimage.zoom`` of order 3 and 0).
        channels: 3, grey images repeated; or 1, colours weighed to grey as by ITU-R BT.601.
        padded: whether images keep their shape: the longer side is resized to ``size``, and the rest of the
            square at the bottom or right is filled with the value 0 of prepared images.
    """

    size: int | None = None
    channel_order: str = "RGB"
    scale: float = 255.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    resampling: Resampling = "image"
    channels: int = 3
    padded: bool = False

    def prepare(self, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Prepared images ``(images, channels, size, size)``, float32.

        Args:
            images: ``(images, height, width, 3)`` RGB or ``(images, height, width, 1)`` grey; 8 bit, or
                floating-point numbers from 0 to 1, which are not divided by ``scale``.
        """
        if self.size is not None:
            images = np.stack([self._resize(image, self.size) for image in images])
        if self.channels == 1 and images.shape[-1] == 3:
            grey = images.astype(np.float32) @ np.array(LUMA, np.float32)
            images = (np.rint(grey).astype(np.uint8) if images.dtype == np.uint8 else grey)[..., np.newaxis]
        if self.channels == 3 and images.shape[-1] == 1:
            images = np.repeat(images, 3, axis=-1)
        if self.channel_order == "BGR" and self.channels == 3:
            images = images[..., ::-1]
        if images.dtype == np.uint8:
            every_value = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], images.shape[-1], axis=1)
            planes = looked_up(images, self._normalised(every_value).T)
        else:
            planes = np.ascontiguousarray(self._normalised(images).transpose(0, 3, 1, 2))
        if self.padded and self.size is not None:
            below, right = self.size - planes.shape[2], self.size - planes.shape[3]
            planes = np.pad(planes, ((0, 0), (0, 0), (0, below), (0, right)))
        return planes

    def _normalised(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Values scaled, less the mean and divided by the deviation of their channel, the last axis."""
        pixels = values.astype(np.float32)
        if np.issubdtype(values.dtype, np.integer):
            pixels /= np.float32(self.scale)
        mean, std = (np.array(numbers[: self.channels], np.float32) for numbers in (self.mean, self.std))
        normal: npt.NDArray[np.float32] = (pixels - mean) / std
        return normal

    def _resize(self, image: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
        from medbench.io.raster import fitted_size, resize_image, spline_zoom

        if self.padded:
            return resize_image(image, *fitted_size(image.shape[:2], size))
        if self.resampling == "spline":
            return np.stack([spline_zoom(plane, size, size) for plane in np.moveaxis(image, -1, 0)], axis=-1)
        output = resize_image(image, size, size)
        return output if output.ndim == 3 else output[..., np.newaxis]


class TimedPredictor:
    """The base of predictors with a network: device, precision and time by phase."""

    def __init__(self, network: torch.nn.Module, device: str, precision: str) -> None:
        import torch

        self.network = network.eval().to(device)
        self.device = torch.device(device)
        self.autocast_dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.tf32 = precision == "tf32"
        self.time_s: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def inferring(self) -> Iterator[None]:
        """Run a block without gradients and in the precision, and wait for the device at its end."""
        import torch

        with self.computing():
            yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Run a block without gradients and in the precision; a CUDA device may be behind at its end."""
        import torch

        autocast = torch.autocast(
            self.device.type, self.autocast_dtype, enabled=self.autocast_dtype is not None
        )
        exact = tf32(self.tf32) if self.device.type == "cuda" else contextlib.nullcontext()
        with torch.inference_mode(), autocast, exact:
            yield

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time of a block to a phase."""
        begin_s = time.perf_counter()
        yield
        self.time_s[phase] += time.perf_counter() - begin_s


class NetworkPredictor(TimedPredictor):
    """A predictor that runs a 2-D network with one output per task.

    On the CPU batches never mix cases, so that a case's prediction does not depend on its neighbours to the
    last bit. On an accelerator cases of one size share a batch (:meth:`start`).

    Args:
        network: network with its weights.
        contract: preparation of images for the network.
        tasks: tasks in the order of the network's outputs.
        device: device of the network.
        batch_size: images per forward pass.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        together: whether cases of one size share batches; on accelerators alone if ``None``.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        contract: InputContract,
        *,
        tasks: Sequence[str] = ("label_map",),
        device: str = "cpu",
        batch_size: int = 8,
        precision: str = "fp32",
        together: bool | None = None,
    ) -> None:
        super().__init__(network, device, precision)
        self.contract = contract
        self.tasks = tuple(tasks)
        self.batch_size = batch_size
        self.together = self.device.type != "cpu" if together is None else together
        self._copies: torch.cuda.Stream | None = None

    def predict(self, sample: Sample) -> Prediction:
        """The prediction of a sample of images, at the size of the images."""
        batches: dict[str, list[Any]] = {task: [] for task in sorted(sample.demands)}
        for start in range(0, len(sample.images), self.batch_size):
            images = sample.images[start : start + self.batch_size]
            with self.timed("preprocess"):
                inputs = self.contract.prepare(images)
            with self.timed("forward"):
                outputs = self._forward(inputs)
            with self.timed("postprocess"):
                geometry = self._geometry(images, inputs)
                for task, answers in batches.items():
                    answers.append(decode(task, outputs[task], geometry))
        return Prediction({task: _joined(answers) for task, answers in batches.items()})

    def start(self, samples: Sequence[Sample]) -> Callable[[], list[Prediction]]:
        """Begin to predict samples of one size and demands in one batch; what gives their predictions.

        On CUDA the device computes meanwhile, and the answers are decoded and copied beside its next work.

        Args:
            samples: of together at most ``batch_size`` images.
        """
        with self.timed("preprocess"):
            images = np.concatenate([sample.images for sample in samples])
            inputs = self.contract.prepare(images)
        geometry = self._geometry(images, inputs)
        on_cuda = self.device.type == "cuda"
        marks = self._marks() if on_cuda else None
        with self.timed("enqueue" if on_cuda else "forward"), self._marked(marks), self.computing():
            output = self.network(self._placed(inputs))
        outputs = outputs_by_task(output, self.tasks)

        def finish() -> list[Prediction]:
            with self._beside(marks, outputs), self.timed("postprocess"):
                _refuse_not_finite_outputs(outputs)
                answers = {task: decode(task, outputs[task], geometry) for task in sorted(samples[0].demands)}
            ends = np.cumsum([len(sample.images) for sample in samples])
            return [
                Prediction({task: answer[end - len(sample.images) : end] for task, answer in answers.items()})
                for sample, end in zip(samples, ends, strict=True)
            ]

        return finish

    def _geometry(self, images: npt.NDArray[Any], inputs: npt.NDArray[np.float32]) -> ImageGeometry:
        contract = self.contract
        return ImageGeometry(images.shape[1:3], inputs.shape[2:], contract.resampling, contract.padded)

    def _marks(self) -> tuple[torch.cuda.Event, torch.cuda.Event]:
        import torch

        return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    @contextlib.contextmanager
    def _marked(self, marks: tuple[torch.cuda.Event, torch.cuda.Event] | None) -> Iterator[None]:
        """Record where a block's work begins and ends in the stream of the network's own device."""
        import torch

        if marks is None:
            yield
            return
        stream = torch.cuda.current_stream(self.device)
        marks[0].record(stream)
        yield
        marks[1].record(stream)

    @contextlib.contextmanager
    def _beside(self, marks: Any, outputs: Mapping[str, Any]) -> Iterator[None]:
        """Run a block on outputs that are ready, on CUDA in a stream beside the network's next work."""
        import torch

        if marks is None:
            with torch.inference_mode():
                yield
            return
        begin, end = marks
        with torch.cuda.device(self.device):
            if self._copies is None:
                self._copies = torch.cuda.Stream()
            end.synchronize()
            self.time_s["forward"] += begin.elapsed_time(end) / 1000
            with torch.inference_mode(), torch.cuda.stream(self._copies):
                for output in outputs.values():
                    if isinstance(output, torch.Tensor):
                        output.record_stream(self._copies)
                yield

    def _placed(self, inputs: npt.NDArray[np.float32]) -> torch.Tensor:
        """Prepared images on the device, copied to CUDA while this process goes on."""
        import torch

        images = torch.from_numpy(inputs)
        if self.device.type == "cuda":
            return images.pin_memory().to(self.device, non_blocking=True)
        return_freed_memory_of_other_shapes(inputs.shape)
        return images.to(self.device)

    def foreground(self, images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Probability of the foreground, 0 to 255, ``(images, height, width)`` at the images' own size.

        Raises:
            MedbenchError: as :func:`foreground_255`.
        """
        import torch
        from torch.nn import functional

        with self.timed("preprocess"):
            inputs = self.contract.prepare(images)
        with self.timed("forward"):
            logits = self.logits(inputs)
        with self.timed("postprocess"), torch.inference_mode():
            size = images.shape[1:3]
            full = functional.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)
            return foreground_255(full)

    def logits(self, inputs: npt.NDArray[np.float32]) -> torch.Tensor:
        """Segmentation logits of prepared images, on the device."""
        logits: torch.Tensor = self._forward(inputs)["label_map"]
        return logits

    def _forward(self, inputs: npt.NDArray[np.float32]) -> dict[str, Any]:
        with self.inferring():
            output = self.network(self._placed(inputs))
        outputs = outputs_by_task(output, self.tasks)
        _refuse_not_finite_outputs(outputs)
        return outputs


def _refuse_not_finite_outputs(outputs: Mapping[str, Any]) -> None:
    for answer in outputs.values():
        for tensor in _tensors(answer):
            refuse_not_finite(tensor)


def _tensors(answer: Any) -> Iterator[torch.Tensor]:
    """All tensors of an answer: itself, or those of each image's detections."""
    if isinstance(answer, Mapping):
        answer = list(answer.values())
    if isinstance(answer, list):
        for part in answer:
            yield from _tensors(part)
    elif hasattr(answer, "isfinite"):
        yield answer


def _joined(batches: list[Any]) -> Any:
    if isinstance(batches[0], np.ndarray):
        return np.concatenate(batches)
    return [answer for batch in batches for answer in batch]


def foreground_255(logits: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Probability of the foreground, ``(N, H, W)``, from logits of two classes or of the foreground alone.

    Raises:
        MedbenchError: ``network.classes`` for more than two classes.
    """
    import torch

    if logits.shape[1] > 2:
        raise MedbenchError(
            "network.classes",
            f"Slides and stitched patches have one foreground class, the network {logits.shape[1]} classes.",
            "Use a network with two classes.",
        )
    with torch.inference_mode():
        values = logits.float()
        chance = values[:, 0].sigmoid() if values.shape[1] == 1 else (values[:, 1] - values[:, 0]).sigmoid()
        parts: npt.NDArray[np.uint8] = (chance * 255).round().to(torch.uint8).cpu().numpy()
    return parts
