"""Executors behind one protocol: threads, spawned processes with a device each, a dask cluster."""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from dataclasses import dataclass
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.extras import require_package
from medbench.core.machine import is_held_to_one_thread, usable_cores
from medbench.running.forked import Forked, spare_shared_objects
from medbench.running.process_start import ignores_warnings, make_call, prepare_process, starting

CONNECT_S = 20
AHEAD = 2
"""Calls that a process which scores has at most: the one that it works on, and the next."""
ANEW_AFTER_S = 0.1
"""Seconds after the death of a process that scores until another takes its place."""
JOIN_AFTER_S = 0.1
"""Seconds of work after which further processes are started, each of which takes 0.3 s of a core to start."""
OPENMP = frozenset(("torch", "pykdtree"))
"""Modules that start threads of OpenMP."""


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
            return slot.result(function, *arguments, **keywords)
        finally:
            self._slots.put(slot)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes; calls that have not begun are dropped with ``cancel_futures``."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        for slot in self._all:
            slot.close(wait)


class _Slot:
    """One process, started on first need and again after its death."""

    def __init__(self, cuda_device: str, threads: int, ends_at_ctrl_c: bool = False) -> None:
        self._initial = (cuda_device, threads, ends_at_ctrl_c, ignores_warnings())
        self._pool: ProcessPoolExecutor | None = None
        self._copy: Forked | None = None
        self._closing = threading.Lock()

    def fork(self) -> None:
        """Start the process as a copy of this one."""
        self._copy = Forked(prepare_process, self._initial)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Make the call in this slot's process, which is spawned where there is none."""
        process = self._copy or self._pool  # taken once: another thread may close this slot meanwhile
        if process is None:
            context = multiprocessing.get_context("spawn")
            process = self._pool = ProcessPoolExecutor(1, context, prepare_process, self._initial)
        with starting():
            return process.submit(make_call, function, *arguments, **keywords)

    def result(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
        """Result of the call in this slot's process."""
        try:
            return self.submit(function, *arguments, **keywords).result()
        except BrokenExecutor:
            self.close()
            raise

    def close(self, wait: bool = False) -> None:
        """End the process; without ``wait`` it may outlast this call. One of two such calls waits."""
        with self._closing:
            if self._copy is not None:
                self._copy.close(wait)
            if self._pool is not None:
                self._pool.shutdown(wait, cancel_futures=True)
            self._copy = self._pool = None


class JoiningProcesses(Executor):
    """Processes without devices, such as those that score, so that Python's lock holds no core back.

    All are forked at once where that is safe: on Linux, while this process has no other thread of Python or
    of OpenMP, for which a copy would wait in vain. Elsewhere this process takes part, and others are spawned
    where the work lasts longer than :data:`JOIN_AFTER_S`.

    Args:
        workers: number of processes that work.
    """

    def __init__(self, workers: int) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._begun, self._end = threading.Event(), threading.Event()
        forks = sys.platform == "linux" and threading.active_count() == 1 and not _has_openmp_threads()
        threads = max(1, usable_cores() // workers)
        self._slots = [_Slot("", threads, True) for _ in range(workers if forks else workers - 1)]
        self._spares = forks and spare_shared_objects()
        for slot in self._slots if forks else ():
            slot.fork()
        self._threads = [
            threading.Thread(target=self._call_in if forks else self._join, args=(slot,), daemon=True)
            for slot in self._slots
        ]
        if not forks:
            self._threads.append(threading.Thread(target=self._work_here, daemon=True))
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Call the function in the next free process."""
        call = _Call(Future(), function, arguments, keywords)
        self._calls.put(call)
        self._begun.set()
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes once the calls are done; those that have not begun are dropped on request."""
        while cancel_futures and not self._calls.empty():
            with contextlib.suppress(queue.Empty):
                call = self._calls.get_nowait()
                if call is not None:
                    call.future.cancel()
        self._end.set()
        self._begun.set()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads if wait else ():
            thread.join()
        for slot in self._slots:
            slot.close(wait=True)
        if self._spares:
            gc.unfreeze()
            self._spares = False

    def _work_here(self) -> None:
        while (call := self._calls.get()) is not None:
            if call.begins():
                call.here()

    def _join(self, slot: _Slot) -> None:
        """Spawn the slot's process once the work lasts, and give it calls."""
        self._begun.wait()
        if self._end.wait(JOIN_AFTER_S) and self._calls.empty():
            return
        with contextlib.suppress(BrokenExecutor, RuntimeError):  # where the interpreter ends meanwhile
            slot.result(_import_scoring)
        self._call_in(slot)

    def _call_in(self, slot: _Slot) -> None:
        """Give the slot's process calls, the next one before the last has ended, so that it never waits.

        Calls end in their order, so the first one without a result is the one that a process dies of.
        """
        due: deque[tuple[_Call, Future[Any]]] = deque()
        ends = False
        while due or not ends:
            while not ends and len(due) < AHEAD:
                try:
                    call = self._calls.get(block=not due)
                except queue.Empty:
                    break
                if call is None:
                    ends = True
                elif call.begins():
                    due.append((call, call.within(slot)))
            if due:
                call, inner = due.popleft()
                if call.take(inner):
                    slot.close()
                    if self._end.wait(ANEW_AFTER_S):  # a Ctrl-C ends processes and this program alike
                        ends = True
                        for other, _ in due:
                            other.future.set_exception(CancelledError())
                        due.clear()
                    due = deque((other, other.within(slot)) for other, _ in due)
        slot.close(wait=True)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that waits for a process."""

    future: Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]

    def begins(self) -> bool:
        """Whether the call is to be made: it was not cancelled, and cannot be any more."""
        return self.future.set_running_or_notify_cancel()

    def here(self) -> None:
        """Make the call in this process."""
        try:
            self.future.set_result(self.function(*self.arguments, **self.keywords))
        except BaseException as error:  # noqa: BLE001 - belongs to whoever waits for the call
            self.future.set_exception(error)

    def within(self, slot: _Slot) -> Future[Any]:
        """Make the call in a slot's process."""
        try:
            return slot.submit(self.function, *self.arguments, **self.keywords)
        except (BrokenExecutor, RuntimeError) as error:  # of a process that has died, or a program that ends
            inner = Future[Any]()
            inner.set_exception(error)
            return inner

    def take(self, inner: Future[Any]) -> bool:
        """Take the result of the call in a slot's process; whether the process died of it."""
        try:
            error = inner.exception()
        except CancelledError as cancellation:
            error = cancellation
        if error is None:
            self.future.set_result(inner.result())
        else:
            self.future.set_exception(error)
        return isinstance(error, BrokenExecutor)


def _has_openmp_threads() -> bool:
    """Whether a library that this process has loaded may have started threads of OpenMP."""
    return not is_held_to_one_thread() and not OPENMP.isdisjoint(sys.modules)


def _import_scoring() -> None:
    """Load what scoring needs, so that a process is ready for its first call."""
    importlib.import_module("medbench.running.pair_scores")


@contextlib.contextmanager
def joining_processes(workers: int) -> Iterator[Executor]:
    """``workers`` processes for work without a device, such as scoring."""
    with _dropping(JoiningProcesses(workers)) as executor:
        yield executor


@contextlib.contextmanager
def _dropping(executor: Executor) -> Iterator[Executor]:
    """The executor, ended with its calls done; an exception drops those that have not begun."""
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


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
    with _dropping(Processes(workers, devices)) as executor:
        yield executor


def device_of_workers(device: str) -> str:
    """Name that processes of :func:`local_processes` give the device that they see.

    >>> device_of_workers("cuda:3"), device_of_workers("cpu")
    ('cuda', 'cpu')
    """
    return device.partition(":")[0]


def _cuda_devices(device: str) -> list[str]:
    """CUDA devices of a name, as ``CUDA_VISIBLE_DEVICES`` calls them; none for other devices."""
    from medbench.models.devices import visible_cuda  # which programs that only score do without

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
