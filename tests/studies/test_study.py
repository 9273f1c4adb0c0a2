"""Studies from their file to the board, repeated, in shards, and what is refused before anything starts."""

import dataclasses
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.running.shard import Shard, write_shard
from medbench.studies.cell_work import Order, do_cell
from medbench.studies.cells import study_cells
from medbench.studies.declaration import read_study
from medbench.studies.expected_costs import EntryCost, samples_seen, total_words
from medbench.studies.outcomes import CELLS, TRIES, Outcome
from medbench.studies.study import Conditions, merge_study, plan_study, run_study
from medbench.training.recipes import load_recipe

BROKEN = '''
import torch
from torch import nn
from medbench.models import ModelEntry, register_model

class Broken(nn.Module):
    """Fails on real images, not on shapes."""
    def __init__(self, num_classes):
        super().__init__()
        self.layer = nn.Conv2d(3, num_classes, 1)
    def forward(self, images):
        if self.training:
            raise RuntimeError("the tenth model has a typo")
        return self.layer(images)

@register_model(ModelEntry(name="broken", title="Broken", image_size=32))
def broken(in_channels, num_classes):
    return Broken(num_classes)
'''
STUDY = """
title = "Two networks on colonoscopy"
models = ["dssau_net.test", "broken", "mslau_net.test"]
recipes = ["quick"]
seeds = [0, 1]
plugins = ["broken.py"]
[budget]
steps = 1
[[data]]
challenge = "cvc_clinicdb"
folder = "cvc"
"""
QUIET = SilentProgress()


class Told(SilentProgress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def do(plan, folder, progress=QUIET, **conditions):
    with ThreadPoolExecutor(1) as pool:
        return run_study(plan, folder, Conditions(**conditions), progress, pool)


@pytest.fixture(scope="module")
def place(tmp_path_factory, small_cvc):
    from medbench.models import registry

    place = tmp_path_factory.mktemp("study")
    shutil.copytree(small_cvc, place / "cvc")
    (place / "broken.py").write_text(BROKEN)
    (place / "study.toml").write_text(STUDY)
    yield place
    registry._registry.cache_clear()
    registry._factories.pop("broken", None)


@pytest.fixture(scope="module")
def whole(place, one_thread, tmp_path_factory):
    """The study, worked off at once in one folder: its plan, board, folder and what was said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        plan = plan_study(place / "study.toml", QUIET)
        told = Told()
        board = do(plan, place / "whole", told, quick=True)
    return plan, board, place / "whole", told.lines


@pytest.mark.slow
def test_costs_are_counted_before_the_start(whole):
    plan = whole[0]
    assert [cost.cells for cost in plan.costs] == [2, 2, 2]
    by_model = {cost.entry.model: cost for cost in plan.costs}
    broken = by_model["broken"]
    assert (broken.parameters, broken.macs) == (2 * 3 + 2, 2 * 3 * 128**2)
    assert broken.training_flops == 2 * broken.macs * 3 * broken.samples * 2
    assert all(cost.cases == 2 * 10 for cost in plan.costs)
    assert by_model["dssau_net.test"].parameters > 1e5


@pytest.mark.parametrize(("cases", "seen"), [(25, 3 * 24), (8, 3 * 8), (3, 3 * 3)])
def test_a_training_sees_whole_batches_alone_or_its_only_one(cases, seen):
    recipe = load_recipe("generic", epochs=3, batch_size=4, validation="none")
    assert samples_seen(recipe, cases) == seen
    assert samples_seen(dataclasses.replace(recipe, max_steps=7), 25) == 28


def test_the_cost_of_a_study_is_one_sentence():
    known = EntryCost("ours", ("a", "", "quick"), 1, 1, 8, 10**9, 10, None, 1)
    unknown = EntryCost("ours", ("b", "", "quick"), 2, 2, None, None, 10, None, 1200)
    assert total_words([known]) == "1 cell, 1 training, 1 prediction, 0.06 TFLOP of training."
    several = total_words([known, unknown, unknown])
    assert several.startswith("5 cells, 5 trainings, 2,401 predictions, 0.06 TFLOP of training")
    assert several.endswith(" and that of 2 entries, which are not counted.")


@pytest.mark.slow
def test_a_failed_cell_stops_no_other_and_the_quick_pass_finds_it(whole):
    _, board, folder, lines = whole
    assert board.exit_code == 1
    assert [outcome.status for outcome in board.outcomes] == ["ok", "ok", "failed", "failed", "ok", "ok"]
    reason = "in the quick pass: RuntimeError: the tenth model has a typo"
    assert {outcome.reason for outcome in board.outcomes if outcome.status == "failed"} == {reason}
    (population,) = board.populations
    assert [line.entry.model for line in population.lines] == ["dssau_net.test", "mslau_net.test"]
    assert list(population.incomplete) == [("broken", "", "quick")]
    failures = [place for place, line in enumerate(lines) if "typo" in line]
    first_result = next(place for place, line in enumerate(lines) if "dssau_net.test" in line)
    assert len(failures) == 2
    assert max(failures) < first_result
    assert not (folder / "quick").exists()


@pytest.mark.slow
def test_the_board_ranks_tests_and_shows_cost(whole):
    (population,) = whole[1].populations
    column = population.rankings.columns[0]
    assert sorted(column.rankings[0].ranks) in ([1, 2], [1, 1])
    assert population.rankings.groups == 3  # the test frames' sequences, each with both seeds
    assert {len(line.over_seeds) for line in population.lines} == {len(population.columns)}
    assert {figures.runs for line in population.lines for figures in line.over_seeds.values()} == {2}
    assert all(figures.sd is not None for line in population.lines for figures in line.over_seeds.values())
    assert {row.hypotheses for row in population.differences} == {len(population.columns)}
    assert any(line.front for line in population.lines)
    text = (whole[2] / "board.md").read_text()
    assert "4 of 6 cells" in text
    assert "p (Holm)" in text
    assert "the tenth model has a typo" in text


@pytest.mark.slow
def test_a_repeat_does_only_what_is_missing(whole):
    plan, board, folder, _ = whole
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("record.json")}
    told = Told()
    again = do(plan, folder, told)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("record.json")} == before
    assert told.lines[0].startswith("4 of 6 cells are kept from ")
    assert [o.status for o in again.outcomes] == [o.status for o in board.outcomes]
    assert {o.reason for o in again.outcomes if o.reason} == {"RuntimeError: the tenth model has a typo"}


@pytest.mark.slow
def test_shards_merge_into_the_bytes_of_one_run(place, whole, one_thread):
    plan, _, folder, _ = whole
    do(plan, folder)
    parts = [place / "part-1", place / "part-2"]
    for number, part in enumerate(parts, 1):
        do(plan, part, shard=Shard(number, 2))
    merge_study(parts, place / "merged")
    for pattern in ("board.*", "study.json", "cells/*.json", "runs/*/*/*/cases.jsonl"):
        expected = {path.relative_to(folder): path.read_bytes() for path in folder.glob(pattern)}
        merged = {path.relative_to(place / "merged"): path for path in (place / "merged").glob(pattern)}
        assert expected
        assert {name: path.read_bytes() for name, path in merged.items()} == expected
    with pytest.raises(MedbenchError, match=r"Shard 2/2 of 2 not there") as caught:
        merge_study(parts[:1], place / "other")
    assert caught.value.code == "shard.missing"
    doubled = shutil.copytree(parts[0], place / "copy")
    with pytest.raises(MedbenchError, match=r"Shard 1/2 is there 2 times: .*part-1.*copy") as caught:
        merge_study([*parts, doubled], place / "other")
    assert caught.value.code == "shard.doubled"
    with pytest.raises(MedbenchError) as caught:
        merge_study([place / "cvc"], place / "other")
    assert caught.value.code == "shard.none"
    path = doubled / "shards/1-of-2.json"
    path.write_text(path.read_text().replace('"shards": 2', '"shards": 3'))
    with pytest.raises(MedbenchError, match=r"1-of-2\.json: was edited or cut off"):
        merge_study([parts[0], doubled], place / "other")
    write_shard(path, {"whole": "0" * 64, "shard": 1, "shards": 2, "cells": []})
    with pytest.raises(MedbenchError) as caught:
        merge_study([parts[0], doubled], place / "other")
    assert caught.value.code == "shard.other_study"
    assert not (place / "other").exists()


@pytest.mark.slow
def test_a_cell_whose_worker_died_three_times_is_given_up_until_asked_again(place, whole, tmp_path):
    plan = whole[0]
    cell = plan.cells[0]
    (tmp_path / TRIES).mkdir()
    (tmp_path / TRIES / cell.id).write_text("3")
    outcome = do_cell(Order(cell, tmp_path))
    assert (outcome.status, outcome.tries) == ("given up", 3)
    assert Outcome.read(tmp_path, cell.id) == outcome
    assert do_cell(Order(cell, tmp_path)) == outcome
    from medbench.studies.study import _missing

    assert _missing([cell], tmp_path, again=False) == []
    assert _missing([cell], tmp_path, again=True) == [cell]
    assert not (tmp_path / CELLS / f"{cell.id}.json").exists()
    assert not (tmp_path / TRIES / cell.id).exists()


def test_an_interrupted_cell_is_no_death(place, whole, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("medbench.studies.cell_work._done", interrupt)
    cell = whole[0].cells[0]
    with pytest.raises(KeyboardInterrupt):
        do_cell(Order(cell, tmp_path))
    assert (tmp_path / TRIES / cell.id).read_text() == "0"


@pytest.mark.slow
def test_a_worker_with_other_sources_is_refused(whole, tmp_path):
    outcome = do_cell(Order(whole[0].cells[0], tmp_path, code="0" * 64))
    assert outcome.status == "failed"
    assert "another version of medbench" in outcome.reason


def changed(place, tmp_path, *pairs):
    text = STUDY.replace('folder = "cvc"', f'folder = "{place / "cvc"}"')
    text = text.replace('["broken.py"]', "[]").replace('"broken", ', "")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "study.toml"
    path.write_text(text)
    return path


SUMMARIES = ('challenge = "cvc_clinicdb"', 'challenge = "tvsum"')
LONG, DEFAULT = ("steps = 1", "epochs = 3"), ('"quick"', '"default"')
LEARNS_ON_TEST = ('["dssau_net.test", "mslau_net.test"]', '["fulltransnet"]')


@pytest.mark.parametrize(
    ("code", "pairs"),
    [
        ("study.missing", [("plugins = []", 'plugins = ["absent.py"]')]),
        ("study.missing", [("/cvc", "/absent")]),
        ("study.missing", [('"mslau_net.test"', '{model = "mslau_net.test", weights = "absent.pt"}')]),
        ("study.budget", [("steps = 1", "steps = 1\nepochs = 2")]),
        ("study.budget", [("steps = 1", "steps = 0.5")]),
        ("study.budget", [("steps = 1", "hours = 1")]),
        ("study.option", [("seeds", "sedes")]),
        ("study.value", [("[0, 1]", "[0, 0]")]),
        ("study.value", [('"mslau_net.test"', '"dssau_net.test"')]),
        ("model.unknown", [("mslau_net.test", "mslau_nett")]),
        ("recipe.unknown", [('"quick"', '"quik"')]),
        ("split.unknown", [("[[data]]", '[[data]]\nfolds = ["tset"]')]),
        ("split.unknown", [("[[data]]", '[[data]]\ntraining = ["trian"]')]),
        ("weights.leak", [("[[data]]", '[[data]]\ntraining = ["leaking_train"]')]),
        ("study.test_selection", [("[[data]]", '[[data]]\ntraining = ["train", "test"]')]),
        (
            "study.value",
            [
                (
                    '"mslau_net.test"',
                    '{model = "mslau_net.test", name = "a"}, {model = "mslau_net.test", name = "a"}',
                )
            ],
        ),
        (
            "study.never_ranked",
            [('"cvc_clinicdb"', '"siim_pneumothorax"\nfolds = ["leaking_test"]')],
        ),
        ("study.missing", [('"mslau_net.test"', '{model = "mslau_net.test", init = "absent"}')]),
        (
            "study.value",
            [
                (
                    '"mslau_net.test"',
                    '{model = "mslau_net.test", weights = "study.toml", freeze = ["encoder"]}',
                )
            ],
        ),
        ("recipe.setting", [("[budget]", '[search]\non = "validation"\nlearning_rat = [1]\n[budget]')]),
        ("study.test_selection", [("[budget]", '[search]\non = "test"\nlearning_rate = [1, 2]\n[budget]')]),
        ("study.test_selection", [("[budget]", "[search]\nlearning_rate = [1, 2]\n[budget]")]),
        (
            "study.test_selection",
            [
                (
                    "[budget]",
                    '[search]\non = "validation"\nvalidation = ["none"]\nweight_decay = [0, 1]\n[budget]',
                )
            ],
        ),
        ("study.test_selection", [SUMMARIES, LEARNS_ON_TEST, ('"quick"', '"published"')]),
    ],
)
def test_a_wrong_study_is_refused_before_anything_starts(code, pairs, place, tmp_path, monkeypatch):
    monkeypatch.setattr("medbench.running.data.resolve_data", lambda *_: pytest.fail("data were looked at"))
    with pytest.raises(MedbenchError) as caught:
        study_cells(read_study(changed(place, tmp_path, *pairs)))
    assert caught.value.code == code
    assert str(tmp_path) in caught.value.message
    if code == "study.missing":
        assert str(tmp_path) in caught.value.hint


def test_a_search_tries_every_combination_with_the_budget(place, tmp_path):
    search = '[search]\non = "validation"\nlearning_rate = [0.1, 0.01]\nweight_decay = [0.0]\n[budget]'
    cells = study_cells(read_study(changed(place, tmp_path, ("[budget]", search), LONG, DEFAULT)))
    assert len(cells) == 4
    assert cells[0].candidates == (
        {"learning_rate": 0.1, "weight_decay": 0.0, "epochs": 3},
        {"learning_rate": 0.01, "weight_decay": 0.0, "epochs": 3},
    )


def test_the_best_candidate_on_held_out_training_cases_is_taken(place, tmp_path, monkeypatch):
    from medbench.studies import cell_work

    search = '[search]\non = "validation"\nlearning_rate = [0.1, 0.01, 0.001]\n[budget]'
    cell = study_cells(read_study(changed(place, tmp_path, ("[budget]", search), DEFAULT)))[0]
    scores = {0.1: 0.2, 0.01: 0.7, 0.001: None}
    monkeypatch.setattr(
        cell_work,
        "_train",
        lambda order, runs, s: (runs / str(s["learning_rate"]), scores[s["learning_rate"]]),
    )
    weights, settings, validation = cell_work._weights(Order(cell, tmp_path), tmp_path)
    assert weights == str(tmp_path / "0.01")
    assert settings == {"learning_rate": 0.01, "max_steps": 1}
    assert validation == (0.2, 0.7, None)


def test_a_malformed_shard_is_refused():
    assert str(Shard.parse("2/4")) == "2/4"
    assert Shard(2, 3).part(range(7)) == [1, 4]
    for text in ("0/2", "3/2", "1", "a/b", "1/0"):
        with pytest.raises(MedbenchError, match="is no shard"):
            Shard.parse(text)


def test_a_fit_without_steps_stands_in_any_study(place, tmp_path):
    with_baseline = ('"dssau_net.test", "mslau_net.test"', '"baseline/constant", "mslau_net.test"')
    for budget in ("steps = 1", "epochs = 2", "minutes = 1"):
        cells = study_cells(read_study(changed(place, tmp_path, with_baseline, ("steps = 1", budget))))
        assert cells[0].candidates == ({},)
        assert cells[-1].candidates != ({},)
