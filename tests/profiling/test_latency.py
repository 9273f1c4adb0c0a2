"""Times are repeated until steady, and say when they are not."""

import time

import pytest

from medbench.profiling import latency as module
from medbench.profiling.latency import Latency, measure_latency, summarise
from medbench.profiling.workload import Workload


class Sleeper(Workload):
    """Sleeps so many milliseconds; fails where told."""

    __slots__ = ()

    def forward_pass(self):
        def call():
            if self.model == "broken":
                raise MemoryError
            order.append(self.model)
            time.sleep(self.num_classes / 1000)

        return call


order = []


def test_median_and_throughput():
    (found,) = measure_latency([Sleeper("slow", (1,), 20, batch=4, threads=1)], seconds=2)
    assert found.status == "ok"
    assert 0.02 <= found.p50_s <= found.p90_s < 0.1
    assert found.samples_per_s == pytest.approx(4 / found.p50_s)
    assert found.threads == 1
    assert found.samples >= 2


def test_workloads_take_turns():
    order.clear()
    measure_latency([Sleeper("a", (1,), 2, threads=1), Sleeper("b", (1,), 2, threads=1)], seconds=0.8)
    turns = [name for place, name in enumerate(order) if place == 0 or order[place - 1] != name]
    assert len(turns) >= 2
    assert turns[:2] == ["a", "b"]


def test_one_that_does_not_fit_leaves_the_others():
    broken, fine = measure_latency(
        [Sleeper("broken", (1,), 1, threads=1), Sleeper("fine", (1,), 2, threads=1)], seconds=0.5
    )
    assert (broken.status, broken.p50_s) == ("out_of_memory", None)
    assert fine.status == "ok"


def test_an_unsteady_time_says_so(monkeypatch):
    times = iter([[0.1, 0.2] * 6] * 50)
    monkeypatch.setattr(
        module, "cpu_sampler", lambda call, threads: lambda: (time.sleep(0.1), next(times))[1]
    )
    (found,) = measure_latency([Sleeper("a", (1,), 1, threads=1)], seconds=0.3)
    assert isinstance(found, Latency)
    assert not found.steady
    assert found.iqr_s == pytest.approx(0.1)


def test_summary():
    assert summarise([2.0]) == (2.0, 2.0, 0.0)
    median, ninety, spread = summarise(list(range(1, 102)))
    assert (median, ninety, spread) == (51, 91, 50)
