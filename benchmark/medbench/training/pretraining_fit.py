"""Fitting of a network to images and reports in two stages; a repeated call resumes."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, write_json
from medbench.core.first_process import is_first_process
from medbench.core.progress import Progress
from medbench.core.seeds import derived_seed
from medbench.models.random_state import kept_random_state
from medbench.training.fit import make_callback
from medbench.training.hardware import Hardware, present_hardware
from medbench.training.result_files import RESUME, WEIGHTS, best_weights, is_finished, write_result
from medbench.training.trainer import make_trainer, quiet_lightning, run_trainer

if TYPE_CHECKING:
    from medbench.models.cm_cgns.pretraining_network import PretrainingNetwork
    from medbench.training.pair_data import PairImages
    from medbench.training.pretraining_recipe import PretrainingRecipe
    from medbench.training.training_batches import Batches


@dataclass(frozen=True, slots=True)
class PairLearner:
    """A network to fit to pairs, and the pairs.

    Attributes:
        build: makes the network with its first weights; called after seeding.
        dataset: all pairs.
        training: indices of the pairs to learn from.
        validation: indices of the pairs that choose the epoch of each stage.
        judge: figures of the trained network on pairs that are held out, given a fresh one beside it.
    """

    build: Callable[[], PretrainingNetwork]
    dataset: PairImages
    training: Sequence[int]
    validation: Sequence[int]
    judge: Callable[[PretrainingNetwork, PretrainingNetwork], Mapping[str, Any]]


@kept_random_state()
def fit_pairs(
    learner: PairLearner,
    recipe: PretrainingRecipe,
    folder: Path,
    facts: Mapping[str, Any],
    *,
    hardware: Hardware,
    progress: Progress,
) -> Path:
    """Train by a recipe and write ``weights.pt`` and ``training.json`` into ``folder``.

    The state is saved after every epoch. A call that finds a state resumes there and ends with the weights of
    an uninterrupted training; one that finds the weights returns at once.

    Args:
        learner: network and pairs.
        recipe: settings of the training.
        folder: for state, weights and summary.
        facts: to store with the weights.
        hardware: devices and precision.
        progress: advanced by every step.

    Returns:
        Path of the weights.

    Raises:
        MedbenchError: ``clusters.few_sentences``, ``pair.few``, ``training.devices``,
            ``training.diverged``, or as :func:`present_hardware`.
    """
    weights = folder / WEIGHTS
    if is_finished(folder):
        return weights
    import torch

    from medbench.training.pair_data import pair_batches

    if len(learner.training) < 2:
        raise MedbenchError("pair.few", "One pair cannot be compared with others.", "Give two or more.")
    hardware = present_hardware(hardware)
    data = pair_batches(learner.dataset, learner.training, learner.validation, hardware.workers or 0)
    torch.manual_seed(derived_seed(recipe.seed))
    network = learner.build()
    _check_clusters(network, data, recipe)
    data.division = hardware.division
    data.step_batches()
    folder.mkdir(parents=True, exist_ok=True)
    begin_s = time.perf_counter()
    losses = {}
    with hardware.torch_settings():
        stages = [(1, recipe.epochs)]
        if network.image_decoder is not None and recipe.second_epochs:
            stages.append((2, recipe.second_epochs))
        for stage, epochs in stages:
            losses[f"stage_{stage}"] = _run_stage(
                network, data, _Stage(stage, epochs, folder / f"stage{stage}"), recipe, hardware, progress
            )
        if not is_first_process():
            return weights
        torch.manual_seed(derived_seed(recipe.seed))
        figures = dict(learner.judge(network, learner.build()))
    checkpoint_facts = {
        **facts,
        "recipe": recipe.as_json(),
        "hardware": hardware.facts(recipe.batch_size),
        "image_size": recipe.image_size,
        "n_training_images": len(learner.training),
        "n_validation_images": len(learner.validation),
        "validation": losses,
        "evaluation": figures,
    }
    state = {key: value.cpu() for key, value in network.state_dict().items()}
    session = {"last_session_time_s": round(time.perf_counter() - begin_s, 1)}
    write_result(folder, state, checkpoint_facts, session)
    for stage, _ in stages:
        shutil.rmtree(folder / f"stage{stage}")
    return weights


@dataclass(frozen=True, slots=True)
class _Stage:
    number: int
    epochs: int
    folder: Path


def _run_stage(
    network: PretrainingNetwork,
    data: Batches,
    stage: _Stage,
    recipe: PretrainingRecipe,
    hardware: Hardware,
    progress: Progress,
) -> float | None:
    """Train a stage, or read what it left; the network then has the weights of its best epoch."""
    from medbench.training.pretraining_task import PretrainingTask

    resume, marker = stage.folder / RESUME, stage.folder / "done.json"
    if not marker.exists():
        stage.folder.mkdir(parents=True, exist_ok=True)
        if resume.exists():
            progress.say(f"Pre-training goes on from {resume}.")
        callback: Any = make_callback(stage.folder, progress)
        with warnings.catch_warnings(), quiet_lightning():
            warnings.simplefilter("ignore")
            trainer = make_trainer(hardware, stage.folder, stage.epochs, callback)
            task = PretrainingTask(network, recipe, stage.number, stage.epochs, data.step_batches().steps)
            run_trainer(trainer, task, data, resume if resume.exists() else None)
        if trainer.is_global_zero:
            write_json(marker, {"fit": callback.best if callback.best >= 0 else None})
            resume.unlink(missing_ok=True)
        trainer.strategy.barrier("stage")
    state = best_weights(stage.folder, f"{stage.folder.parent}: stage {stage.number}")
    network.cpu().load_state_dict(state)
    score: float | None = read_json(marker)["fit"]
    return None if score is None else round(score, 6)


def _check_clusters(network: PretrainingNetwork, data: Batches, recipe: PretrainingRecipe) -> None:
    """Refuse clusters that an ordinary batch has too few sentences for.

    Raises:
        MedbenchError: ``clusters.few_sentences``.
    """
    from medbench.models.cm_cgns.clusters import check_sentences

    if network.alignment.guidance != "clusters":
        return
    dataset: Any = data.dataset
    counts = [max(0, *dataset.tokens[index].sentence_index) for index in data.training]
    pairs = min(recipe.batch_size, len(counts))
    check_sentences(int(pairs * sum(counts) / len(counts)), len(network.alignment.clusters.centroid))
