"""What a notebook needs: results that show themselves, frames, and a process that stays as it was."""

import gc
import logging
import random
import signal
import sys
import threading

import cv2
import numpy as np
import psutil
import pytest

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file
from medbench.records.reading import read_run
from medbench.running.evaluate import evaluate

RUNS = 50


@pytest.fixture(scope="module")
def answers(small_cvc, tmp_path_factory):
    """Predictions that are the references moved by two pixels; one is missing."""
    folder, challenge = tmp_path_factory.mktemp("answers"), load_challenge("cvc_clinicdb")
    for case in challenge.cases(small_cvc, "test")[1:]:
        moved = np.roll(challenge.release.read_reference(case), 2, axis=1)
        cv2.imwrite(str(folder / f"{case.id}.png"), moved * 255)
    return folder


@pytest.fixture
def one(small_cvc, answers, tmp_path):
    """Evaluate the answers under a name."""

    def call(name="first", cases="*"):
        return evaluate(
            "cvc_clinicdb", answers, data=small_cvc, name=name, cases=cases, runs=tmp_path / "runs",
            leaderboards=tmp_path / "boards",
        )  # fmt: skip

    return call


def test_a_result_shows_itself_with_its_denominators(one):
    finished = one("<b>mine</b>")
    page = finished._repr_html_()
    assert "<th>missing</th>" in page
    assert "<td>Dice ↑</td>" in page
    assert "<b>" not in page
    assert page.count("<table>") == len({metric.protocol for metric in finished.record.metrics.values()})
    assert read_run(finished.folder)._repr_html_() == page


def test_a_result_is_a_frame_on_request(one):
    finished = one()
    metrics, cases = finished.to_pandas(), finished.to_pandas("cases")
    assert metrics.loc["dice", "value"] == finished.record.metrics["dice"].value
    assert metrics.loc["dice", "missing"] == 1
    assert len(cases) == sum(len(row.scores) for row in finished.rows)
    of_dice = cases[cases["metric"] == "dice"]
    assert of_dice["value"].mean() == pytest.approx(metrics.loc["dice", "value"])
    assert of_dice["status"].tolist().count("missing") == 1
    assert of_dice[of_dice["status"] == "missing"]["reason"].str.len().gt(0).all()
    assert read_run(finished.folder).to_pandas("cases").equals(cases)
    with pytest.raises(MedbenchError, match="no frame of 'other'"):
        finished.to_pandas("other")


def test_without_pandas_the_error_says_what_installs_it(one, monkeypatch):
    finished = one()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MedbenchError) as missing:
        finished.to_pandas()
    assert missing.value.hint == "pip install 'medbench[notebook]'"


def state():
    """What a library must leave as it is."""
    torch, matplotlib = sys.modules.get("torch"), sys.modules.get("matplotlib")
    root = logging.getLogger()
    return {
        "dtype": torch and torch.get_default_dtype(),
        "torch": torch and torch.get_rng_state().tolist(),
        "gradients": torch and torch.is_grad_enabled(),
        "deterministic": torch and torch.are_deterministic_algorithms_enabled(),
        "python": random.getstate(),
        "numpy": [part.tolist() if hasattr(part, "tolist") else part for part in np.random.get_state()],
        "errors": np.geterr(),
        "logging": (root.level, list(root.handlers), logging.root.manager.disable),
        "backend": matplotlib and matplotlib.get_backend(),
    }


def test_an_evaluation_leaves_the_process_as_it_was(one):
    before = state()
    one()
    after = state()
    assert {name: after[name] for name in before if before[name] is not None or name not in after} == {
        name: value for name, value in before.items() if value is not None
    }


def test_a_run_of_a_network_leaves_torch_as_it_was(small_cvc, tmp_path):
    torch, matplotlib = pytest.importorskip("torch"), pytest.importorskip("matplotlib")
    from medbench.running.request import Inference
    from medbench.running.run import run

    matplotlib.use("svg")
    torch.set_default_dtype(torch.float64)
    try:
        before = state()
        run(
            "dssau_net.test", "cvc_clinicdb", data=small_cvc, weights="none", cases="*9",
            inference=Inference(image_size=128), runs=tmp_path / "runs", leaderboards=tmp_path / "boards",
        )  # fmt: skip
        assert state() == before
    finally:
        torch.set_default_dtype(torch.float32)


def small_training(data, runs):
    from medbench.running.train import train

    changes = {"epochs": 1, "image_size": 64, "least_steps": 0, "validation": "none"}
    return train(
        "dssau_net.test", "cvc_clinicdb", data=data, recipe="default", recipe_changes=changes, runs=runs
    )


@pytest.mark.slow
def test_a_training_leaves_the_process_as_it_was(small_cvc, tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    before = state()
    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    small_training(small_cvc, tmp_path)
    assert state() == {**before, "backend": state()["backend"]}
    assert {one: signal.getsignal(one) for one in handlers} == handlers


def test_evaluations_in_threads_give_what_one_gives(one):
    alone = one("alone").record.metrics
    results = {}
    threads = [
        threading.Thread(target=lambda name=name: results.update({name: one(name).record.metrics}))
        for name in ("a", "b", "c")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"a": alone, "b": alone, "c": alone}


def one_run(data, folder, seed=0):
    """A run of an untrained network on one frame: its metrics and its predictions' hashes."""
    from medbench.running.request import Inference
    from medbench.running.run import run

    finished = run(
        "dssau_net.test", "cvc_clinicdb", data=data, weights="none", cases="*9", seed=seed,
        inference=Inference(image_size=64), runs=folder / "runs", leaderboards=folder / "boards",
    )  # fmt: skip
    return finished.record.metrics, [row.predictions for row in finished.rows]


@pytest.mark.slow
def test_runs_and_trainings_in_threads_give_what_each_gives_alone(small_cvc, tmp_path, one_thread):
    from concurrent.futures import ThreadPoolExecutor

    seeds = (0, 1, 2)
    alone = [one_run(small_cvc, tmp_path / f"alone{seed}", seed) for seed in seeds]
    trained = sha256_file(small_training(small_cvc, tmp_path / "alone"))
    with ThreadPoolExecutor(5) as pool:
        trainings = [pool.submit(small_training, small_cvc, tmp_path / f"t{number}") for number in range(2)]
        runs = [pool.submit(one_run, small_cvc, tmp_path / f"r{seed}", seed) for seed in seeds]
        assert [future.result() for future in runs] == alone
        assert [sha256_file(future.result()) for future in trainings] == [trained, trained]
    assert len({str(predictions) for _, predictions in alone}) == len(seeds)


@pytest.mark.slow
@pytest.mark.exhaustive  # as evaluations do
def test_memory_stays_flat_over_fifty_runs_of_a_network(small_cvc, tmp_path, one_thread):
    process = psutil.Process()
    for seed in range(8):
        one_run(small_cvc, tmp_path, seed)
    gc.collect()
    before = process.memory_info().rss
    for seed in range(8, 8 + RUNS):
        one_run(small_cvc, tmp_path, seed)
    gc.collect()
    assert process.memory_info().rss - before < 32 << 20


@pytest.mark.slow
def test_memory_stays_flat_over_fifty_evaluations(one):
    process = psutil.Process()
    for _ in range(5):
        one(cases="*9")
    gc.collect()
    before = process.memory_info().rss
    for _ in range(RUNS):
        one(cases="*9")
    gc.collect()
    assert process.memory_info().rss - before < 16 << 20
