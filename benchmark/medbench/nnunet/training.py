"""nnU-Net as a framework: training in a process of its own, and its weights as a medbench checkpoint."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, write_json
from medbench.core.finite import is_finite
from medbench.core.machine import LOW_MEMORY
from medbench.core.progress import Progress
from medbench.core.text import counted
from medbench.models.devices import visible_cuda
from medbench.models.nnunet import CONFIGURATIONS, require_nnunet
from medbench.models.options import refuse_options
from medbench.nnunet.beginning import REPORT, START, read_start
from medbench.nnunet.data import split_folds, write_raw
from medbench.nnunet.recipe import NnunetRecipe
from medbench.training.framework import TrainingOrder
from medbench.training.hardware import Hardware, present_hardware
from medbench.training.recipes import load_recipe_as
from medbench.training.result_files import SUMMARY, WEIGHTS, is_finished

if TYPE_CHECKING:
    from medbench.inference.weights import Checkpoint
    from medbench.nnunet.predictor import NnunetPredictor

LOG = "nnunet.log"
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_UNTRAINED_OPTIONS = ("image_size",)


class Nnunet:
    """The framework of the models ``nnunet`` and ``nnunet.test``."""

    has_views = True

    def check(self, model: str, challenge: Challenge, options: Mapping[str, Any]) -> None:
        """Refuse configurations that do not fit the data.

        Raises:
            MedbenchError: ``nnunet.missing`` or ``model.option``.
        """
        require_nnunet()
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
                    f"configuration={configuration} needs volumes, and {challenge.title} has images",
                ),
            ],
        )

    def check_hardware(self, hardware: Hardware) -> None:
        """Refuse several devices or passes and another precision.

        Raises:
            MedbenchError: ``nnunet.hardware``.
        """
        if hardware.nodes != 1 or hardware.devices not in (1, "auto") or hardware.precision != "32":
            raise MedbenchError(
                "nnunet.hardware",
                "nnU-Net trains on one device and sets the precision itself.",
                "Leave --devices, --nodes and --precision out; train folds side by side instead.",
            )
        if hardware.passes != 1:
            raise MedbenchError(
                "nnunet.hardware", "nnU-Net does not accumulate gradients.", "Leave --accumulate out."
            )

    def recipe(self, family: str, name: str, changes: Mapping[str, Any]) -> NnunetRecipe:
        """A recipe of nnU-Net's own settings."""
        return load_recipe_as(NnunetRecipe, family, name, changes)

    def train(self, order: TrainingOrder, hardware: Hardware, progress: Progress) -> Path:
        """Convert the data, then plan, preprocess and train every fold of the recipe in a child process.

        The raw and preprocessed data sets are removed at the end; nnU-Net's own model folder stays under
        ``nnUNet_results``.

        Raises:
            MedbenchError: ``nnunet.missing``, ``nnunet.one_group``, ``nnunet.failed``, and as
                :func:`medbench.nnunet.data.write_raw`.
        """
        weights = order.folder / WEIGHTS
        if is_finished(order.folder):
            return weights
        require_nnunet()
        hardware = present_hardware(replace(hardware, devices=1))
        begin_s = time.perf_counter()
        recipe: NnunetRecipe = order.recipe
        name = f"Dataset001_{order.challenge.name}"
        raw = order.folder / "nnUNet_raw" / name
        groups = write_raw(
            order.challenge, order.root, order.split, recipe.image_size, raw, order.cache, progress
        )
        splits = split_folds(groups)
        _check_folds(recipe, splits, order)
        configuration = order.options.get("configuration") or (
            "3d_fullres" if order.challenge.card.modalities else "2d"
        )
        request = {
            **recipe.as_json(),
            "recipe": recipe.name,
            "base_features": order.options.get("base_features", recipe.base_features),
            "planner": recipe.planner_class,
            "folds": recipe.fold_list,
            "configuration": configuration,
            "dataset": name,
            "splits": splits,
            "device": hardware.kind,
            "deterministic": bool(hardware.deterministic),
            "workers": hardware.workers or 0,
            "log": str(order.folder / LOG),
            "preprocessed": str(order.folder / "nnUNet_preprocessed" / name),
            "results": str(order.folder / "nnUNet_results" / name),
        }
        if order.start is not None:
            request["start"] = _hand_over(order)
        self._run(request, order.folder, progress, _shown_device(hardware))
        (order.folder / START).unlink(missing_ok=True)
        model_folder = next((order.folder / "nnUNet_results" / name).glob(f"*__{configuration}"))
        facts = self._finish(order, model_folder, weights, len(groups))
        facts["last_session_time_s"] = round(time.perf_counter() - begin_s, 1)
        facts["finished"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_json(order.folder / SUMMARY, facts)
        for folder in FOLDERS[:2]:
            shutil.rmtree(order.folder / folder, ignore_errors=True)
        return weights

    @staticmethod
    def _run(
        request: dict[str, Any], folder: Path, progress: Progress, environment: Mapping[str, str]
    ) -> None:
        """Run the child process, pass on its progress, and end the process on an interrupt."""
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
            env={**os.environ, **own, **environment},
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
            by_system = code == -9
            ending = f"it ended with code {code}" + (", likely out of memory" if by_system else "")
            less = f", with {LOW_MEMORY}=1 in less memory and more time" if by_system else ""
            raise MedbenchError(
                "nnunet.failed",
                f"nnU-Net stopped: {reason or ending}.",
                f"Its own output: {folder / LOG}. Repeat the command to go on{less}.",
            )

    @staticmethod
    def _finish(order: TrainingOrder, model_folder: Path, weights: Path, count: int) -> dict[str, Any]:
        """Write the medbench checkpoint from nnU-Net's; the content of ``training.json``."""

        from medbench.inference.weights import save_checkpoint
        from medbench.nnunet.files import CHECKPOINTS, FACTS_KEY, read_network

        recipe: NnunetRecipe = order.recipe
        checkpoints = {str(fold): model_folder / f"fold_{fold}" / CHECKPOINTS[0] for fold in recipe.fold_list}
        state, facts = read_network(model_folder, checkpoints, str(model_folder))
        if not all(map(is_finite, state.values())):
            raise MedbenchError(
                "training.diverged",
                f"{order.folder}: training ended with infinite weights.",
                "Lower the learning rate.",
            )
        histories = {fold: read_json(path.with_name("history.json")) for fold, path in checkpoints.items()}
        dice = [
            max(value for value in history["pseudo_dice"] if value is not None)
            for fold, history in histories.items()
            if fold != "all" and any(value is not None for value in history["pseudo_dice"])
        ]
        batch = facts["plans"]["configurations"][facts["configuration"]]["batch_size"]
        checkpoint_facts = {
            **order.facts,
            "hardware": {**order.facts["hardware"], "effective_batch": batch},
            "recipe": recipe.as_json(),
            "image_size": facts["image_size"],
            "n_training_images": count,
            "steps": recipe.epochs * recipe.steps * len(checkpoints),
            "validation_dice": round(sum(dice) / len(dice), 6) if dice else None,
            FACTS_KEY: facts,
        }
        if (order.folder / REPORT).exists():
            checkpoint_facts["start_parameters"] = read_json(order.folder / REPORT)
        save_checkpoint(weights, state, checkpoint_facts)
        summary = {key: value for key, value in checkpoint_facts.items() if key != FACTS_KEY}
        short = {key: value for key, value in facts.items() if key not in ("plans", "dataset")}
        return {**summary, FACTS_KEY: short, "history": histories, "model_folder": model_folder.name}

    def import_weights(self, path: Path, model: str, cache: Path) -> Path:
        """A medbench checkpoint with the weights of a model folder or exported zip."""
        from medbench.nnunet import files as nnunet_files

        return nnunet_files.import_weights(path, model, cache) if nnunet_files.is_model(path) else path

    def read_start(self, path: Path, cache: Path) -> Checkpoint:
        """Weights of nnU-Net's model folder, archive or checkpoint, or of a medbench checkpoint."""
        return read_start(path, cache)

    def predictor(
        self, checkpoint: Checkpoint, challenge: Challenge, *, device: str, overlap: float, mirror: bool
    ) -> NnunetPredictor:
        """The predictor that runs nnU-Net."""
        from medbench.nnunet.predictor import NnunetPredictor

        require_nnunet()
        return NnunetPredictor(checkpoint, challenge, device=device, overlap=overlap, mirror=mirror)


NNUNET = Nnunet()


def _hand_over(order: TrainingOrder) -> dict[str, Any]:
    """Write the weights to start from for the child process; its request about them."""
    import torch

    start = order.start
    order.folder.mkdir(parents=True, exist_ok=True)
    torch.save(dict(start.checkpoint.state), order.folder / START)
    return {
        "file": str(order.folder / START),
        "report": str(order.folder / REPORT),
        "source": str(start.path),
        "frozen": list(start.frozen),
        "other_classes": start.other_classes,
    }


def _shown_device(hardware: Hardware) -> dict[str, str]:
    """Environment that shows the child process one CUDA device: nnU-Net trains on the first that it sees."""
    kind, _, number = hardware.accelerator.partition(":")
    if kind != "cuda":
        return {}
    return {"CUDA_VISIBLE_DEVICES": visible_cuda(int(number or 0))}


def _check_folds(recipe: NnunetRecipe, splits: list[dict[str, list[str]]], order: TrainingOrder) -> None:
    numbers = [fold for fold in recipe.fold_list if fold != "all"]
    if not splits and numbers:
        raise MedbenchError(
            "nnunet.one_group",
            f"{order.root}: all cases of {order.split} are of one group, so nothing can be held out.",
            "Train on everything: --recipe-set folds=all.",
        )
    excess = [fold for fold in numbers if int(fold) >= len(splits)]
    if excess:
        raise MedbenchError(
            "nnunet.one_group",
            f"{order.root}: the groups of {order.split} make {counted(len(splits), 'fold')}; there is no "
            f"{excess[0]}.",
            f"Choose folds of 0 to {len(splits) - 1}.",
        )


def _show(event: dict[str, Any], progress: Progress) -> str:
    """Pass an event of the child process to the progress; the reason where the event is an error."""
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
