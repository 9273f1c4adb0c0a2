"""Whatever decides a result is in its key, and a failed case is done again under the same key."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from medbench.challenges import load_challenge
from medbench.core.case import Data
from medbench.records.writing import Subject
from medbench.running import evaluate as evaluation
from medbench.running import run as running
from medbench.running.evaluate import Evaluation
from medbench.running.request import Inference, Request
from medbench.running.run import run_key

CHALLENGE = load_challenge("psfhs")


def job(tmp_path, *, seed=0, weights="w" * 64, split="test", kind="real", model="m", **settings):
    """As much of a job as its key is made of; weights from a file, so that the seed is no part of them."""
    return SimpleNamespace(
        request=Request.of(model, "psfhs", seed=seed),
        network=SimpleNamespace(name=model, options=settings.pop("options", {})),
        weights_sha256=weights,
        settings=lambda: {"device": "cpu", **settings},
        challenge=SimpleNamespace(name=settings.pop("challenge", "psfhs")),
        split=split,
        data=Data(tmp_path, kind),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"weights": "v" * 64},
        {"split": "val"},
        {"kind": "sample"},
        {"model": "n"},
        {"options": {"depth": 3}},
        {"challenge": "iugc2024"},
        {"precision": "bf16"},
        {"cases": "a*"},
    ],
)
def test_another_request_has_another_key(tmp_path, change):
    assert run_key(job(tmp_path), "f" * 64) == run_key(job(tmp_path), "f" * 64)
    assert run_key(job(tmp_path, **change), "f" * 64) != run_key(job(tmp_path), "f" * 64)


def test_other_files_and_other_code_have_another_key(tmp_path, monkeypatch):
    first = run_key(job(tmp_path), "f" * 64)
    assert run_key(job(tmp_path), "e" * 64) != first
    monkeypatch.setattr(running, "code_sha256", lambda: "0" * 64)
    assert run_key(job(tmp_path), "f" * 64) != first
    monkeypatch.setattr(running, "code_sha256", lambda: "1" * 64)
    monkeypatch.setattr(running, "plugin_settings", lambda: {"plugins": {"p.py": "a"}})
    assert len({first, run_key(job(tmp_path), "f" * 64)}) == 2


def test_fresh_weights_of_another_seed_have_another_key(tmp_path):
    keys = {run_key(job(tmp_path, weights=None, seed=seed), "f" * 64) for seed in range(3)}
    assert len(keys) == 3


def test_an_evaluation_has_another_key_for_whatever_decides_it(tmp_path, monkeypatch):
    request = Evaluation(challenge="psfhs", predictions=tmp_path, name="a")
    subject = Subject(CHALLENGE, Data(tmp_path, "real"), "test", [], "f" * 64)

    def key(request=request, subject=subject, digests=("d",)):
        return evaluation._key(request, subject, list(digests))

    keys = {
        key(),
        key(digests=("e",)),
        key(replace(request, name="b")),
        key(replace(request, seed=1)),
        key(subject=replace(subject, manifest_sha256="e" * 64)),
        key(subject=replace(subject, split="val")),
        key(subject=replace(subject, data=Data(tmp_path, "sample"))),
        key(subject=replace(subject, challenge=load_challenge("iugc2024"))),
    }
    monkeypatch.setattr(evaluation, "code_sha256", lambda: "0" * 64)
    keys.add(key())
    assert len(keys) == 9


@pytest.mark.slow
def test_a_case_that_could_not_be_scored_is_done_again_under_the_same_key(small_iugc, tmp_path, monkeypatch):
    """Its prediction lies there unchanged, and yet its row is not kept."""
    scorer = type(load_challenge("iugc2024").scorer)
    original, calls = scorer.score_file, []

    def score_or_fail(self, case, path):
        if not calls:
            calls.append(case.id)
            raise RuntimeError("no space left")
        return original(self, case, path)

    def go():
        return running.run(
            "dssau_net.test", "iugc2024", data=small_iugc, weights="none", runs=tmp_path / "runs",
            inference=Inference(image_size=128), leaderboards=tmp_path / "boards",
        )  # fmt: skip

    with monkeypatch.context() as broken:
        broken.setattr(scorer, "score_file", score_or_fail)
        first = go()
    (bad,) = [row for row in first.rows if row.status == "failed"]
    assert bad.predictions
    assert (first.exit_code, first.record.counts.failed) == (1, 1)
    again = go()
    assert again.folder == first.folder
    assert again.resumed == len(first.rows) - 1
    assert (again.exit_code, again.record.counts.failed) == (0, 0)
