"""Executors behind one protocol: threads, spawned processes with a device each, a dask cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.extras import require_package
from medbench.core.machine import usable_cores
from medbench.models.devices import visible_cuda

CONNECT_S = 20


class Processes(Executor):
    """Spawned processes, each with a device of its own; one that dies loses its own call alone.

    Every process is a pool of one, so that a death is known to be of the call that the process worked on.

    Args:
        workers: number of processes.
        cuda_devices: CUDA devices by the names of ``CUDA_VISIBLE_DEVICES``, dealt out to the processes.
    """

    def __init__(self, workers: int, cuda_devices: Sequence[str] = ()) -> None:
        self._threads = ThreadPoolExecutor(workers)
        self._slots: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        threads = max(1, usable_cores() // workers)
        own = [cuda_devices[place % len(cuda_devices)] if cuda_devices else "" for place in range(workers)]
        self._all = [_Slot(device, threads) for device in own]
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
    """Show a process its own device and its share of the cores, before torch is loaded."""
    if cuda_device:
        os.environ["CUDA_VISIBLE_DEVICES"] = cuda_device
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


@contextlib.contextmanager
def local_processes(workers: int, device: str) -> Iterator[Executor]:
    """``workers`` spawned processes; on CUDA each sees one device, which it calls ``cuda``.

    Args:
        workers: number of processes.
        device: ``cpu``, ``cuda`` for all CUDA devices, ``cuda:N`` for one of them, or ``mps``.

    Raises:
        MedbenchError: ``device.missing``, or ``workers.devices`` for more workers than devices.
    """
    devices = _cuda_devices(device)
    if devices and workers > len(devices):
        has = f"{device} is one" if ":" in device else f"this machine has {len(devices)}"
        raise MedbenchError(
            "workers.devices",
            f"{workers} workers take {workers} devices, and {has}.",
            f"Give --workers {len(devices)}.",
        )
    executor = Processes(workers, devices)
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def device_of_workers(device: str) -> str:
    """What processes of :func:`local_processes` call the device that they see.

    >>> device_of_workers("cuda:3"), device_of_workers("cpu")
    ('cuda', 'cpu')
    """
    return device.partition(":")[0]


def _cuda_devices(device: str) -> list[str]:
    """CUDA devices of a name, as ``CUDA_VISIBLE_DEVICES`` calls them; none for other devices."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return []
    count = _count_cuda()
    if not count or int(number or 0) >= count:
        raise MedbenchError(
            "device.missing",
            f"This machine has no device '{device}'." if count else "This machine has no CUDA device.",
            "Use --device cpu. Nothing was started.",
        )
    return [visible_cuda(place) for place in ([int(number)] if number else range(count))]


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
