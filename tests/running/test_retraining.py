"""Rows name how their networks were trained, and the commands train them again to the same scores."""

import dataclasses
import json
import sys

import pytest
import torch

import warm_process
from medbench.core.files import read_json, write_json
from medbench.core.progress import SilentProgress
from medbench.leaderboards.results import evidence_folder, read_results
from medbench.records.reading import find_run
from medbench.running.report import report
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.train import train
from medbench.running.verify import Again, verify


@pytest.fixture(scope="module")
def trained(small_cvc, tmp_path_factory, one_thread):
    """A tiny network, trained for one epoch by a changed recipe, and its row."""
    base = tmp_path_factory.mktemp("retrain")
    changes = {"epochs": 1, "image_size": 64, "least_steps": 2}
    train("dssau_net.test", "cvc_clinicdb", recipe="quick", recipe_changes=changes, data=small_cvc,
          runs=base / "runs")  # fmt: skip
    done = run("dssau_net.test", "cvc_clinicdb", data=small_cvc, runs=base / "runs",
               leaderboards=base / "boards", inference=Inference(image_size=64))  # fmt: skip
    return base, done


def test_a_row_names_recipe_changes_seeds_settings_and_both_commands(trained):
    base, done = trained
    (row,) = read_results(base / "boards", "cvc_clinicdb")
    assert row["recipe"] == "quick"
    assert row["recipe_changes"] == {"epochs": 1, "image_size": 64, "least_steps": 2}
    assert (row["seed"], row["training_seed"], row["groups"]) == (0, 0, 3)
    assert row["settings"]["image_size"] == 64
    assert row["metrics"]["dice"]["ci95_method"] == "3 groups are too few for an interval"
    assert row["training_command"] == (
        "medbench train -m dssau_net.test -c cvc_clinicdb --split train --data {data} --recipe quick "
        "--recipe-set epochs=1 --recipe-set image_size=64 --recipe-set least_steps=2"
    )
    assert row["command"].startswith(
        "medbench run -m dssau_net.test -c cvc_clinicdb --device cpu --split test --data {data}"
    )
    assert row["record_sha256"] != row["cases_sha256"]
    assert done.record.environment.scoring_sha256 == row["scoring_sha256"]
    (summary,) = map(read_json, base.glob("runs/*/*/training/*/training.json"))
    assert row["training"]["cpu_minutes"] == [round(summary["cpu_s"] / 60, 3)]
    assert 0 < summary["cpu_s_first_step"] < summary["cpu_s"] < 300


class Lines(SilentProgress):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def test_kept_weights_of_another_number_of_threads_are_told_of(trained, small_cvc):
    base, _ = trained
    (path,) = base.glob("runs/*/*/training/*/training.json")
    summary = read_json(path)
    own_threads = torch.get_num_threads()
    assert summary["threads"] == own_threads
    places = {"data": small_cvc, "runs": base / "runs"}
    changes = {"epochs": 1, "image_size": 64, "least_steps": 2}

    def told(**facts):
        write_json(path, {**summary, **facts})
        said = Lines()
        run("dssau_net.test", "cvc_clinicdb", leaderboards=base / "boards", progress=said,
            inference=Inference(image_size=64), **places)  # fmt: skip
        train(
            "dssau_net.test", "cvc_clinicdb", recipe="quick", recipe_changes=changes, progress=said, **places
        )
        return [line for line in said.lines if "thread" in line]

    try:
        assert told() == told(threads=None) == []
        assert told(threads=7, hardware={**summary["hardware"], "accelerator": "cuda"}) == []
        line = (
            f"The kept weights were trained with 7 threads, this process has {own_threads}: trained anew "
            "they would have other digits (OMP_NUM_THREADS=7 gives these)."
        )
        assert told(threads=7) == [line, line]
    finally:
        write_json(path, summary)


def test_a_repeated_run_with_nothing_to_do_changes_no_byte(trained, small_cvc):
    base, done = trained
    files = [path for path in base.rglob("*") if path.suffix in (".json", ".jsonl", ".sha256")]
    before = {path: path.read_bytes() for path in files}
    again = run("dssau_net.test", "cvc_clinicdb", data=small_cvc, runs=base / "runs",
                leaderboards=base / "boards", inference=Inference(image_size=64))  # fmt: skip
    assert {path: path.read_bytes() for path in files} == before
    assert again.record == done.record
    assert again.resumed == len(done.rows)


@pytest.mark.slow
def test_networks_are_scored_and_trained_again(trained, small_cvc, monkeypatch, tmp_path):
    def in_a_warm_process(words, env, **options):
        assert words[:3] == [sys.executable, "-m", "medbench"]
        return warm_process.call(words[3:], tmp_path, **env)

    monkeypatch.setattr("medbench.running.verify.subprocess.run", in_a_warm_process)
    base, done = trained
    (report_,) = verify(
        ["cvc_clinicdb"], base / "boards", Again(data=small_cvc, predictions=base / "runs", retrain=True)
    )
    assert (report_.findings, report_.scored_again, report_.trained_again) == ([], 10, 1)
    monkeypatch.setattr("medbench.running.verify._command", lambda *arguments: "no such recipe")
    (failed,) = verify([done.record.key[:8]], base / "boards", Again(data=small_cvc, retrain=True))
    assert "does not train: no such recipe" in str(failed.findings[0])


def test_a_metric_outside_the_row_s_interval_is_a_finding(trained, small_cvc, monkeypatch):
    from medbench.running import verify as module

    base, done = trained
    evidence = module.read_evidence(evidence_folder(base / "boards", "cvc_clinicdb", done.record.key))
    dice = evidence.record.metrics["dice"].model_copy(update={"ci95_low": 0.99, "ci95_high": 1.0})
    record = evidence.record.model_copy(update={"metrics": {"dice": dice}})
    monkeypatch.setattr(module, "_command", lambda *arguments: "")
    monkeypatch.setattr(module.tempfile, "TemporaryDirectory", lambda: _Kept(base / "runs"))
    (finding,) = module._trained_again(
        dataclasses.replace(evidence, record=record), module.Data(small_cvc, "real")
    )
    assert finding.place == "metrics.dice.value"
    assert "trained again it is" in finding.message


class _Kept:
    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return str(self.path)

    def __exit__(self, *arguments):
        pass


@pytest.mark.slow
def test_subgroups_of_the_manifest_are_in_record_row_and_report(small_kpis, tmp_path):
    done = run("dssau_net.test", "kpis_patch", data=small_kpis, weights="none", runs=tmp_path / "runs",
               leaderboards=tmp_path / "boards", inference=Inference(image_size=64))  # fmt: skip
    groups = done.record.subgroups["group"]
    assert set(groups) == {"DN", "NEP25", "normal"}
    counted = [own["dice"].scored + own["dice"].undefined for own in groups.values()]
    assert sum(counted) == done.record.challenge.cases
    first = json.loads((done.folder / "cases.jsonl").read_text().splitlines()[0])
    assert first["facts"]["group"] in groups
    (row,) = read_results(tmp_path / "boards", "kpis_patch")
    assert row["subgroups"]["group"]["DN"]["dice"]["value"] == groups["DN"]["dice"].value
    page = report(done.folder, data=small_kpis, output=tmp_path / "page.html").read_text()
    assert "<h2>By group</h2>" in page
    assert "### By group" in (tmp_path / "boards" / "kpis_patch" / "README.md").read_text()
    assert "[untrained]" in (tmp_path / "boards" / "kpis_patch" / "README.md").read_text()
    assert find_run(row["key"][:8], tmp_path / "none", tmp_path / "boards").record == done.record


def test_a_substitute_is_named_in_record_and_board_and_is_no_subset(small_cvc, tmp_path):
    import shutil

    data = tmp_path / "data"
    shutil.copytree(small_cvc, data)
    (data / "substitute.txt").write_text("drawn frames\n")
    done = run("dssau_net.test", "cvc_clinicdb", data=data, weights="none", runs=tmp_path / "runs",
               leaderboards=tmp_path / "boards", inference=Inference(image_size=64))  # fmt: skip
    assert done.record.settings["substitute"] == "drawn frames"
    assert not done.record.challenge.subset
    page = (tmp_path / "boards" / "cvc_clinicdb" / "README.md").read_text()
    assert "## Measured on a substitute for the release: drawn frames, split test" in page
