"""CPU time of trainings: measured, kept over interruptions, in the summary, the record and the row."""

import time

import pytest

from medbench.core.errors import MedbenchError
from medbench.training.cpu_time import CpuTime
from medbench.training.recipes import load_recipe


def burn(seconds):
    started = time.process_time()
    while time.process_time() - started < seconds:
        pass


def test_what_is_counted_is_work_and_not_waiting():
    meter = CpuTime()
    burn(0.1)
    meter.end_step()
    time.sleep(0.3)
    burn(0.1)
    meter.end_step()
    assert 0.1 <= meter.first_step_s < 0.2
    assert 0.2 <= meter.taken_s < 0.4


def test_an_interrupted_call_counts():
    first = CpuTime()
    burn(0.1)
    first.end_step()
    second = CpuTime()
    second.go_on(first.state())
    burn(0.1)
    second.end_step()
    assert second.facts()["cpu_s"] >= 0.18
    assert second.facts()["cpu_s_first_step"] == round(first.first_step_s, 2)


def test_a_state_from_before_it_was_kept_counts_nothing():
    meter = CpuTime()
    meter.go_on({"best": 0.5})
    assert meter.taken_s < 0.05


def test_a_budget_without_steps_is_refused():
    assert load_recipe("generic", "quick", cpu_minutes=3, max_steps=10).cpu_minutes == 3
    with pytest.raises(MedbenchError, match="cpu_minutes=3 ends no training") as refused:
        load_recipe("generic", "quick", cpu_minutes=3)
    assert "max_steps" in refused.value.hint
