"""Fitting a network to a challenge's training split; a repeated call resumes."""

from __future__ import annotations

import functools
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.files import atomic_path, replace_flushed
from medbench.core.first_process import is_first_process
from medbench.core.progress import Progress, SilentProgress
from medbench.core.seeds import derived_seed
from medbench.core.text import counted
from medbench.models.random_state import kept_random_state
from medbench.training.cpu_time import CpuTime
from medbench.training.hardware import Hardware, present_hardware
from medbench.training.result_files import BEST, RESUME, WEIGHTS, is_finished, leave_best
from medbench.training.trainer import make_trainer, quiet_lightning, run_trainer

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torch import nn

    from medbench.core.sample import TrainingBoxes, TrainingImage, TrainingVolume
    from medbench.inference.predictor import InputContract
    from medbench.inference.volumes import VolumeContract
    from medbench.training.recipes import Recipe
    from medbench.training.task import NetworkTask
    from medbench.training.training_batches import Batches

LEARNT = frozenset({"label_map", "image_classes", "image_labels", "boxes", "landmarks"})
"""Tasks that networks learn here."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Learner:
    """A network to fit, with the contract of its input.

    Attributes:
        build: makes the network with fresh weights; called after seeding.
        contract: how the network wants its images or volumes; its size is the recipe's.
        num_classes: segmentation classes, with the background; image classes where there is no segmentation.
        tasks: what the network returns, in its order.
        learns: what of it is learnt.
    """

    build: Callable[[], nn.Module]
    contract: InputContract | VolumeContract
    num_classes: int
    tasks: tuple[str, ...] = ("label_map",)
    learns: tuple[str, ...] = ("label_map",)


def make_callback(
    folder: Path,
    progress: Progress,
    max_steps: int = 0,
    max_minutes: float = 0.0,
    cpu_time: CpuTime | None = None,
) -> Callback:
    """A callback that reports steps and, after each epoch, saves the state and the best weights so far.

    Args:
        folder: for state and weights.
        progress: told of every step.
        max_steps: ends the training after so many steps; 0 does not.
        max_minutes: ends the training after that time, interrupted calls included; 0 does not.
        cpu_time: told of the first step, and kept with the state.
    """
    import torch
    from lightning.pytorch import Callback

    from medbench.training.host_values import HostValue

    meter = cpu_time or CpuTime()

    class Keeper(Callback):
        best = -1.0
        spent_s = 0.0
        begin_s = 0.0
        over = False
        progress: Progress

        def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
            self.loss = HostValue()
            self.progress = progress if trainer.is_global_zero else SilentProgress()
            steps = int(trainer.estimated_stepping_batches)
            self.progress.start("training", min(steps, max_steps) if max_steps else steps)
            self.progress.advance(trainer.global_step)
            self.begin_s = time.monotonic() - self.spent_s

        def on_train_batch_end(
            self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            self.loss.offer(trainer.callback_metrics["loss"])
            if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
                meter.end_step()
                epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
                self.progress.advance(1, f"{epoch} loss {self.loss.value:.3f}")
            self.over = _is_over(trainer, self.begin_s, max_steps, max_minutes)
            trainer.should_stop |= self.over

        def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
            score = trainer.callback_metrics.get(str(module.validation_score))
            last = trainer.current_epoch + 1 == trainer.max_epochs or self.over
            if trainer.is_global_zero and (last if score is None else float(score) > self.best):
                self.best = -1.0 if score is None else float(score)
                with atomic_path(folder / BEST) as temporary:
                    torch.save(module.get_submodule("network").state_dict(), temporary)
            if not last:
                save_state(trainer, folder)

        def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
            self.progress.finish()

        def state_dict(self) -> dict[str, Any]:
            return {"best": self.best, "spent_s": time.monotonic() - self.begin_s, **meter.state()}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.best, self.spent_s = state_dict["best"], state_dict.get("spent_s", 0.0)
            meter.go_on(state_dict)

    return Keeper()


def _is_over(trainer: Trainer, begin_s: float, max_steps: int, max_minutes: float) -> bool:
    """Whether a training has had its steps, or its time on the first device."""
    minutes = (time.monotonic() - begin_s) / 60
    out_of_time = bool(max_minutes) and bool(trainer.strategy.broadcast(minutes >= max_minutes))
    return out_of_time or bool(max_steps and trainer.global_step >= max_steps)


def save_state(trainer: Trainer, folder: Path) -> None:
    """Write the state to go on from; the state before stays until the new one is on the disk."""
    partial = folder / f"{RESUME}.partial"
    trainer.save_checkpoint(partial)
    if trainer.is_global_zero:
        replace_flushed(partial, folder / RESUME)


@kept_random_state()
def fit(
    learner: Learner,
    images: Sequence[TrainingImage] | Sequence[TrainingBoxes] | Sequence[TrainingVolume],
    recipe: Recipe,
    folder: Path,
    facts: dict[str, Any],
    *,
    hardware: Hardware,
    progress: Progress,
    cache: Path | None = None,
) -> Path:
    """Train by a recipe and write ``weights.pt`` and ``training.json`` into ``folder``.

    The state is saved after every epoch. A call that finds a state resumes from there and ends with the same
    weights as an uninterrupted one, to the bit where the processor's library adds in a fixed order (MKL
    promises that only with ``MKL_CBWR`` set). A call that finds the weights returns at once. On several
    devices a step's batch is shared, only the first process writes, and the others wait for it.

    Args:
        learner: network, contract and number of classes.
        images: training images, or volumes where the contract is one of volumes.
        recipe: settings of the training.
        folder: for state, weights and summary.
        facts: to store with the weights.
        hardware: devices and precision.
        progress: advanced by every step.
        cache: folder for prepared volumes; ``folder`` if ``None``.

    Returns:
        Path of the weights.

    Raises:
        MedbenchError: ``training.no_labels`` or ``training.diverged``, or as :func:`present_hardware`.
        KeyboardInterrupt: when the user or the system interrupts.
    """
    if is_finished(folder):
        return folder / WEIGHTS
    import torch

    cpu_time = CpuTime()
    progress = progress if is_first_process() else SilentProgress()
    hardware = present_hardware(hardware)
    torch.manual_seed(derived_seed(recipe.seed))
    network = learner.build()
    data, kind = _data(learner, images, recipe, cache or folder, hardware.workers or 0)
    hardware.division.check(data.step_batches().step_size)
    epochs, total_steps = _length(recipe, data, progress)
    resume = folder / RESUME if (folder / RESUME).exists() else None
    if resume:
        progress.say(f"Training goes on from {resume}.")
    if hardware.division.parts > 1 or hardware.kind != "cpu":
        progress.say(hardware.describe(recipe.batch_size))
    begin_s = time.perf_counter()
    with hardware.torch_settings(), warnings.catch_warnings(), quiet_lightning():
        warnings.simplefilter("ignore")
        callback = make_callback(folder, progress, recipe.max_steps, recipe.max_minutes, cpu_time)
        trainer = make_trainer(hardware, folder, epochs, callback)
        task = kind(network, recipe, learner.num_classes, total_steps)
        run_trainer(trainer, task, data, resume)
    if trainer.is_global_zero:
        checkpoint_facts = {
            **facts,
            "recipe": recipe.as_json(),
            "hardware": hardware.facts(recipe.batch_size),
            "image_size": recipe.image_size,
            "n_training_images": len(data.training),
            "n_validation_images": len(data.validation),
            "steps": trainer.global_step,
            "steps_left_out": int(task.guard.left_out),
            task.validation_score: _best_score(trainer),
        }
        session = {
            "device": hardware.device_name(),
            "threads": torch.get_num_threads(),
            "last_session_time_s": round(time.perf_counter() - begin_s, 1),
            **cpu_time.facts(),
            "resumed": resume is not None,
            **({"history": task.history} if hasattr(task, "history") else {}),
        }
        leave_best(folder, checkpoint_facts, session)
    trainer.strategy.barrier("weights")
    return folder / WEIGHTS


def _length(recipe: Recipe, data: Batches, progress: Progress) -> tuple[int, int]:
    """Epochs and optimizer steps of a training; more epochs than the recipe's are told."""
    steps_per_epoch = data.step_batches().steps
    epochs = recipe.epochs_of(steps_per_epoch)
    steps = steps_per_epoch * epochs
    if epochs != recipe.epochs and not recipe.max_steps:
        progress.say(
            f"So few cases make fewer than {counted(recipe.least_steps, 'step')} in "
            f"{counted(recipe.epochs, 'epoch')}: the training takes {counted(epochs, 'epoch')}, "
            f"{counted(steps, 'step')}."
        )
    return epochs, min(steps, recipe.max_steps or steps)


def _data(
    learner: Learner, images: Any, recipe: Any, cache: Path, workers: int
) -> tuple[Batches, Callable[..., NetworkTask]]:
    """Batches, and the task that learns from them."""
    from medbench.inference.volumes import VolumeContract

    contract = learner.contract
    if isinstance(contract, VolumeContract):
        from medbench.training.volumes import VolumeData, VolumeTask

        data = VolumeData(images, recipe, contract, cache, workers=workers)
        if recipe.loss == "modality_distillation":
            from medbench.training.distillation_task import ModalityDistillationTask

            return data, functools.partial(ModalityDistillationTask, rarity=data.rarity())
        return data, functools.partial(VolumeTask, with_mask=contract.modality_mask)
    if "landmarks" in learner.learns:
        from medbench.training.landmark_data import LandmarkData
        from medbench.training.landmark_task import LandmarkTask

        return LandmarkData(images, recipe, contract, workers=workers), LandmarkTask
    if "boxes" in learner.learns:
        from medbench.training.box_data import BoxData
        from medbench.training.box_task import BoxTask

        boxes = BoxData(images, recipe, contract, workers=workers)
        return boxes, functools.partial(BoxTask, steps_per_epoch=boxes.step_batches().steps)
    if "image_labels" in learner.learns:
        from medbench.training.label_task import ImageLabelData, ImageLabelTask

        labels = ImageLabelData(images, recipe, contract, workers=workers)
        return labels, functools.partial(ImageLabelTask, tasks=learner.tasks)
    if "label_map" not in learner.learns:
        from medbench.training.class_data import ImageClassData
        from medbench.training.class_task import ImageClassTask

        classes = ImageClassData(images, recipe, contract, learner.num_classes, workers=workers)
        kind = functools.partial(ImageClassTask, tasks=learner.tasks, class_counts=classes.class_counts)
        return classes, kind
    from medbench.training.data import TrainingData
    from medbench.training.task import SegmentationTask

    return TrainingData(images, recipe, contract, workers=workers), SegmentationTask


def _best_score(trainer: Any) -> float | None:
    best = max((callback.best for callback in trainer.callbacks if hasattr(callback, "best")), default=-1.0)
    return None if best < 0 else round(best, 6)
