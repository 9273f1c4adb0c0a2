"""Executors behind one protocol: threads, spawned processes with a device each, a dask cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.extras import require_package
from medbench.core.machine import usable_cores

CONNECT_S = 20


class Processes(Executor):
    """Spawned processes, each with a device of its own; one that dies loses its own call alone.

    Every process is a pool of one, so that a death is known to be of the call that the process worked on.
    """

    def __init__(self, workers: int, cuda_devices: int = 0) -> None:
        self._threads = ThreadPoolExecutor(workers)
        self._slots: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        self._all = [
            _Slot(str(place % cuda_devices) if cuda_devices else "", max(1, usable_cores() // workers))
            for place in range(workers)
        ]
        for slot in self._all:
            self._slots.put(slot)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Call the function in the next free process."""
        return self._threads.submit(self._in_slot, function, arguments, keywords)

    def _in_slot(self, function: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
        slot = self._slots.get()
        try:
            return slot.pool().submit(function, *arguments, **keywords).result()
        except BrokenExecutor:
            slot.close()
            raise
        finally:
            self._slots.put(slot)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes; calls that have not begun are dropped with ``cancel_futures``."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        for slot in self._all:
            slot.close()


class _Slot:
    """One process, started on first need and again after its death."""

    def __init__(self, cuda_device: str, threads: int) -> None:
        self._initial = (cuda_device, threads)
        self._pool: ProcessPoolExecutor | None = None

    def pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, _prepare_process, self._initial)
        return self._pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None


def _prepare_process(cuda_device: str, threads: int) -> None:
    """Show a process its own device and its share of the cores, before torch is loaded.

    The process ends with its parent.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if cuda_device:
        os.environ["CUDA_VISIBLE_DEVICES"] = cuda_device
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: a killed command leaves no worker behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def local_processes(workers: int, device: str) -> Iterator[Executor]:
    """``workers`` spawned processes; on ``cuda`` each sees one device.

    Raises:
        MedbenchError: ``device.missing``, or ``workers.devices`` for more workers than devices.
    """
    devices = _count_cuda() if device.startswith("cuda") else 0
    if device.startswith("cuda") and not devices:
        raise MedbenchError(
            "device.missing", "This machine has no CUDA device.", "Use --device cpu. Nothing was started."
        )
    if devices and workers > devices:
        raise MedbenchError(
            "workers.devices",
            f"{workers} workers take {workers} devices, and this machine has {devices}.",
            f"Give --workers {devices}.",
        )
    executor = Processes(workers, devices)
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def _count_cuda() -> int:
    require_package("torch")
    import torch

    return torch.cuda.device_count()


@contextlib.contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """The workers of a dask cluster, by its scheduler's address.

    Raises:
        MedbenchError: ``package.missing`` without ``medbench[cluster]``, or ``cluster.unreachable``.
    """
    require_package("distributed")
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise MedbenchError(
            "cluster.unreachable",
            f"{address}: no dask scheduler answers there.",
            "Start one with 'dask scheduler' and workers with 'dask worker ADDRESS --nthreads 1', and give "
            "the scheduler's address, such as tcp://node1:8786.",
        ) from error
    with client:
        executor = client.get_executor(pure=False)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)


def worker_died(error: BaseException) -> bool:
    """Whether an exception of a future says that its worker died, not that the call failed."""
    if isinstance(error, BrokenExecutor):
        return True
    return type(error).__name__ in ("KilledWorker", "NoValidWorkerError") and type(
        error
    ).__module__.startswith("distributed")
