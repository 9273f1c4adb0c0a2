"""Linear attention has the exponent 1, dense attention 2."""

import dataclasses

import pytest
import torch
from torch import nn

from medbench.core.errors import MedbenchError
from medbench.models import ModelEntry, register_model, registry
from medbench.profiling.plots import draw_curves, render_curves
from medbench.profiling.sweep import exponent, parse_range, sweep
from medbench.profiling.workload import Workload


class Dense(nn.Module):
    def forward(self, tokens):
        return torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


class Linear(nn.Module):
    def forward(self, tokens):
        return tokens.softmax(-1) @ (tokens.softmax(-2).transpose(-1, -2) @ tokens)


@pytest.fixture
def attentions():
    for name, network in (("dense", Dense), ("linear", Linear)):
        entry = ModelEntry(name=name, title=name)
        register_model(entry)(lambda in_channels, num_classes, network=network: network())
    yield
    registry._registry.cache_clear()
    registry._factories.clear()


def test_exponents_over_frames(attentions):
    over = parse_range("frames=64:320:64")
    dense, linear = sweep([Workload(name, (64, 16), 1) for name in ("dense", "linear")], over)
    assert dense.exponents["macs"] == pytest.approx(2, abs=1e-9)
    assert linear.exponents["macs"] == pytest.approx(1, abs=1e-9)
    assert dense.last_exponents["attention_macs"] == pytest.approx(2, abs=1e-9)
    assert [point.value for point in dense.points] == [64, 128, 192, 256, 320]
    assert "p50_s" not in dense.exponents


def test_exponent_of_the_linear_attention_network_over_pixels():
    (curve,) = sweep([Workload("mslau_net.test", (3, 64, 64), 2)], parse_range("size=64:192:64"))
    assert curve.exponents["attention_macs"] == pytest.approx(1, abs=0.01)
    assert [point.elements for point in curve.points] == [64**2, 128**2, 192**2]


def test_a_video_may_become_longer_than_the_published_length():
    from medbench.models.fulltransnet import further_inputs

    workload = Workload("fulltransnet.test", (64, 32), 1)
    (curve,) = sweep([workload], parse_range("frames=200:600:200"))
    assert [point.elements for point in curve.points] == [200, 400, 600]
    assert 1 < curve.exponents["macs"] < curve.last_exponents["attention_macs"] < 2
    longer = dataclasses.replace(workload, shape=(600, 32))
    assert (workload.network().length, longer.network().length) == (256, 600)
    assert longer.further_inputs() is further_inputs
    refused = dataclasses.replace(longer, options={"length": 300})
    with pytest.raises(MedbenchError, match="length=300"):
        refused.forward_pass()()


def test_times_are_taken_when_asked(attentions):
    (curve,) = sweep([Workload("dense", (8, 4), 1, threads=1)], parse_range("frames=8:16:8"), seconds=0.2)
    assert all(point.p50_s > 0 for point in curve.points)
    assert "p50_s" in curve.exponents


def test_the_fit():
    assert exponent([1, 10, 100], [5, 50, 500]) == pytest.approx(1)
    assert exponent([1, 10, 100], [5, 500, 50_000]) == pytest.approx(2)


@pytest.mark.parametrize(
    "text", ["size=128", "depth=1:9:1", "size=0:9:3", "size=9:9:1", "size=128:64:32", ""]
)
def test_a_range_that_is_none(text):
    with pytest.raises(MedbenchError) as failure:
        parse_range(text)
    assert failure.value.code == "profile.sweep"


def test_shapes():
    assert parse_range("size=8:16:8").shape((3, 4, 4), 16) == (3, 16, 16)
    assert parse_range("size=8:16:8").shape((1, 4, 4, 4), 8) == (1, 8, 8, 8)
    assert parse_range("frames=8:16:8").shape((3, 4, 32, 32), 16) == (3, 16, 32, 32)
    with pytest.raises(MedbenchError):
        parse_range("frames=8:16:8").shape((3, 4, 4), 16)


def test_images(attentions, tmp_path):
    pytest.importorskip("matplotlib")
    curves = sweep([Workload("dense", (8, 4), 1)], parse_range("frames=8:24:8"))
    draw_curves(curves, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert b"exponent over frames" in render_curves(curves, "svg")
    with pytest.raises(MedbenchError) as failure:
        draw_curves(curves, tmp_path / "curves.bmp")
    assert failure.value.code == "plot.format"
