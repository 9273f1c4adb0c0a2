"""Runs whose cases are predicted by other processes have the bytes of one process."""

import json
import warnings

import pytest

from medbench.core.errors import MedbenchError
from medbench.core.plugins import load_plugin
from medbench.running.executors import Processes
from medbench.running.prediction_orders import Workers
from medbench.running.process_start import ignores_warnings
from medbench.running.request import Inference
from medbench.running.run import run

FATAL = """
import multiprocessing
import os
from pathlib import Path

from torch import nn


class Net(nn.Module):
    \"\"\"Kills the worker that first predicts an image, as a lack of memory would.\"\"\"

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, num_classes, 3, padding=1)

    def forward(self, images):
        marker = Path(os.environ["FATAL_MARKER"])
        if multiprocessing.parent_process() is not None and images.any() and marker.exists():
            marker.unlink()
            os._exit(9)
        return self.layer(images)
"""


def files(finished):
    names = sorted(finished.folder.glob("predictions/**/*.png"))
    return {path.name: path.read_bytes() for path in names} | {
        "rows": (finished.folder / "cases.jsonl").read_bytes()
    }


def go(data, place, workers, model="mslau_net.test", cases="*"):
    return run(
        model, "cvc_clinicdb", workers=workers, data=data, weights="none", cases=cases,
        inference=Inference(image_size=64), runs=place / "runs", leaderboards=place / "boards",
    )  # fmt: skip


@pytest.mark.parametrize("silent", [True, False])
def test_a_process_shows_warnings_where_its_parent_does(silent):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if silent else "default")
        with Processes(1) as processes:
            assert processes.submit(ignores_warnings).result() is silent


@pytest.mark.slow
@pytest.mark.exhaustive  # by a network of the package; a file's network in the next test
def test_processes_give_the_bytes_of_one_process(small_cvc, one_thread, tmp_path):
    whole = go(small_cvc, tmp_path / "one", 1)
    shared = go(small_cvc, tmp_path / "two", 2)
    assert shared.record.key == whole.record.key
    assert files(shared) == files(whole)
    assert shared.record.metrics == whole.record.metrics
    assert shared.command == whole.command
    again = go(small_cvc, tmp_path / "two", 2)
    assert again.kept


@pytest.mark.slow
def test_a_killed_worker_loses_no_case_and_changes_no_byte(small_cvc, one_thread, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "marker").touch()
    (tmp_path / "fatal.py").write_text(FATAL)
    monkeypatch.setenv("FATAL_MARKER", str(tmp_path / "marker"))
    load_plugin(tmp_path / "fatal.py")
    whole = go(small_cvc, tmp_path / "one", 1, "fatal.py:Net")
    assert (tmp_path / "marker").exists()
    shared = go(small_cvc, tmp_path / "two", 2, "fatal.py:Net")
    assert not (tmp_path / "marker").exists()
    assert shared.record.counts.ok == shared.record.counts.total == len(shared.rows)
    assert shared.record.key == whole.record.key
    assert files(shared) == files(whole)
    assert shared.record.metrics == whole.record.metrics
    assert shared.command == whole.command
    assert go(small_cvc, tmp_path / "two", 2, "fatal.py:Net").kept


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_cluster_gives_the_bytes_of_one_process(small_cvc, one_thread, tmp_path):
    distributed = pytest.importorskip("distributed")
    whole = go(small_cvc, tmp_path / "one", 1)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with distributed.LocalCluster(**options) as cluster:
        shared = go(small_cvc, tmp_path / "two", Workers(scheduler=cluster.scheduler_address))
    assert files(shared) == files(whole)


def test_workers_beside_a_scheduler_are_refused_before_anything_else(command):
    told = command("run", "-m", "x", "-c", "y", "--workers", "2", "--scheduler", "tcp://127.0.0.1:9")
    assert told.code == 2
    assert "--workers has no effect with --scheduler." in told.err
    with pytest.raises(MedbenchError):
        Workers(2, "tcp://127.0.0.1:9")
    told = command("evaluate", "-c", "x", "-p", "y", "--workers", "2", "--scheduler", "tcp://127.0.0.1:9")
    assert told.code == 2
    assert "--workers has no effect with --scheduler." in told.err


def test_a_worker_with_other_weights_refuses(small_cvc, one_thread, tmp_path):
    import dataclasses

    from medbench.core.progress import SilentProgress
    from medbench.running import prediction_orders
    from medbench.running.job import resolve
    from medbench.running.request import Request

    request = Request.of(
        "mslau_net.test",
        "cvc_clinicdb",
        data=small_cvc,
        weights="none",
        inference=Inference("cpu", image_size=64),
    )
    job = resolve(request, SilentProgress())
    (order, *_) = prediction_orders._orders(job, job.cases, tmp_path, Workers())
    assert json.dumps([order.cases, order.due])
    with pytest.raises(MedbenchError, match="finds other weights"):
        prediction_orders.predict_order(dataclasses.replace(order, weights_sha256="0" * 64))
    prediction_orders._resolved.cache_clear()


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_worker_of_a_cluster_trains(small_cvc, one_thread, tmp_path, command):
    distributed = pytest.importorskip("distributed")
    words = ("train", "-m", "mslau_net.test", "-c", "cvc_clinicdb", "--data", small_cvc, "--recipe", "quick")
    changes = ("--recipe-set", "max_steps=2", "--recipe-set", "image_size=64", "--device", "cpu")
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with distributed.LocalCluster(**options) as cluster:
        address = ("--scheduler", cluster.scheduler_address)
        told = command(*words, *changes, *address, "--runs", tmp_path / "runs", "--json")
        assert told.code == 0, told.err
        bad = command(*words, "--recipe-set", "no_such=2", *address, "--runs", tmp_path / "runs")
    weights = json.loads(told.out)["weights"]
    assert weights.startswith(str(tmp_path / "runs/cvc_clinicdb/mslau_net.test/training"))
    assert bad.code == 2
    assert "no_such" in bad.err
