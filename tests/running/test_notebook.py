"""What a notebook needs: results that show themselves, frames, and a process that stays as it was."""

import gc
import logging
import random
import sys
import threading

import cv2
import numpy as np
import psutil
import pytest

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
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
