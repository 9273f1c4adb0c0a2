"""Families of models that ``speed/gpu.py`` trains and predicts with, on random examples in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import medbench
from medbench.core.case import Case
from medbench.core.progress import SilentProgress
from medbench.core.sample import (
    Boxes,
    Sample,
    SequenceSample,
    TrainingBoxes,
    TrainingImage,
    TrainingSequence,
    TrainingVolume,
    VolumeSample,
)
from medbench.inference.predictor import InputContract, NetworkPredictor
from medbench.inference.torch_settings import tf32
from medbench.inference.volumes import VolumeContract, VolumePredictor
from medbench.models import model_entry
from medbench.profiling.latency import measure_latency
from medbench.profiling.workload import Workload
from medbench.training.fit import Learner, fit
from medbench.training.hardware import Hardware
from medbench.training.recipes import RECIPES_OF_TASKS, load_recipe, load_recipe_as
from medbench.training.sequence_fit import fit_sequences
from medbench.training.sequence_recipe import SequenceRecipe

STEPS = 20
TINY_STEPS = 4
CLASSES = 3
FRAMES = 320
TINY_OPTIONS: dict[str, dict[str, Any]] = {
    "fulltransnet": {
        "dim": 16,
        "heads": 4,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "window": 4,
        "ffn_dim": 32,
    },
    "cm_cgns.classifier": {"widths": [4, 4, 4, 4], "depths": [1, 1, 1, 1]},
    "monai/unet": {"channels": [4, 8]},
}
TASKS = ("label_map", "image_labels", "image_classes", "boxes", "landmarks")
"""What networks of images or volumes learn here: the first of these that they offer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        device: ``cuda``, ``cuda:N`` or ``cpu``.
        precision: of the training.
        tiny: whether networks and images are small.
    """

    device: str
    precision: str
    tiny: bool


class StepClock(SilentProgress):
    """Times the steps of every stage of a training after its first quarter, in which kernels are chosen.

    The device is waited for twice a stage, before the first and after the last of them: the steps themselves
    are begun ahead of it.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.total = self.done = self.timed_steps = 0
        self.began = self.seconds = 0.0

    def start(self, title: str, total: int) -> None:
        """Learn the number of steps of a stage; other work is not timed."""
        self.total, self.done = total if title == "training" else 0, 0

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Note the times at which the timed steps begin and end."""
        if not note or not self.total:
            return
        self.done += steps
        first = self.total // 4
        if self.done == first:
            self.began = self._now()
        elif self.done == self.total and first:
            self.seconds += self._now() - self.began
            self.timed_steps += self.total - first

    def _now(self) -> float:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def step_s(self) -> float | None:
        """Mean seconds of a step."""
        return self.seconds / self.timed_steps if self.timed_steps else None


@dataclass(frozen=True, slots=True)
class LoadImage:
    """Random pixels with a disc to learn."""

    number: int

    def __call__(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """An image and its labels."""
        rng = np.random.default_rng(self.number)
        y, x = np.mgrid[:size, :size]
        labels = ((x - rng.integers(size)) ** 2 + (y - rng.integers(size)) ** 2 < (size // 4) ** 2).astype(
            np.uint8
        )
        pixels = rng.integers(0, 128, (size, size, 3)) + 100 * labels[..., None]
        return pixels.astype(np.uint8), labels

    def points(self) -> np.ndarray:
        """Landmarks as shares of the sides."""
        return np.random.default_rng(self.number).random((CLASSES, 2))

    def boxes(self) -> Boxes:
        """One box, its corners as shares of the sides."""
        left, top = np.random.default_rng(self.number).uniform(0.1, 0.5, 2)
        return Boxes.of_reference([[left, top, left + 0.4, top + 0.3]], [self.number % CLASSES])


@dataclass(frozen=True, slots=True)
class LoadPixels:
    """Random pixels alone."""

    number: int

    def __call__(self, size: int) -> np.ndarray:
        """An image."""
        return LoadImage(self.number)(size)[0]


@dataclass(frozen=True, slots=True)
class LoadVolume:
    """Random voxels with a ball to learn, in so many modalities."""

    number: int
    channels: int
    side: int

    def __call__(self) -> tuple[VolumeSample, np.ndarray]:
        """A volume and its labels."""
        rng = np.random.default_rng(self.number)
        grid = np.indices([self.side] * 3) - self.side // 2
        labels = ((grid**2).sum(axis=0) < (self.side // 4) ** 2).astype(np.uint8)
        voxels = 1 + rng.random((self.channels, *labels.shape), np.float32) + labels
        names = tuple(f"m{number}" for number in range(self.channels))
        case = Case(f"c{self.number}", {}, {}, f"p{self.number}")
        return VolumeSample(case, names, voxels, (True,) * self.channels), labels


def load_sequence(number: int, features: int) -> TrainingSequence:
    """Random features of a video with a few key frames."""
    frames = np.random.default_rng(number).random((FRAMES, features)).astype(np.float32)
    ends = np.arange(20, FRAMES + 1, 20) * 15 - 1
    facts = {
        "picks": np.arange(FRAMES) * 15,
        "change_points": np.stack([ends - 299, ends], axis=1),
        "n_frames": FRAMES * 15,
    }
    sample = SequenceSample(Case(f"v{number}", {}), frames, facts=facts)
    targets = {"key_frames": np.arange(FRAMES) % 16 == 0}
    return TrainingSequence(f"v{number}", f"v{number}", lambda: (sample, targets), ())


class Family:
    """A model of a family with examples of its form.

    Attributes:
        in_this_process: whether it trains here, so that the memory it takes can be read.
    """

    in_this_process = True

    def __init__(self, model: str, plan: Plan) -> None:
        self.model, self.plan, self.entry = model, plan, model_entry(model)
        self.options = TINY_OPTIONS.get(model, {}) if plan.tiny else {}
        self.steps = TINY_STEPS if plan.tiny else STEPS
        self.task = next((task for task in TASKS if task in self.entry.offers), "frame_scores")
        self.recipe = self._recipe()
        self.classes = 1 if self.entry.spatial_dims == 1 else CLASSES
        self.size: int = getattr(self.recipe, "image_size", 0)
        self.batch: int = getattr(self.recipe, "batch_size", 1)

    def _recipe(self) -> Any:
        entry, tiny = self.entry, self.plan.tiny
        if entry.spatial_dims == 1:
            changes: dict[str, Any] = {"epochs": self.steps // 4, "least_steps": 0, "validation": "none"}
            return load_recipe_as(SequenceRecipe, entry.recipe_family, "default", changes)
        changes = {"validation": "none", "epochs": 1, "least_steps": 0}
        if entry.spatial_dims == 3:
            changes |= {"patches": 1, "missing_rates": "", "hide_sequences": False, "augmentation": "mirror"}
        if tiny:
            changes |= {
                "batch_size": 1 if entry.spatial_dims == 3 else 2,
                "image_size": {3: 32}.get(entry.spatial_dims, 128 if self.task == "boxes" else 64),
            }
        family = self.task if self.task in RECIPES_OF_TASKS else entry.recipe_family
        return load_recipe(family, "default", **changes)

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return 4 if self.entry.spatial_dims == 3 else self.entry.in_channels

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input of the network."""
        if self.entry.spatial_dims == 1:
            return (FRAMES, self.entry.in_channels)
        return (self.channels, *[self.size] * self.entry.spatial_dims)

    def workload(self) -> Workload:
        """One forward pass of one sample."""
        return Workload(self.model, self.shape, self.classes, dict(self.options), device=self.plan.device)

    def forward(self) -> tuple[float | None, str]:
        """Median seconds of a forward pass of one sample, or the reason why there are none."""
        (latency,) = measure_latency([self.workload()], seconds=0.5 if self.plan.tiny else 1.0)
        return latency.p50_s, latency.reason

    def build(self) -> torch.nn.Module:
        """The network with fresh weights."""
        sizes = (
            {} if self.entry.spatial_dims == 1 else {"in_channels": self.channels, "image_size": self.size}
        )
        return medbench.create_model(self.model, num_classes=self.classes, **sizes, **self.options)

    def contract(self) -> Any:
        """Preparation of the input."""
        entry = self.entry
        if entry.spatial_dims == 3:
            return VolumeContract(self.size, entry.background, entry.blending, entry.modality_mask)
        mean, std, padded = tuple(entry.mean), tuple(entry.std), self.task == "boxes"
        return InputContract(self.size, entry.channel_order, entry.scale, mean, std, padded=padded)

    def train(self, folder: Path, progress: StepClock) -> None:
        """Train :attr:`steps` steps."""
        hardware = Hardware(self.plan.device, 1, 1, self.plan.precision)
        count = self.steps * self.batch
        if self.entry.spatial_dims == 1:
            folder.mkdir()
            examples = [load_sequence(number, self.entry.in_channels) for number in range(4)]
            fit_sequences(self.build, examples, self.recipe, folder, {}, hardware=hardware, progress=progress)
            return
        learner = Learner(self.build, self.contract(), CLASSES, (self.task,), (self.task,))
        cache = folder.parent / "prepared"
        if self.entry.spatial_dims == 3:
            loads = [LoadVolume(number % 4, self.channels, self.size + 8) for number in range(count)]
            volumes = [
                TrainingVolume(f"c{load.number}", f"p{load.number}", load, (), (True,) * self.channels)
                for load in loads
            ]
            fit(learner, volumes, self.recipe, folder, {}, hardware=hardware, progress=progress, cache=cache)
            return
        images = [self._example(number) for number in range(count)]
        fit(learner, images, self.recipe, folder, {}, hardware=hardware, progress=progress)  # type: ignore[arg-type]

    def _example(self, number: int) -> TrainingImage | TrainingBoxes:
        load = LoadImage(number % 64)
        names = (f"i{number}", f"g{number}")
        if self.task == "boxes":
            return TrainingBoxes(*names, LoadPixels(load.number), load.boxes, (number % CLASSES,))
        labels = tuple(int(number % CLASSES == label) for label in range(CLASSES))
        return TrainingImage(
            *names, load, self.task == "label_map", number % CLASSES, load.points, image_labels=labels
        )

    def predict(self) -> float | None:
        """Predicted cases a second; ``None`` for sequences, whose networks have predictors of their own."""
        network, device = self.build(), self.plan.device
        if self.entry.spatial_dims == 1:
            return None
        if self.entry.spatial_dims == 3:
            volume = LoadVolume(0, self.channels, self.size + self.size // 2)()[0]
            predictor = VolumePredictor(network, self.contract(), device=device)
            return per_second(lambda: predictor.predict(volume), 1, 2)
        demands = frozenset({self.task})
        plain = NetworkPredictor(network, self.contract(), tasks=(self.task,), device=device, together=True)
        samples = [
            Sample(Case(f"i{number}", {}), LoadImage(number)(self.size)[0][None], demands=demands)
            for number in range(plain.batch_size)
        ]
        return per_second(lambda: plain.start(samples)(), len(samples), 2 if self.plan.tiny else 8)

    def difference(self) -> float:
        """Largest difference of outputs in single precision between the device and the CPU, relative."""
        torch.manual_seed(0)
        network = self.build().eval()
        inputs = torch.randn(1, *self.shape, generator=torch.Generator().manual_seed(0))
        further = None if self.task == "boxes" else self.workload().further_inputs()
        every = (inputs, *further(inputs)) if further else (inputs,)
        with torch.inference_mode(), tf32(False):
            expected = _first(network(*every))
            placed = [part.to(self.plan.device) for part in every]
            answer = _first(network.to(self.plan.device)(*placed)).cpu()
        if answer.shape != expected.shape:
            raise ValueError(f"the device answers {tuple(answer.shape)}, the CPU {tuple(expected.shape)}")
        if not expected.numel():
            return 0.0
        return float((answer - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


def _first(output: Any) -> torch.Tensor:
    """The first output; of a detector the scores of the first image."""
    part = output[0] if isinstance(output, tuple | list) else output
    tensor: torch.Tensor = part["scores"] if isinstance(part, dict) else part
    return tensor.float()


def per_second(call: Callable[[], Any], cases: int, repeats: int) -> float:
    """Cases a second over some calls, after a first one."""
    call()
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return cases * repeats / (time.perf_counter() - started)
