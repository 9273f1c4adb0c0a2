"""What a process that works for another sets before its first call."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from typing import Any

from medbench.core.interruption import INTERRUPTED
from medbench.core.machine import keep_freed_memory

_HAS_MASKS = hasattr(signal, "pthread_sigmask")
"""Whether a process inherits which signals wait; not on Windows."""


def ignores_warnings() -> bool:
    """Whether this process shows no warning of any kind, as the command line does without ``--debug``."""
    return bool(warnings.filters) and warnings.filters[0][:3] == ("ignore", None, Warning)


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Let Ctrl-C wait in a process that this thread starts, until :func:`prepare_process` has prepared it.

    The imports before that would end with a traceback.
    """
    if not _HAS_MASKS:
        yield
        return
    resource_tracker.ensure_running()  # which lets signals through in this thread when it begins
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare_process(cuda_device: str, threads: int, ends_at_ctrl_c: bool, without_warnings: bool) -> None:
    """Show a process its own device and its share of the cores, before torch is loaded.

    The process ends with its parent; at Ctrl-C at once, without a word, or by an exception.

    Args:
        cuda_device: by its name in ``CUDA_VISIBLE_DEVICES``; empty for all that the parent sees.
        threads: of OpenMP, where the environment does not say.
        ends_at_ctrl_c: whether Ctrl-C ends the process at once.
        without_warnings: whether libraries' warnings are left out.
    """
    if without_warnings:
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_DFL if ends_at_ctrl_c else _interrupted)
    if _HAS_MASKS:
        if signal.SIGINT in signal.sigpending():
            os._exit(INTERRUPTED)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if cuda_device:
        os.environ["CUDA_VISIBLE_DEVICES"] = cuda_device
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    keep_freed_memory()


_calls: list[Callable[..., Any]] = []
"""The call that this process makes, if any."""


def make_call(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Make a call that Ctrl-C ends by an exception; between calls it ends the process without a word."""
    _calls.append(function)
    try:
        return function(*arguments, **keywords)
    finally:
        _calls.clear()


def _interrupted(number: int, frame: Any) -> None:
    if not _calls:
        os._exit(INTERRUPTED)
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: a killed command leaves no worker behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
