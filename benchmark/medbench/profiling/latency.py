"""Time of a forward pass: warm, repeated until it is steady, and in turns where several are compared.

By ``torch.utils.benchmark`` on the CPU, by CUDA events on a GPU. Rounds go through all workloads, so that a
machine that slows down for a while slows all of them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.guard import describe
from medbench.core.progress import Progress, SilentProgress
from medbench.profiling.workload import Workload, ran_out_of_memory

STEADY = 0.10
"""Spread (interquartile range over median) up to which one number may stand for a time."""

LEAST_SAMPLES = 10
_SLICE_S = 0.25


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency of a forward pass over a batch.

    Attributes:
        status: ``ok``, ``out_of_memory`` or ``failed``.
        reason: of a status other than ``ok``, in words.
        p50_s: median.
        p90_s: 90th percentile.
        iqr_s: interquartile range.
        samples: number of timed calls.
        steady: whether the spread is at most :data:`STEADY`.
        samples_per_s: batch over median.
        threads: threads of the CPU.
        clock_mhz: clock rate of the processor before and after, where the system reports it.
        load: one-minute average of runnable processes, where the system reports it.
        timer: name of the timer.
    """

    status: str
    reason: str = ""
    p50_s: float | None = None
    p90_s: float | None = None
    iqr_s: float | None = None
    samples: int = 0
    steady: bool = False
    samples_per_s: float | None = None
    threads: int = 0
    clock_mhz: tuple[float | None, float | None] = (None, None)
    load: float | None = None
    timer: str = ""


def measure_latency(
    workloads: Sequence[Workload], *, seconds: float = 5.0, progress: Progress | None = None
) -> list[Latency]:
    """Latencies of forward passes, measured in rounds through all workloads.

    Args:
        workloads: networks with their inputs, all on this machine.
        seconds: most time for each without warm-up; at least two samples are taken.
        progress: advanced in every round.
    """
    progress = progress or SilentProgress()
    runners: list[_Runner] = [_Runner(workload) for workload in workloads]
    clock = _clock_mhz()
    progress.start("timing", len(runners))
    while waiting := [runner for runner in runners if not runner.finished(seconds)]:
        for runner in waiting:
            runner.round()
            if runner.finished(seconds):
                progress.advance(1, runner.workload.model)
    progress.finish()
    clocks = (clock, _clock_mhz())
    return [runner.result(clocks) for runner in runners]


def summarise(times_s: Sequence[float]) -> tuple[float, float, float]:
    """Median, 90th percentile and interquartile range.

    >>> summarise([1.0, 2.0, 3.0, 4.0, 5.0])
    (3.0, 4.6, 2.0)
    """
    if len(times_s) < 2:
        return times_s[0], times_s[0], 0.0
    quarters = statistics.quantiles(times_s, n=4, method="inclusive")
    tenths = statistics.quantiles(times_s, n=10, method="inclusive")
    return statistics.median(times_s), tenths[8], quarters[2] - quarters[0]


class _Runner:
    """A workload under measurement, built and warmed up in its first round."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.times: list[float] = []
        self.spent = 0.0
        self.status, self.reason = "ok", ""
        self._sample: Callable[[], list[float]] | None = None
        self.threads = 0

    def round(self) -> None:
        """Take some samples; an error of the network becomes the result."""
        try:
            if self._sample is None:
                self._sample = self._prepare()
            begin_s = time.perf_counter()
            self.times += self._sample()
            self.spent += time.perf_counter() - begin_s
        except Exception as error:
            if isinstance(error, MedbenchError) and not ran_out_of_memory(error):
                raise
            self.status = "out_of_memory" if ran_out_of_memory(error) else "failed"
            self.reason = describe(error)

    def finished(self, seconds: float) -> bool:
        """Whether the workload failed, is steady, or has used its time."""
        if self.status != "ok" or (self.spent >= seconds and len(self.times) > 1):
            return True
        return len(self.times) >= LEAST_SAMPLES and self._steady()

    def _steady(self) -> bool:
        median, _, spread = summarise(self.times)
        return spread <= STEADY * median

    def _prepare(self) -> Callable[[], list[float]]:
        import torch

        call = self.workload.forward_pass()
        self.threads = self.workload.threads or torch.get_num_threads()
        if self.workload.device.startswith("cuda"):
            return _cuda_sampler(call, self.workload.device)
        return cpu_sampler(call, self.threads)

    def result(self, clocks: tuple[float | None, float | None]) -> Latency:
        """Latency of the workload from all its samples."""
        if self.status != "ok" or not self.times:
            return Latency(self.status, self.reason)
        median, ninety, spread = summarise(self.times)
        return Latency(
            "ok",
            p50_s=median,
            p90_s=ninety,
            iqr_s=spread,
            samples=len(self.times),
            steady=len(self.times) >= LEAST_SAMPLES and self._steady(),
            samples_per_s=self.workload.batch / median,
            threads=self.threads,
            clock_mhz=clocks,
            load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
            timer="CUDA events" if self.workload.device.startswith("cuda") else "torch.utils.benchmark",
        )


def cpu_sampler(call: Callable[[], Any], threads: int) -> Callable[[], list[float]]:
    """A function that times single calls, or several together where one is far below a millisecond."""
    with _quiet_import():
        from torch.utils.benchmark import Timer

    call()
    timer = Timer("call()", globals={"call": call}, num_threads=threads)
    return lambda: list(timer.blocked_autorange(min_run_time=_SLICE_S).times)


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    """Silence torch's benchmark tools on import, which look for a compiler and warn without a GPU."""
    logger = logging.getLogger("torch.utils.cpp_extension")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _cuda_sampler(call: Callable[[], Any], device: str) -> Callable[[], list[float]]:
    """A function that times single calls by CUDA events, after a warm-up of cuDNN and ``torch.compile``."""
    import torch

    for _ in range(3):
        call()
    torch.cuda.synchronize(device)

    def sample() -> list[float]:
        times: list[float] = []
        deadline = time.perf_counter() + _SLICE_S
        with torch.cuda.device(device):
            while time.perf_counter() < deadline or not times:
                start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                call()
                end.record()
                end.synchronize()
                times.append(start.elapsed_time(end) / 1000)
        return times

    return sample


def _clock_mhz() -> float | None:
    import psutil

    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return round(frequency.current, 1) if frequency and frequency.current else None
