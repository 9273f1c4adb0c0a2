"""nnU-Net among the networks: its data set, its process, its weights as a checkpoint of ours."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, write_json
from medbench.core.progress import Progress
from medbench.models.nnunet import CONFIGURATIONS, require_nnunet
from medbench.models.options import refuse_options
from medbench.nnunet.data import split_folds, write_raw
from medbench.nnunet.recipe import PLANNERS, NnunetRecipe
from medbench.training.fit import SUMMARY, WEIGHTS, Hardware
from medbench.training.framework import Lesson
from medbench.training.recipes import load_recipe_as

if TYPE_CHECKING:
    from medbench.inference.weights import Checkpoint
    from medbench.nnunet.predictor import NnunetPredictor

LOG = "nnunet.log"
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_UNTRAINED_OPTIONS = ("image_size",)


class Nnunet:
    """The framework of the models ``nnunet`` and ``nnunet.test``."""

    def check(self, model: str, challenge: Challenge, options: Mapping[str, Any]) -> None:
        """Refuse challenges that want more than label maps, and configurations that cannot be.

        Raises:
            MedbenchError: ``nnunet.missing``, ``nnunet.task`` or ``model.option``.
        """
        require_nnunet()
        if challenge.card.image_classes:
            raise MedbenchError(
                "nnunet.task",
                f"nnU-Net answers label maps alone; {challenge.title} also asks for image classes.",
                "Choose a model with an image-level head; 'medbench models' lists the tasks of each.",
            )
        configuration = options.get("configuration") or ""
        refuse_options(
            model,
            [
                (name not in ("configuration", "base_features"), f"has no option '{name}' when it is trained")
                for name in options
                if name not in _UNTRAINED_OPTIONS
            ]
            + [
                (
                    configuration not in ("", *CONFIGURATIONS),
                    f"configuration={configuration} is none of {', '.join(CONFIGURATIONS)}",
                ),
                (
                    configuration.startswith("3d") and not challenge.card.modalities,
                    f"configuration={configuration} needs volumes, and {challenge.title} has pictures",
                ),
            ],
        )

    def recipe(self, family: str, name: str, changes: Mapping[str, Any]) -> NnunetRecipe:
        """A recipe of nnU-Net's own settings."""
        return load_recipe_as(NnunetRecipe, family, name, changes)

    def train(self, lesson: Lesson, hardware: Hardware, progress: Progress) -> Path:
        """Convert, plan, preprocess and train every fold of the recipe in a process of its own.

        The data set and what was preprocessed from it are removed at the end; nnU-Net's own model folder
        stays under ``nnUNet_results``.

        Raises:
            MedbenchError: ``nnunet.missing``, ``nnunet.hardware``, ``nnunet.one_group``, ``nnunet.failed``,
                and as :func:`medbench.nnunet.data.write_raw`.
        """
        weights = lesson.folder / WEIGHTS
        if weights.exists() and (lesson.folder / SUMMARY).exists():
            return weights
        require_nnunet()
        device = _device(hardware)
        started = time.perf_counter()
        recipe: NnunetRecipe = lesson.recipe
        name = f"Dataset001_{lesson.challenge.name}"
        raw = lesson.folder / "nnUNet_raw" / name
        groups = write_raw(
            lesson.challenge, lesson.root, lesson.split, recipe.image_size, raw, lesson.cache, progress
        )
        splits = split_folds(groups)
        _check_folds(recipe, splits, lesson)
        configuration = lesson.options.get("configuration") or (
            "3d_fullres" if lesson.challenge.card.modalities else "2d"
        )
        request = {
            **recipe.as_json(),
            "recipe": recipe.name,
            "base_features": lesson.options.get("base_features", recipe.base_features),
            "planner": PLANNERS[recipe.planner],
            "folds": recipe.fold_list,
            "configuration": configuration,
            "dataset": name,
            "splits": splits,
            "device": device,
            "workers": hardware.workers,
            "log": str(lesson.folder / LOG),
            "preprocessed": str(lesson.folder / "nnUNet_preprocessed" / name),
            "results": str(lesson.folder / "nnUNet_results" / name),
        }
        self._run(request, lesson.folder, progress)
        trained = next((lesson.folder / "nnUNet_results" / name).glob(f"*__{configuration}"))
        facts = self._finish(lesson, trained, weights, len(groups))
        facts["last_session_time_s"] = round(time.perf_counter() - started, 1)
        facts["finished"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_json(lesson.folder / SUMMARY, facts)
        for folder in FOLDERS[:2]:
            shutil.rmtree(lesson.folder / folder, ignore_errors=True)
        return weights

    @staticmethod
    def _run(request: dict[str, Any], folder: Path, progress: Progress) -> None:
        """Start the process, show its progress, and end it if we are interrupted."""
        path = folder / "request.json"
        write_json(path, request)
        places = {name: str(folder / name) for name in FOLDERS}
        own = {**places, "nnUNet_def_n_proc": str(max(1, request["workers"])), "MPLBACKEND": "Agg"}
        for name in places:
            (folder / name).mkdir(parents=True, exist_ok=True)
        reason = ""
        child = subprocess.Popen(
            [sys.executable, "-m", "medbench.nnunet.child", str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, **own},
            text=True,
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                reason = _show(json.loads(line), progress) or reason
            code = child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
        path.unlink()
        if code:
            ended = f"it ended with code {code}" + (", likely out of memory" if code == -9 else "")
            raise MedbenchError(
                "nnunet.failed",
                f"nnU-Net stopped: {reason or ended}.",
                f"Its own output: {folder / LOG}. Repeat the command to go on.",
            )

    @staticmethod
    def _finish(lesson: Lesson, trained: Path, weights: Path, count: int) -> dict[str, Any]:
        """Write our checkpoint from nnU-Net's; what ``training.json`` says."""
        import torch

        from medbench.inference.weights import save_checkpoint
        from medbench.nnunet.files import CHECKPOINTS, FACTS_KEY, read_network

        recipe: NnunetRecipe = lesson.recipe
        checkpoints = {str(fold): trained / f"fold_{fold}" / CHECKPOINTS[0] for fold in recipe.fold_list}
        state, facts = read_network(trained, checkpoints, str(trained))
        if not all(torch.isfinite(tensor).all() for tensor in state.values()):
            raise MedbenchError(
                "training.diverged",
                f"{lesson.folder}: training ended with infinite weights.",
                "Lower the learning rate.",
            )
        histories = {fold: read_json(path.with_name("history.json")) for fold, path in checkpoints.items()}
        dice = [
            max(value for value in history["pseudo_dice"] if value is not None)
            for fold, history in histories.items()
            if fold != "all" and any(value is not None for value in history["pseudo_dice"])
        ]
        stored = {
            **lesson.facts,
            "recipe": recipe.as_json(),
            "image_size": facts["image_size"],
            "n_training_images": count,
            "steps": recipe.epochs * recipe.steps * len(checkpoints),
            "validation_dice": round(sum(dice) / len(dice), 6) if dice else None,
            FACTS_KEY: facts,
        }
        save_checkpoint(weights, state, stored)
        summary = {key: value for key, value in stored.items() if key != FACTS_KEY}
        short = {key: value for key, value in facts.items() if key not in ("plans", "dataset")}
        return {**summary, FACTS_KEY: short, "history": histories, "model_folder": trained.name}

    def take_in(self, path: Path, model: str, cache: Path) -> Path:
        """A checkpoint of ours with a model folder's or exported zip's weights."""
        from medbench.nnunet import files as nnunet_files

        return nnunet_files.take_in(path, model, cache) if nnunet_files.is_model(path) else path

    def predictor(
        self, checkpoint: Checkpoint, challenge: Challenge, *, device: str, overlap: float, mirror: bool
    ) -> NnunetPredictor:
        """nnU-Net's predictor."""
        from medbench.nnunet.predictor import NnunetPredictor

        require_nnunet()
        return NnunetPredictor(checkpoint, challenge, device=device, overlap=overlap, mirror=mirror)


NNUNET = Nnunet()


def _device(hardware: Hardware) -> str:
    import torch

    if hardware.nodes != 1 or hardware.devices not in (1, "auto") or hardware.precision != "32":
        raise MedbenchError(
            "nnunet.hardware",
            "nnU-Net trains here on one device at its own precision.",
            "Leave --devices, --nodes and --precision out; train folds side by side instead.",
        )
    if hardware.accelerator == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return hardware.accelerator


def _check_folds(recipe: NnunetRecipe, splits: list[dict[str, list[str]]], lesson: Lesson) -> None:
    wanted = [fold for fold in recipe.fold_list if fold != "all"]
    if not splits and wanted:
        raise MedbenchError(
            "nnunet.one_group",
            f"{lesson.root}: all cases of {lesson.split} are of one group, so nothing can be held out.",
            "Train on everything: --recipe-set folds=all.",
        )
    excess = [fold for fold in wanted if int(fold) >= len(splits)]
    if excess:
        raise MedbenchError(
            "nnunet.one_group",
            f"{lesson.root}: the groups of {lesson.split} make {len(splits)} folds; there is no {excess[0]}.",
            f"Choose folds of 0 to {len(splits) - 1}.",
        )


def _show(event: dict[str, Any], progress: Progress) -> str:
    """Pass an event of the child on; the reason if it is an error."""
    kind = event["event"]
    if kind == "say":
        progress.say(event["line"])
    elif kind == "start":
        progress.start(event["title"], event["total"])
    elif kind == "advance":
        progress.advance(event["steps"], event.get("note", ""))
    elif kind == "finish":
        progress.finish()
    elif kind == "error":
        return str(event["message"])
    return ""
