"""Where a run's time goes."""

import time

import numpy as np
import pytest

from medbench.inference.predictor import NetworkPredictor
from medbench.records.phases import HEADINGS, Timing, keep_phases, read_phases, summarise_phases
from medbench.running.request import Inference
from medbench.running.run import run


def timed(**phases):
    timing = Timing()
    for phase, seconds in phases.items():
        for value in seconds:
            timing.add(phase, value)
    timing.wall_s = 1.0
    return timing


def test_the_slowest_lane_decides_not_the_largest_sum():
    timing = timed(
        read=[0.1] * 4, preprocess=[0.1] * 4, forward=[0.2] * 4, score=[0.25] * 4, write=[0.01] * 4
    )
    profile = summarise_phases(timing)
    assert profile.fix == "forward"
    assert profile.slowest_lane == "predicting"
    assert profile.lanes_s["finishing behind"] == pytest.approx((4 * 0.25 + 4 * 0.01) / 2)
    assert "close behind" not in profile.verdict()
    assert "reading ahead is close behind" in summarise_phases(timed(forward=[1.0], read=[0.9])).verdict()
    assert summarise_phases(timed(forward=[0.2], score=[0.5])).fix == "score"
    assert summarise_phases(timed(forward=[0.2], read=[0.5])).fix == "read"


def test_percentiles_and_shares(tmp_path):
    profile = summarise_phases(timed(read=[1.0, 2.0, 3.0], score=[2.0]))
    (read, score) = profile.phases
    assert (read.cases, read.p50_s, read.total_s, read.share) == (3, 2.0, 6.0, 0.75)
    assert read.p90_s == pytest.approx(np.percentile([1, 2, 3], 90))
    assert score.share == 0.25
    assert all(len(row) == len(HEADINGS) for row in profile.rows())
    keep_phases(tmp_path, timed(read=[1.0, 2.0, 3.0], score=[2.0]))
    assert read_phases(tmp_path) == profile


def test_nothing_timed_leaves_what_was_there(tmp_path):
    assert summarise_phases(Timing()) is None
    keep_phases(tmp_path, Timing())
    assert read_phases(tmp_path) is None


def test_a_slow_phase_of_a_run_is_found(small_iugc, monkeypatch):
    forward = NetworkPredictor._forward

    def slow(self, prepared):
        time.sleep(0.3)
        return forward(self, prepared)

    monkeypatch.setattr(NetworkPredictor, "_forward", slow)
    settings = {"data": small_iugc, "weights": "none", "inference": Inference(image_size=64)}
    finished = run("mslau_net.test", "iugc2024", **settings)
    profile = read_phases(finished.folder)
    assert profile.fix == "forward"
    forwards = next(item for item in profile.phases if item.phase == "forward")
    assert forwards.cases == finished.record.counts.total
    assert forwards.p50_s >= 0.3
    assert forwards.total_s == pytest.approx(finished.record.time_s["forward"], abs=1e-3)
    again = run("mslau_net.test", "iugc2024", **settings)
    assert again.resumed == again.record.counts.total
    assert read_phases(again.folder) == profile


def test_the_advice_depends_on_the_device(monkeypatch):
    from medbench.records import phases

    timing = timed(forward=[1.0])
    monkeypatch.setattr(phases, "computes_bf16", lambda: False)
    assert "bf16" not in summarise_phases(timing, "cpu").advice
    assert "--device cuda" in summarise_phases(timing, "cpu").advice
    monkeypatch.setattr(phases, "computes_bf16", lambda: True)
    assert "--precision bf16" in summarise_phases(timing, "cpu").advice
    assert "--device" not in summarise_phases(timing, "cuda:1").advice
    assert "--precision bf16" in summarise_phases(timing, "cuda:1").advice
