"""Runs: resuming, bad cases, weights, records."""

import contextlib
import json
import os
import pickle
import re
import shutil
import time

import jsonschema
import numpy as np
import pytest

import warm_process
from medbench.core.errors import MedbenchError
from medbench.io import raster
from medbench.records.schema import json_schema
from medbench.running.evaluate import evaluate
from medbench.running.predict import predict
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.train import train

MODEL = "dssau_net.test"
FAST = Inference(image_size=128)


@pytest.fixture
def release(small_iugc, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(small_iugc, tmp_path / "iugc")


def fresh(data, **options):
    return run(MODEL, "iugc2024", data=data, weights="none", inference=FAST, **options)


def test_the_record_follows_the_schema_and_its_counts_add_up(small_iugc):
    finished = fresh(small_iugc)
    stored = json.loads((finished.folder / "record.json").read_text())
    jsonschema.validate(stored, json_schema())
    assert stored["data"] == "real"
    assert stored["model"]["weights"] == "none"
    assert stored["counts"] == {"total": 8, "ok": 8, "failed": 0, "missing": 0}
    assert stored["metrics"]["dice_all"]["scored"] == 4
    assert stored["metrics"]["auc"]["pooled"]
    assert set(stored["time_s"]) == {"read", "preprocess", "forward", "postprocess", "write", "score"}
    assert len((finished.folder / "cases.jsonl").read_text().splitlines()) == 8
    assert finished.exit_code == 0


def test_repeating_a_run_resumes_it_and_a_changed_setting_does_not_overwrite(small_iugc):
    first = fresh(small_iugc)
    again = fresh(small_iugc)
    other = run(MODEL, "iugc2024", data=small_iugc, weights="none", inference=Inference(image_size=160))
    assert again.folder == first.folder
    assert (first.resumed, again.resumed) == (0, 8)
    assert other.folder != first.folder
    assert again.record.metrics == first.record.metrics


def test_a_lost_or_changed_prediction_is_made_again(small_iugc):
    first = fresh(small_iugc)
    journal = (first.folder / "cases.jsonl").read_bytes()
    masks = sorted((first.folder / "predictions" / "segmentation").iterdir())
    masks[0].unlink()
    masks[1].write_bytes(b"")
    again = fresh(small_iugc)
    assert again.resumed == 6
    assert (first.folder / "cases.jsonl").read_bytes() == journal


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 30, 300, 2000, 10**6])
def test_a_torn_journal_is_completed_to_the_same_bytes(small_iugc, cut):
    first = fresh(small_iugc)
    path = first.folder / "cases.jsonl"
    journal = path.read_bytes()
    path.write_bytes(journal[: max(0, len(journal) - cut)])
    fresh(small_iugc)
    assert path.read_bytes() == journal


@pytest.mark.slow
def test_killing_a_run_at_any_time_and_repeating_it_gives_the_same_journal(small_iugc, tmp_path, full):
    arguments = [
        "run",
        "-m",
        MODEL,
        "-c",
        "iugc2024",
        "--data",
        small_iugc,
        "--weights",
        "none",
        "--image-size",
        "128",
    ]
    done = warm_process.call(arguments, tmp_path, MEDBENCH_RUNS=str(tmp_path / "whole"))
    assert done.returncode == 0, done.stderr
    (expected,) = (tmp_path / "whole").rglob("cases.jsonl")
    for lines in (0, 1, 3, 6) if full else (3,):
        runs = tmp_path / f"killed-{lines}"
        process = warm_process.start(arguments, tmp_path, MEDBENCH_RUNS=str(runs))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.is_alive():
            time.sleep(0.002)
            journals = list(runs.rglob("cases.jsonl"))
            if journals and journals[0].read_bytes().count(b"\n") >= lines:
                break
        process.kill()
        process.join()
        again = warm_process.call(arguments, tmp_path, MEDBENCH_RUNS=str(runs))
        assert again.returncode == 0, again.stderr
        (journal,) = runs.rglob("cases.jsonl")
        assert journal.read_bytes() == expected.read_bytes()


def damage_truncate(root):
    path = next(iter(sorted((root / "test/videos").glob("*.avi"))))
    path.write_bytes(path.read_bytes()[:3000])
    return path.name


def damage_missing_mask(root):
    path = sorted((root / "test/seg").glob("*.png"))[1]
    path.unlink()
    return path.name


def damage_wrong_size(root):
    path = sorted((root / "test/seg").glob("*.png"))[2]
    raster.write_label_map(path, np.zeros((64, 64), np.uint8))
    return path.name


def damage_label(root):
    path = sorted((root / "test/seg").glob("*.png"))[3]
    labels = raster.read_label_map(path).copy()
    labels[:4] = 77
    raster.write_label_map(path, labels)
    return path.name


@pytest.mark.parametrize("damage", [damage_truncate, damage_missing_mask, damage_wrong_size, damage_label])
def test_one_bad_file_is_named_and_never_loses_the_others(release, damage):
    name = damage(release)
    finished = fresh(release)
    bad = [row for row in finished.rows if row.status == "failed"]
    assert 1 <= len(bad) <= 2
    assert all(name in row.reason and "\n" not in row.reason for row in bad)
    assert finished.record.counts.ok == 8 - len(bad)
    assert finished.exit_code == 1
    assert finished.record.status == "complete_with_failures"


def test_the_command_says_it_in_one_line_and_exits_with_1(release, command):
    name = damage_label(release)
    done = command(
        "run", "-m", MODEL, "-c", "iugc2024", "--data", release, "--weights", "none", "--image-size", "128"
    )
    assert done.code == 1
    lines = [line for line in done.err.splitlines() if name in line]
    assert len(lines) == 1
    assert "77" in lines[0]
    assert "Traceback" not in done.err
    assert "7 of 8 cases scored, 1 failed" in done.out


@pytest.mark.slow
def test_fixing_the_file_and_repeating_gives_the_undamaged_result(release, small_iugc):
    name = damage_missing_mask(release)
    assert fresh(release).exit_code == 1
    shutil.copy(small_iugc / "test/seg" / name, release / "test/seg" / name)
    repaired = fresh(release)
    assert repaired.exit_code == 0
    assert repaired.record.metrics == fresh(small_iugc).record.metrics


def test_a_predictor_that_fails_on_one_case_does_not_lose_the_others(small_iugc, monkeypatch):
    from medbench.inference.predictor import NetworkPredictor

    original = NetworkPredictor.predict

    def predict_or_fail(self, sample):
        if sample.case.id == "classification/test_2_10":
            raise RuntimeError("out of memory\nsecond line")
        return original(self, sample)

    with monkeypatch.context() as broken:
        broken.setattr(NetworkPredictor, "predict", predict_or_fail)
        finished = fresh(small_iugc)
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert bad.reason == "RuntimeError: out of memory"
    assert finished.record.metrics["accuracy"].failed == 1
    assert fresh(small_iugc).exit_code in (0, 1)


class Malicious:
    def __reduce__(self):
        return os.system, ("touch /tmp/medbench-was-here",)


def test_a_pickle_that_would_run_code_is_refused(small_iugc, tmp_path):
    weights = tmp_path / "weights.pt"
    weights.write_bytes(pickle.dumps({"state_dict": Malicious()}))
    with pytest.raises(MedbenchError) as caught:
        run(MODEL, "iugc2024", data=small_iugc, weights=weights)
    assert caught.value.code == "weights.unsafe"
    assert not os.path.exists("/tmp/medbench-was-here")


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "weights.corrupt"), (b"PK\x03\x04 torn", "weights.corrupt"), (None, "weights.missing")],
)
def test_unusable_weights_are_named(small_iugc, tmp_path, content, code):
    weights = tmp_path / "weights.pt"
    if content is not None:
        weights.write_bytes(content)
    with pytest.raises(MedbenchError) as caught:
        run(MODEL, "iugc2024", data=small_iugc, weights=weights)
    assert caught.value.code == code
    assert str(weights) in caught.value.message


def test_weights_of_another_network_are_named(small_iugc, tmp_path):
    import torch

    weights = tmp_path / "weights.pt"
    torch.save({"conv.weight": torch.zeros(3)}, weights)
    with pytest.raises(MedbenchError):
        run(MODEL, "iugc2024", data=small_iugc, weights=weights)
    shape = torch.zeros(7, 7)
    from medbench.models import create_model

    state = create_model(MODEL, num_classes=3).state_dict()
    torch.save({"model": {**state, "lift.weight": shape}}, weights)
    with pytest.raises(MedbenchError, match=r"lift\.weight"):
        run(MODEL, "iugc2024", data=small_iugc, weights=weights)


def test_real_data_without_weights_says_what_to_do(small_iugc):
    with pytest.raises(MedbenchError) as caught:
        run(MODEL, "iugc2024", data=small_iugc)
    assert caught.value.code == "weights.none"
    assert "medbench train" in caught.value.hint


def test_weights_that_were_trained_with_other_options_are_named(small_iugc, tmp_path):
    folder = tmp_path / "iugc2024" / "dssau_net.test" / "training" / "abc"
    folder.mkdir(parents=True)
    (folder / "weights.pt").write_bytes(b"")
    summary = {
        "model": MODEL, "options": {"width": 8}, "manifest_sha256": "other", "split": "train", "seed": 0,
        "recipe": {"name": "quick"}, "finished": "2026-01-01",
    }  # fmt: skip
    (folder / "training.json").write_text(json.dumps(summary))
    with pytest.raises(MedbenchError, match="Those that were trained have --set width=8") as caught:
        run(MODEL, "iugc2024", data=small_iugc, runs=tmp_path)
    assert caught.value.code == "weights.none"


SHORT = {"epochs": 3, "batch_size": 4, "image_size": 128}


@pytest.mark.slow
def test_training_is_found_by_run_and_recorded(small_iugc):
    weights = train(MODEL, "iugc2024", data=small_iugc, recipe="quick", recipe_changes=SHORT)
    finished = run(MODEL, "iugc2024", data=small_iugc)
    record = finished.record.model
    assert record.weights == "trained"
    assert record.training["recipe"]["epochs"] == 3
    assert finished.record.settings["image_size"] == 128
    assert train(MODEL, "iugc2024", data=small_iugc, recipe="quick", recipe_changes=SHORT) == weights


def load_state(weights):
    import torch

    return torch.load(weights, weights_only=True)["state_dict"]


def differences(state, expected):
    """The largest difference of each tensor that is not the same."""
    assert state.keys() == expected.keys()
    return {
        name: float((state[name] - tensor).abs().max())
        for name, tensor in expected.items()
        if not state[name].equal(tensor)
    }


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(small_iugc, tmp_path, full):
    arguments = ["train", "-m", MODEL, "-c", "iugc2024", "--data", small_iugc, "--recipe", "default"]
    for name, value in {"epochs": 4, "batch_size": 4, "image_size": 64, "validation": "none"}.items():
        arguments += ["--recipe-set", f"{name}={value}"]
    # The order in which threads add is not ours to promise.
    sequential = {"OMP_NUM_THREADS": "1", "MKL_CBWR": "AUTO"}
    done = warm_process.call(arguments, tmp_path, MEDBENCH_RUNS=str(tmp_path / "whole"), **sequential)
    assert done.returncode == 0, done.stderr
    (expected,) = (tmp_path / "whole").rglob("weights.pt")
    runs = tmp_path / "killed"
    for checkpoints in (1, 2) if full else (2,):
        process = warm_process.start(arguments, tmp_path, MEDBENCH_RUNS=str(runs), **sequential)
        seen = set()
        while process.is_alive() and len(seen) < checkpoints:
            time.sleep(0.02)
            with contextlib.suppress(FileNotFoundError):
                seen |= {path.stat().st_mtime_ns for path in runs.rglob("resume.ckpt")}
        process.kill()
        process.join()
    again = warm_process.call(arguments, tmp_path, MEDBENCH_RUNS=str(runs), **sequential)
    assert again.returncode == 0, again.stderr
    (weights,) = runs.rglob("weights.pt")
    differing = differences(load_state(weights), load_state(expected))
    assert not differing, differing


@pytest.mark.slow
def test_predict_then_evaluate_equals_run(small_iugc, tmp_path):
    rows = predict(MODEL, "iugc2024", tmp_path / "out", data=small_iugc, weights="none", inference=FAST)
    assert all(row.status == "ok" and not row.scores for row in rows)
    scored = evaluate("iugc2024", tmp_path / "out/predictions", data=small_iugc, name="mine")
    direct = fresh(small_iugc)
    assert scored.record.metrics == direct.record.metrics
    assert scored.record.model.title == "mine"
    with pytest.raises(MedbenchError, match="other weights or settings"):
        predict(
            MODEL,
            "iugc2024",
            tmp_path / "out",
            data=small_iugc,
            weights="none",
            seed=1,
            inference=Inference(),
        )


def test_a_partial_run_enters_no_leaderboard(small_iugc):
    leaderboards = os.environ["MEDBENCH_LEADERBOARDS"]
    finished = fresh(small_iugc, cases="segmentation/*")
    assert finished.record.counts.total == 4
    assert not os.path.exists(leaderboards)
    with pytest.raises(MedbenchError, match="No case matches"):
        fresh(small_iugc, cases="nothing/*")


def test_real_and_sample_rows_never_share_a_table(small_iugc, tmp_path):
    from medbench.core.files import write_json

    sample = shutil.copytree(small_iugc, tmp_path / "sample")
    write_json(sample / "medbench-sample.json", {"challenge": "iugc2024"})
    fresh(small_iugc, leaderboards=tmp_path / "boards")
    fresh(sample, leaderboards=tmp_path / "boards")
    page = (tmp_path / "boards/iugc2024/README.md").read_text()
    tables = page.split("\n## ")
    assert [table.split(",")[0] for table in tables[1:3]] == [
        "Measured on real data",
        "Synthetic sample: no result on real data",
    ]
    ranked = [re.findall(r"^\| \S+ +\| DSSAU-Net, tiny", table, re.MULTILINE) for table in tables[1:3]]
    assert list(map(len, ranked)) == [1, 1]


def test_evaluating_real_label_maps(shared_data):
    finished = evaluate(
        "iugc2024",
        shared_data / "psfhs/predictions",
        data=shared_data / "psfhs/labels",
        rename=("label_", "out_"),
    )
    assert finished.record.counts.ok == 13
    assert 0.9 < finished.record.metrics["dice_all"].value < 1
    perfect = evaluate(
        "iugc2024", shared_data / "iugc/pos/20190909T155747I1/mask", data=shared_data / "iugc", cases="*I1_*"
    )
    assert perfect.record.counts.ok == perfect.record.counts.total == 9
    assert perfect.record.metrics["dice_all"].value == 1
    assert perfect.record.metrics["aop_contour"].value == 0
