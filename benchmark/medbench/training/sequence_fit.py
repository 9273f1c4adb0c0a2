"""Fitting a network that sees sequences, one step a video; a repeated call goes on where it stopped."""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, write_json
from medbench.core.progress import Progress
from medbench.core.seeds import derived_seed
from medbench.training.fit import BEST, RESUME, SUMMARY, WEIGHTS

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from medbench.core.sample import TrainingSequence
    from medbench.training.fit import Hardware
    from medbench.training.sequence_recipe import SequenceRecipe
    from medbench.training.summary_losses import SummaryLoss

_ENTRIES_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
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


def read_lessons(examples: Sequence[TrainingSequence], progress: Progress) -> list[Lesson]:
    """All videos, read before the first step; those without a chosen frame are told and left out.

    Raises:
        MedbenchError: naming file and video of the first that cannot be read, ``training.no_labels`` when
            none has a chosen frame.
    """
    import torch

    lessons = []
    for example in examples:
        sample, targets = example.load()
        key_frames = np.flatnonzero(targets["key_frames"])
        if len(key_frames) == 0:
            progress.say(
                f"{example.id}: its key-shot summary has no sampled frame, so nothing is learnt from it."
            )
            continue
        lessons.append(
            Lesson(example.id, torch.from_numpy(sample.features), sample.facts, torch.from_numpy(key_frames))
        )
    if not lessons:
        raise MedbenchError(
            "training.no_labels", "No training video has a summary to learn from.", "Check gtscore."
        )
    return lessons


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
        hardware: its accelerator says where to train.
        progress: told of every step.
        judge: the score of the network on held-out videos, higher is better; the epoch with the best is kept,
            the last one without.

    Raises:
        MedbenchError: ``training.no_labels``, ``training.diverged``, or for videos that cannot be read.
    """
    weights = folder / WEIGHTS
    if weights.exists() and (folder / SUMMARY).exists():
        return weights
    import torch

    from medbench.inference.predictor import torch_settings
    from medbench.inference.weights import save_checkpoint

    lessons = read_lessons(examples, progress)
    torch.manual_seed(derived_seed(recipe.seed))
    network = build_network().to(device_of(hardware))
    epochs = recipe.epochs_of(len(lessons))
    started = time.perf_counter()
    with torch_settings(deterministic=True, threads=None):
        course = _Course(network, lessons, recipe, epochs, folder, judge)
        resumed = course.resume(progress)
        course.run(progress)
    state = torch.load(folder / BEST, map_location="cpu", weights_only=True)
    stored = {
        **facts,
        "recipe": recipe.as_json(),
        "n_training_images": len(lessons),
        "steps": epochs * len(lessons),
        "validation_score": None if judge is None else round(course.best, 6),
    }
    summary = {
        **stored,
        "last_session_time_s": round(time.perf_counter() - started, 1),
        "resumed": resumed,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    save_checkpoint(weights, state, stored)
    write_json(folder / SUMMARY, summary)
    (folder / BEST).unlink()
    (folder / RESUME).unlink(missing_ok=True)
    return weights


def device_of(hardware: Hardware) -> torch.device:
    """Where a single process trains.

    Raises:
        MedbenchError: ``training.devices`` for more than one device, which a step a video cannot use.
    """
    import torch

    if hardware.nodes > 1 or hardware.devices not in ("auto", 1, "1"):
        raise MedbenchError(
            "training.devices",
            "Networks of sequences train on one device, a video a step.",
            "Give --devices 1.",
        )
    if hardware.accelerator == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(hardware.accelerator)


class _Course:
    """A training under way."""

    def __init__(
        self,
        network: nn.Module,
        lessons: Sequence[Lesson],
        recipe: SequenceRecipe,
        epochs: int,
        folder: Path,
        judge: Callable[[nn.Module], float] | None,
    ) -> None:
        import torch

        from medbench.training.summary_losses import summary_loss

        self.network, self.lessons, self.recipe = network, lessons, recipe
        self.epochs, self.folder, self.judge = epochs, folder, judge
        self.loss = summary_loss(recipe.loss, recipe.smooth)
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.schedule: Any = None
        if recipe.schedule == "one_cycle":
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(
                self.optimizer, recipe.learning_rate, total_steps=epochs * len(lessons), pct_start=0.2
            )
        self.epoch, self.best = 0, -1.0

    def resume(self, progress: Progress) -> bool:
        """Go on from a stored state, if there is one."""
        import torch

        path = self.folder / RESUME
        if not path.exists():
            return False
        progress.say(f"Training goes on from {path}.")
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.best = state["epoch"], state["best"]
        return True

    def run(self, progress: Progress) -> None:
        """All epochs that are left."""
        progress.start("training", self.epochs * len(self.lessons))
        progress.advance(self.epoch * len(self.lessons))
        while self.epoch < self.epochs:
            self.network.train()
            order = list(range(len(self.lessons)))
            random.Random(derived_seed(self.recipe.seed, self.epoch)).shuffle(order)
            for place, index in enumerate(order):
                step = self.epoch * len(order) + place
                value = self._step(self.lessons[index], step)
                progress.advance(1, f"epoch {self.epoch + 1}/{self.epochs} loss {value:.4f}")
            self.epoch += 1
            self._keep()
        progress.finish()

    def _step(self, lesson: Lesson, step: int) -> float:
        import torch

        torch.manual_seed(derived_seed(self.recipe.seed, 1, step))
        loss = lesson_loss(self.network, lesson, self.loss)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise MedbenchError(
                "training.diverged",
                f"{self.folder}: the loss of {lesson.id} is {value} in step {step}.",
                "Lower the learning rate.",
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_clip)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return value

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
                "epoch": self.epoch,
                "best": self.best,
            }
            _store(self.folder / RESUME, state)


def _store(path: Path, state: Any) -> None:
    import torch

    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def lesson_loss(network: nn.Module, lesson: Lesson, loss: SummaryLoss) -> Tensor:
    """The loss of one video.

    A network that scores frames is compared with the key frames, frame by frame. One that gives a
    distribution
    over the frames for every frame that its decoder is given is compared with a row each: 1 at that very
    frame if it is a key frame, else 0 everywhere.

    Args:
        network: of either kind.
        lesson: the video.
        loss: of probabilities and targets.
    """
    import torch

    device = next(network.parameters()).device
    frames, chosen = lesson.features[None].to(device), lesson.key_frames.to(device)
    n_frames = frames.shape[1]
    if not hasattr(network, "distribution"):
        target = torch.zeros(n_frames, device=device)
        target[chosen] = 1.0
        return loss(network(frames)[0], target)
    from medbench.inference.fulltransnet_predictor import global_frames

    decoder_frames = network.decoder_frames(n_frames, lesson.key_frames).to(device)  # type: ignore[operator]
    everywhere = global_frames(lesson.facts).to(device)[None]
    tokens = network.summary_tokens(frames, frames[:, decoder_frames], everywhere)  # type: ignore[operator]
    is_key = torch.zeros(n_frames, device=device)
    is_key[chosen] = 1.0
    sums = sum(_row_sums(network, tokens[0], decoder_frames, is_key, loss))
    return loss.value(sums, len(decoder_frames) * n_frames)  # type: ignore[arg-type]


def _row_sums(
    network: Any, tokens: Tensor, given: Tensor, is_key: Tensor, loss: SummaryLoss
) -> Iterator[Tensor]:
    """Sums over some rows at a time; where there are several parts, their matrices are not kept."""
    import torch
    from torch.utils.checkpoint import checkpoint

    n_frames = len(is_key)
    rows = max(1, _ENTRIES_AT_ONCE // n_frames)

    def sums_of(part: Tensor, columns: Tensor) -> Tensor:
        target = torch.zeros(len(part), n_frames, device=part.device)
        target[torch.arange(len(part), device=part.device), columns] = is_key[columns]
        return loss.sums(network.distribution(part, n_frames), target)

    for part, columns in zip(tokens.split(rows), given.split(rows), strict=True):
        if len(tokens) <= rows:
            yield sums_of(part, columns)
        else:
            yield checkpoint(sums_of, part, columns, use_reentrant=False)
