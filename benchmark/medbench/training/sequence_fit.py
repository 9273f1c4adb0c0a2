"""Fitting a network that sees sequences, one step a video; a repeated call goes on where it stopped."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.core.progress import Progress
from medbench.core.seeds import derived_seed
from medbench.models.random_state import kept_random_state
from medbench.training.cpu_time import CpuTime
from medbench.training.hardware import Hardware, present_hardware
from medbench.training.result_files import BEST, RESUME, WEIGHTS, check_state, is_finished, leave_best

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from medbench.core.sample import TrainingSequence
    from medbench.training.sequence_recipe import SequenceRecipe
    from medbench.training.summary_losses import SummaryLoss

_ENTRIES_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class TrainingVideo:
    """A video to learn from, in memory.

    Attributes:
        id: of the example.
        features: ``(steps, features)``.
        facts: shots and sampled frames.
        key_frames: steps in the key-shot summary, ascending.
    """

    id: str
    features: Tensor
    facts: Mapping[str, Any]
    key_frames: Tensor


def read_videos(examples: Sequence[TrainingSequence], progress: Progress) -> list[TrainingVideo]:
    """All videos, read before the first step; those without a chosen frame are told and left out.

    Raises:
        MedbenchError: naming file and video of the first that cannot be read, ``training.no_labels`` when
            none has a chosen frame.
    """
    import torch

    videos = []
    for example in examples:
        sample, targets = example.load()
        key_frames = np.flatnonzero(targets["key_frames"])
        if len(key_frames) == 0:
            progress.say(
                f"{example.id}: its key-shot summary has no sampled frame, so nothing is learnt from it."
            )
            continue
        videos.append(
            TrainingVideo(
                example.id, torch.from_numpy(sample.features), sample.facts, torch.from_numpy(key_frames)
            )
        )
    if not videos:
        raise MedbenchError(
            "training.no_labels", "No training video has a summary to learn from.", "Check gtscore."
        )
    return videos


@kept_random_state()
def fit_sequences(
    build_network: Callable[[], nn.Module],
    examples: Sequence[TrainingSequence],
    recipe: SequenceRecipe,
    folder: Path,
    facts: Mapping[str, Any],
    *,
    hardware: Hardware,
    progress: Progress,
    judge: Callable[[nn.Module], float] | None = None,
) -> Path:
    """Train by a recipe and leave ``weights.pt`` and ``training.json`` in ``folder``.

    The state is written at the end of every epoch; a call that finds it goes on from there and ends with the
    weights of an uninterrupted one. A call that finds the weights returns at once.

    Args:
        build_network: makes the network with fresh weights; called after seeding.
        examples: videos to learn from.
        recipe: how.
        folder: where the state and the result go.
        facts: stored with the weights.
        hardware: device and precision.
        progress: told of every step.
        judge: the score of the network on held-out videos, higher is better; the epoch with the best is kept,
            the last one without.

    Raises:
        MedbenchError: ``training.no_labels``, ``training.diverged``, or for videos that cannot be read.
    """
    if is_finished(folder):
        return folder / WEIGHTS
    import torch

    cpu_time = CpuTime()
    videos = read_videos(examples, progress)
    device, hardware = device_of(hardware), present_hardware(hardware)
    torch.manual_seed(derived_seed(recipe.seed))
    network = build_network().to(device)
    epochs = recipe.epochs_of(len(videos))
    begin_s = time.perf_counter()
    with hardware.torch_settings():
        course = _Course(network, videos, recipe, epochs, folder, Steps(hardware.precision, judge, cpu_time))
        resume_state = course.resume(progress)
        course.run(progress)
    checkpoint_facts = {
        **facts,
        "recipe": recipe.as_json(),
        "hardware": hardware.facts(1),
        "n_training_images": len(videos),
        "steps": epochs * len(videos),
        "steps_left_out": int(course.guard.left_out),
        "validation_score": None if judge is None else round(course.best, 6),
    }
    session = {
        "device": hardware.device_name(),
        "threads": torch.get_num_threads(),
        "last_session_time_s": round(time.perf_counter() - begin_s, 1),
        **cpu_time.facts(),
        "resumed": resume_state,
    }
    return leave_best(folder, checkpoint_facts, session)


def device_of(hardware: Hardware) -> torch.device:
    """Where a single process trains.

    Raises:
        MedbenchError: ``training.devices`` for more than one device or pass, which a step a video cannot use,
            and as :func:`medbench.training.hardware.present_hardware`.
    """
    import torch

    present = present_hardware(hardware)
    if present.division.parts > 1:
        raise MedbenchError(
            "training.devices",
            "Networks of sequences train on one device, a video a step.",
            "Give --devices 1.",
        )
    return torch.device(present.accelerator)


@dataclass(frozen=True, slots=True)
class Steps:
    """How a step computes, and who judges the network.

    Attributes:
        precision: ``32``, ``bf16-mixed`` or ``16-mixed``.
        judge: as for :func:`fit_sequences`.
        cpu_time: told of the first step, and kept with the state.
    """

    precision: str = "32"
    judge: Callable[[nn.Module], float] | None = None
    cpu_time: CpuTime = field(default_factory=CpuTime)

    @contextlib.contextmanager
    def autocast(self, device: str) -> Iterator[None]:
        """Compute a block in the precision."""
        import torch

        dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision)
        with torch.autocast(device, dtype, enabled=dtype is not None, cache_enabled=False):
            yield


class _Course:
    """A training under way."""

    def __init__(
        self,
        network: nn.Module,
        videos: Sequence[TrainingVideo],
        recipe: SequenceRecipe,
        epochs: int,
        folder: Path,
        steps: Steps,
    ) -> None:
        import torch

        from medbench.training.gradients import GradientGuard
        from medbench.training.host_values import HostValue
        from medbench.training.summary_losses import summary_loss

        self.network, self.videos, self.recipe = network, videos, recipe
        self.epochs, self.folder, self.steps, self.judge = epochs, folder, steps, steps.judge
        self.device = next(network.parameters()).device
        if self.device.type == "cuda":
            self.videos = [replace(one, features=one.features.pin_memory()) for one in videos]
        self.guard, self.seen = GradientGuard().to(self.device), HostValue()
        halves = steps.precision == "16-mixed"
        self.scaler = torch.amp.GradScaler(self.device.type) if halves else None
        self.loss = summary_loss(recipe.loss, recipe.smooth)
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.schedule: Any = None
        if recipe.schedule == "one_cycle":
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(
                self.optimizer, recipe.learning_rate, total_steps=epochs * len(videos), pct_start=0.2
            )
        self.epoch, self.best = 0, -1.0

    def resume(self, progress: Progress) -> bool:
        """Go on from a stored state, if there is one."""
        import torch

        path = self.folder / RESUME
        if not path.exists():
            return False
        check_state(path)
        progress.say(f"Training goes on from {path}.")
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.guard.load_state_dict(state["guard"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.best = state["epoch"], state["best"]
        self.steps.cpu_time.go_on(state)
        return True

    def run(self, progress: Progress) -> None:
        """All epochs that are left."""
        progress.start("training", self.epochs * len(self.videos))
        progress.advance(self.epoch * len(self.videos))
        while self.epoch < self.epochs:
            self.network.train()
            order = list(range(len(self.videos)))
            random.Random(derived_seed(self.recipe.seed, self.epoch)).shuffle(order)
            for place, index in enumerate(order):
                step = self.epoch * len(order) + place
                value = self._step(self.videos[index], step)
                self.steps.cpu_time.end_step()
                progress.advance(1, f"epoch {self.epoch + 1}/{self.epochs} loss {value:.4f}")
            self.epoch += 1
            self._keep()
        progress.finish()

    def _step(self, video: TrainingVideo, step: int) -> float:
        import torch

        torch.manual_seed(derived_seed(self.recipe.seed, 1, step))
        with self.steps.autocast(self.device.type):
            loss = video_loss(self.network, video, self.loss)
        self.seen.offer(loss.detach())
        self.optimizer.zero_grad(set_to_none=True)
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        self.guard.before_step(self.optimizer, self.recipe.gradient_clip, self.scaler)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if self.seen.is_known and not np.isfinite(self.seen.value):
            raise MedbenchError(
                "training.diverged",
                f"{self.folder}: the loss is {self.seen.value} by step {step}, with {video.id}.",
                "Lower the learning rate.",
            )
        if self.schedule is not None:
            self.schedule.step()
        return self.seen.value

    def _keep(self) -> None:
        """Write the weights if they are the best so far, and the state to go on from."""

        last = self.epoch == self.epochs
        score = None
        if self.judge is not None:
            self.network.eval()
            score = self.judge(self.network)
        if last if score is None else score > self.best:
            self.best = -1.0 if score is None else score
            _store(self.folder / BEST, {key: value.cpu() for key, value in self.network.state_dict().items()})
        if not last:
            state = {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": None if self.schedule is None else self.schedule.state_dict(),
                "guard": self.guard.state_dict(),
                "scaler": None if self.scaler is None else self.scaler.state_dict(),
                "epoch": self.epoch,
                "best": self.best,
                **self.steps.cpu_time.state(),
            }
            _store(self.folder / RESUME, state)


def _store(path: Path, state: Any) -> None:
    import torch

    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def video_loss(network: nn.Module, video: TrainingVideo, loss: SummaryLoss) -> Tensor:
    """The loss of one video.

    A network that scores frames is compared with the key frames, frame by frame. One that gives a
    distribution over the frames for every frame that its decoder is given is compared with a row each: 1 at
    that very frame if it is a key frame, else 0 everywhere.

    Args:
        network: of either kind.
        video: in memory, on any device.
        loss: of probabilities and targets.
    """
    import torch

    device = next(network.parameters()).device
    frames = video.features[None].to(device, non_blocking=True)
    key_frames = video.key_frames.to(device, non_blocking=True)
    n_frames = frames.shape[1]
    if not hasattr(network, "distribution"):
        target = torch.zeros(n_frames, device=device)
        target[key_frames] = 1.0
        return loss.value(_sums(loss, network(frames)[0], target), target.numel())
    from medbench.inference.fulltransnet_predictor import global_frames

    frames_on_cpu: Tensor = network.decoder_frames(n_frames, video.key_frames)  # type: ignore[operator]
    decoder_frames = frames_on_cpu.to(device, non_blocking=True)
    everywhere = global_frames(video.facts).to(device, non_blocking=True)[None]
    tokens = network.summary_tokens(frames, frames[:, decoder_frames], everywhere)  # type: ignore[operator]
    is_key = torch.zeros(n_frames, device=device)
    is_key[key_frames] = 1.0
    sums = sum(_row_sums(network, tokens[0], decoder_frames, is_key, loss))
    return loss.value(sums, len(decoder_frames) * n_frames)  # type: ignore[arg-type]


def _sums(loss: SummaryLoss, probabilities: Tensor, targets: Tensor) -> Tensor:
    """A loss's sums in single precision, in which alone its logarithms and powers are safe."""
    import torch

    with torch.autocast(targets.device.type, enabled=False):
        return loss.sums(probabilities.float(), targets)


def _row_sums(
    network: Any, tokens: Tensor, decoder_frames: Tensor, is_key: Tensor, loss: SummaryLoss
) -> Iterator[Tensor]:
    """Sums over some rows at a time; where there are several parts, their matrices are not kept."""
    import torch
    from torch.utils.checkpoint import checkpoint

    n_frames = len(is_key)
    rows = max(1, _ENTRIES_AT_ONCE // n_frames)

    def sums_of(part: Tensor, columns: Tensor) -> Tensor:
        target = torch.zeros(len(part), n_frames, device=part.device)
        target[torch.arange(len(part), device=part.device), columns] = is_key[columns]
        return _sums(loss, network.distribution(part, n_frames), target)

    for part, columns in zip(tokens.split(rows), decoder_frames.split(rows), strict=True):
        if len(tokens) <= rows:
            yield sums_of(part, columns)
        else:
            yield checkpoint(sums_of, part, columns, use_reentrant=False)
