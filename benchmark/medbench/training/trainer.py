"""Lightning's trainer, quiet and ended by an interruption as every command is."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.first_process import is_first_process
from medbench.training.hardware import Hardware
from medbench.training.result_files import check_state

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer

    from medbench.training.training_batches import Batches

_LAST_WORDS_S = 3.0
"""Seconds after which a process that is not the first tells its own error: no other had one."""


def make_trainer(hardware: Hardware, folder: Path, epochs: int, keeper: Callback) -> Trainer:
    """A trainer on hardware that is present, which writes nothing but what its callback keeps."""
    from lightning.pytorch import Trainer

    _, _, index = hardware.accelerator.partition(":")
    return Trainer(
        accelerator=hardware.kind,
        devices=[int(index)] if index else hardware.devices,
        num_nodes=hardware.nodes,
        precision=hardware.precision,  # type: ignore[arg-type]
        accumulate_grad_batches=hardware.passes,
        use_distributed_sampler=False,
        max_epochs=epochs,
        callbacks=[keeper],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=str(folder),
    )


def run_trainer(trainer: Trainer, task: LightningModule, data: Batches, resume: Path | None) -> None:
    """Train, and let an interruption through as what it is: the trainer would exit, and ignore later ones.

    SIGTERM interrupts as Ctrl-C does, on several devices too: the trainer's own handler makes the processes
    wait for each other there.

    Raises:
        MedbenchError: as :func:`medbench.training.result_files.check_state`.
        KeyboardInterrupt: when the user or the system interrupts.
    """
    if resume is not None:
        check_state(resume)
    trainer._signal_connector._sigterm_notifier_fn = _interrupt  # type: ignore[method-assign,assignment]
    with _interrupted_by_sigterm():
        before = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(task, datamodule=data, ckpt_path=str(resume) if resume else None, weights_only=True)
        except SystemExit as error:
            if not trainer.interrupted:
                raise
            raise KeyboardInterrupt from error
        except Exception:
            _leave_words_to_one(trainer)
            raise
        finally:
            if trainer.interrupted and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Take SIGTERM for an interruption as long as the block runs; only a program's first thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave_words_to_one(trainer: Trainer) -> None:
    """Let the first process alone tell an error that all have: it ends the others, who wait for that."""
    launcher = trainer.strategy.launcher
    if launcher is None:
        return
    if is_first_process():
        launcher.kill(getattr(signal, "SIGKILL", signal.SIGTERM))
    else:
        time.sleep(_LAST_WORDS_S)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's start-up lines out of the output of a block."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)
