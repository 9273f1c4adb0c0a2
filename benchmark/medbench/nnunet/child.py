"""nnU-Net's planning, preprocessing and training: ``python -m medbench.nnunet.child FILE``.

nnU-Net takes its folders from the environment and prints as it goes, so it runs in a process of its own. Its
output goes to ``nnunet.log``; on its standard output the process writes events for its parent, one JSON
object a line.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from medbench.core.files import read_json, replace_flushed, write_json, write_text
from medbench.core.machine import keep_freed_memory
from medbench.core.seeds import derived_seed
from medbench.core.text import agreeing, counted, first_line
from medbench.nnunet.ordered_batches import ordered

if TYPE_CHECKING:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

Emit = Callable[[dict[str, Any]], None]
DATASET_ID = 1
PREPROCESSED = "preprocessed.json"
AUGMENTERS = "nnUNet_n_proc_DA"
PARENT_EVERY_S = 1.0
QUICK_VOXELS = 10**6
"""Foreground voxels drawn for the intensities of CT by the recipe ``quick``; nnU-Net's own number is 10^8."""


def main(path: Path) -> int:
    """Carry out the request in a file; exit code 0, or 1 after an event with the reason."""
    signal.signal(signal.SIGTERM, _end)
    end_with_parent()
    keep_freed_memory()
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    request = read_json(path)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(request["log"], "a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)

    def emit(event: dict[str, Any]) -> None:
        channel.write(json.dumps(event) + "\n")
        channel.flush()

    try:
        _work(request, emit)
    except Exception as error:  # noqa: BLE001 - the parent shows it in one line
        traceback.print_exc()
        emit({"event": "error", "message": f"{type(error).__name__}: {first_line(error)}"})
        return 1
    emit({"event": "done"})
    return 0


def _end(number: int, frame: Any) -> None:
    """Exit as Python does, so that the processes that read ahead end with this one."""
    sys.exit(128 + number)


def end_with_parent() -> None:
    """End this process as SIGTERM does when the one that started it is gone, however that ended."""
    parent = os.getppid()

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_EVERY_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _work(request: dict[str, Any], emit: Emit) -> None:
    from medbench.training.hardware import Hardware

    hardware = Hardware(request["device"], 1, deterministic=request["deterministic"])
    with hardware.torch_settings():
        _prepare_and_train(request, emit)


def _prepare_and_train(request: dict[str, Any], emit: Emit) -> None:
    if not request["workers"]:
        _stay_in_this_process()
    dataset = Path(request["preprocessed"])
    if not (dataset / PREPROCESSED).exists():
        emit({"event": "say", "line": "nnU-Net reads the data, plans and preprocesses."})
        write_json(dataset / PREPROCESSED, {"plans": _prepare(request, dataset)})
    plans_name = read_json(dataset / PREPROCESSED)["plans"]
    if request["device"] == "cpu" or request["workers"]:
        os.environ[AUGMENTERS] = str(request["workers"])
    if request["splits"]:
        write_json(dataset / "splits_final.json", request["splits"])
    steps = len(request["folds"]) * request["epochs"] * request["steps"]
    emit({"event": "start", "title": "training", "total": steps})
    for fold in request["folds"]:
        _train(request, dataset, plans_name, fold, emit)
    emit({"event": "finish"})


def _stay_in_this_process() -> None:
    """Make nnU-Net use a thread of this process where it would start processes."""
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.preprocessing.preprocessors import default_preprocessor

    here = SimpleNamespace(get_context=lambda kind: SimpleNamespace(Pool=lambda count: ThreadPool(1)))
    for module in (fingerprint_extractor, default_preprocessor):
        module.multiprocessing = here


def _prepare(request: dict[str, Any], dataset: Path) -> str:
    """Write fingerprint, plans and preprocessed cases; the name of the plans."""
    import nnunetv2
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
        DatasetFingerprintExtractor,
    )
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    count = max(1, request["workers"])
    extractor = DatasetFingerprintExtractor(DATASET_ID, count, verbose=False)
    extractor.show_progress_bar = False
    if request["recipe"] == "quick":
        extractor.num_foreground_voxels_for_intensitystats = QUICK_VOXELS
    extractor.run(overwrite_existing=True)
    planner_class = recursive_find_python_class(
        str(Path(nnunetv2.__path__[0]) / "experiment_planning"),
        request["planner"],
        current_module="nnunetv2.experiment_planning",
    )
    changes = {"gpu_memory_target_in_gb": request["memory_gb"]} if request["memory_gb"] else {}
    planner = planner_class(DATASET_ID, **changes)
    if changes or request["base_features"] != planner.UNet_base_num_features or request["batch_size"]:
        planner.plans_identifier = f"{planner.plans_identifier}_{request['recipe']}"
    planner.UNet_base_num_features = request["base_features"]
    plans = planner.plan_experiment()
    configuration = request["configuration"]
    if configuration not in plans["configurations"]:
        configurations = [name for name in plans["configurations"] if "cascade" not in name]
        raise ValueError(
            f"nnU-Net plans no {configuration} for these data: choose {' or '.join(configurations)}"
        )
    if request["batch_size"]:
        plans["configurations"][configuration]["batch_size"] = request["batch_size"]
        write_json(dataset / f"{planner.plans_identifier}.json", plans)
    preprocessor = DefaultPreprocessor(verbose=False)
    preprocessor.show_progress_bar = False
    preprocessor.run(DATASET_ID, configuration, planner.plans_identifier, num_processes=count)
    return str(planner.plans_identifier)


def seed_all(*parts: int) -> None:
    """Seed every generator that nnU-Net draws from."""
    import numpy as np
    import torch

    seed = derived_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _train(request: dict[str, Any], dataset: Path, plans_name: str, fold: int | str, emit: Emit) -> None:
    """Train a fold, or resume it, and write its history; a finished fold is left as it is."""
    import torch
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    number = -1 if fold == "all" else int(fold)
    model = f"{request['trainer']}__{plans_name}__{request['configuration']}"
    place = Path(request["results"]) / model / f"fold_{fold}"
    per_fold = request["epochs"] * request["steps"]
    if (place / "checkpoint_final.pth").exists() and (place / "history.json").exists():
        emit({"event": "advance", "steps": per_fold})
        return
    seed_all(request["seed"], number + 1)
    latest = place / "checkpoint_latest.pth"
    plans = read_json(dataset / f"{plans_name}.json")
    plans["continue_training"] = latest.exists()
    dataset_json = read_json(dataset / "dataset.json")
    device = torch.device(request["device"])
    kind: type[nnUNetTrainer] = recursive_find_trainer_class_by_name(request["trainer"])
    trainer = kind(plans, request["configuration"], fold, dataset_json, device)
    trainer.num_epochs = request["epochs"]
    trainer.num_iterations_per_epoch = request["steps"]
    trainer.num_val_iterations_per_epoch = request["validation_steps"]
    trainer.initial_lr = request.get("learning_rate", trainer.initial_lr)
    trainer.weight_decay = request.get("weight_decay", trainer.weight_decay)
    trainer.save_every = max(1, min(50, request["epochs"] // 20))
    _steer(trainer, request, number, emit)
    trainer.initialize()
    if "start" in request:
        _begin(trainer, request["start"], emit)
    if latest.exists():
        _load_safely(trainer, latest)
        emit({"event": "say", "line": f"Fold {fold} goes on at epoch {trainer.current_epoch + 1}."})
        emit({"event": "advance", "steps": trainer.current_epoch * request["steps"]})
    trainer.run_training()
    log = trainer.logger
    history = {
        "loss": [float(value) for value in log.get_value("train_losses", step=None)],
        "pseudo_dice": [float(value) for value in log.get_value("mean_fg_dice", step=None)],
    }
    write_text(place / "history.json", json.dumps(history, indent=2).replace("NaN", "null"))


def _begin(trainer: nnUNetTrainer, start: dict[str, Any], emit: Emit) -> None:
    """Give a fold's network the weights to start from."""
    import torch

    from medbench.nnunet.beginning import begin_with

    state = torch.load(start["file"], map_location="cpu", weights_only=True)
    network: Any = trainer.network
    fit = begin_with(getattr(network, "_orig_mod", network), state, start)
    write_json(Path(start["report"]), fit)
    count: Any = fit["matched"]
    parameters, starts = counted(count, "parameter"), agreeing(count, "starts", "start")
    emit({"event": "say", "line": f"{parameters} of the network {starts} from {start['source']}."})


def _steer(trainer: nnUNetTrainer, request: dict[str, Any], number: int, emit: Emit) -> None:
    """Make the trainer seed every epoch, save atomically, report, and neither plot nor name the host."""
    save, begin, end = trainer.save_checkpoint, trainer.on_train_epoch_start, trainer.on_epoch_end

    def save_whole(filename: str) -> None:
        save(f"{filename}.partial")
        replace_flushed(Path(f"{filename}.partial"), Path(filename))

    def begin_seeded() -> None:
        parts = request["seed"], number + 1, trainer.current_epoch + 1
        trainer.dataloader_train = ordered(trainer.dataloader_train, seed_all, (*parts, 0))
        trainer.dataloader_val = ordered(trainer.dataloader_val, seed_all, (*parts, 1))
        seed_all(*parts)
        begin()

    def end_reported() -> None:
        loss = trainer.logger.get_value("train_losses", step=-1)
        dice = trainer.logger.get_value("mean_fg_dice", step=-1)
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.num_epochs}"
        note = f"{epoch} loss {loss:.3f} pseudo Dice {dice:.3f}"
        end()
        emit({"event": "advance", "steps": trainer.num_iterations_per_epoch, "note": note})

    trainer.save_checkpoint = save_whole
    trainer.on_train_epoch_start = begin_seeded
    trainer.on_epoch_end = end_reported
    trainer._save_debug_information = lambda: None
    trainer.plot_network_architecture = lambda: None
    trainer.logger.plot_progress_png = lambda folder: None


def _load_safely(trainer: nnUNetTrainer, path: Path) -> None:
    """Load a checkpoint as nnU-Net does, but with ``weights_only``, so that no code in it runs."""
    import torch

    from medbench.nnunet.files import harmless_types
    from medbench.training.result_files import check_state

    check_state(path)
    load = torch.load

    def load_plain(file: Any, **options: Any) -> Any:
        with torch.serialization.safe_globals(list(harmless_types())):
            return load(file, **{**options, "weights_only": True})

    torch.load = load_plain  # type: ignore[assignment]
    try:
        trainer.load_checkpoint(str(path))
    finally:
        torch.load = load


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
