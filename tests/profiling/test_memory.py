"""Memory is measured in fresh processes, and running out of it is a result."""

import sys
from types import SimpleNamespace

import pytest
import torch

import warm_python
from medbench.profiling.child import allocation_peak, status_bytes
from medbench.profiling.memory import PeakMemory, measure_memory, search_largest_batch
from medbench.profiling.workload import Workload, ran_out_of_memory

PLUGIN = '''
import torch
from torch import nn
from medbench.models import ModelEntry, register_model

class Greedy(nn.Module):
    """Holds 16 MiB a sample."""
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
    def forward(self, images):
        held = torch.ones(len(images), 4 << 20)
        return self.layer(held.sum(dim=1, keepdim=True))

@register_model(ModelEntry(name="greedy", title="Greedy", image_size=8))
def greedy(in_channels, num_classes):
    return Greedy()

@register_model(ModelEntry(name="normed", title="Normalised over a single pixel", image_size=8))
def normed(in_channels, num_classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(in_channels))
'''
SAMPLE = 16 << 20
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory limits are Linux's")


@pytest.fixture(scope="module")
def greedy(tmp_path_factory):
    from medbench.core import plugins
    from medbench.models import registry

    path = tmp_path_factory.mktemp("plugin") / "greedy_plugin.py"
    path.write_text(PLUGIN)
    plugins.load_plugin(path)
    yield Workload("greedy", (3, 8, 8), 1, batch=3, threads=1)
    plugins._files.pop(path, None)
    del sys.modules["medbench_plugin_greedy_plugin"]
    registry._registry.cache_clear()
    registry._factories.clear()


def test_allocation_peak_is_what_is_alive_at_once():
    def two_of_three():
        first = torch.zeros(1 << 20)
        second = first + 1
        del first
        del second

    assert allocation_peak(two_of_three) == pytest.approx(2 * 4 << 20, rel=0.01)


@pytest.fixture
def warm(monkeypatch):
    """Processes are forked from one that has imported torch; one test starts one afresh."""
    monkeypatch.setattr("medbench.profiling.memory.subprocess", SimpleNamespace(run=warm_python.run))


@linux
def test_a_pass_in_a_fresh_process(greedy):
    peak = measure_memory(greedy, "forward")
    assert peak.status == "ok"
    assert peak.allocated_bytes == pytest.approx(3 * SAMPLE, rel=0.02)
    assert 0.9 * 3 * SAMPLE < peak.resident_extra_bytes < 2 * 3 * SAMPLE
    assert peak.resident_peak_bytes > peak.resident_extra_bytes
    assert "VmHWM" in peak.resident_by
    assert status_bytes("VmRSS") > 0


@linux
def test_out_of_memory_is_a_result(greedy, warm):
    peak = measure_memory(greedy, "training_step", limit_bytes=2 * SAMPLE)
    assert isinstance(peak, PeakMemory)
    assert (peak.status, peak.limit_bytes, peak.allocated_bytes) == ("out_of_memory", 2 * SAMPLE, None)


@linux
def test_another_failure_is_not_taken_for_it(greedy, warm):
    peak = measure_memory(Workload("normed", (3, 8, 8), 1, threads=1), "training_step", probe=True)
    assert peak.status == "failed"
    assert "more than 1 value per channel" in peak.reason


@linux
@pytest.mark.slow
def test_the_largest_batch_is_the_one_before_the_first_that_fails(greedy, warm):
    found = search_largest_batch(greedy, "forward", limit_bytes=3 * SAMPLE, most=3)
    assert found.batch in (1, 2)
    assert found.tried[found.batch]
    assert not found.tried[found.batch + 1]


def test_a_search_may_end_with_none_and_at_the_largest_that_was_asked_for(monkeypatch):
    def measured(workload, what, limit_bytes, probe):
        fits = workload.batch * SAMPLE <= limit_bytes
        return PeakMemory(what, workload.batch, "ok" if fits else "out_of_memory")

    monkeypatch.setattr("medbench.profiling.memory.measure_memory", measured)
    workload = Workload("greedy", (3, 8, 8), 1)
    assert search_largest_batch(workload, "forward", SAMPLE // 4, most=4).batch == 0
    capped = search_largest_batch(workload, "forward", 6 * SAMPLE, most=2)
    assert (capped.batch, "still fits" in capped.reason) == (2, True)
    assert search_largest_batch(workload, "forward", 11 * SAMPLE, most=64).batch == 11


def test_out_of_memory_is_told_from_other_errors():
    assert ran_out_of_memory(MemoryError())
    assert ran_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(RuntimeError) as failure:
        torch.empty(1 << 60)
    assert ran_out_of_memory(failure.value)
    wrapped = ValueError("cannot be built")
    wrapped.__cause__ = MemoryError()
    assert ran_out_of_memory(wrapped)
    assert not ran_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_cuda_device_needs_no_number_for_limits_and_peaks(monkeypatch):
    """torch takes no device without a number for some of its calls; these stand-ins are as strict."""
    import torch

    from medbench.profiling import child, memory

    calls = []

    def strict(name, answer=None):
        def call(*arguments):
            device = arguments[-1]
            assert device == 2, f"{name} got {device!r}"
            calls.append(name)
            return answer

        return call

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    total = type("Properties", (), {"total_memory": 100})
    monkeypatch.setattr(torch.cuda, "get_device_properties", strict("properties", total))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", strict("fraction"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", strict("free", (40, 100)))
    for name in ("synchronize", "reset_peak_memory_stats", "max_memory_allocated", "max_memory_reserved"):
        monkeypatch.setattr(torch.cuda, name, strict(name, 7))
    child.limit_memory("cuda", 50)
    assert memory.available_bytes("cuda") == 40
    assert child._cuda_peaks(lambda: None, "cuda") == {"allocated_bytes": 7, "reserved_bytes": 7}
    child.limit_memory("cuda:2", 50)
    assert calls.count("fraction") == 2
