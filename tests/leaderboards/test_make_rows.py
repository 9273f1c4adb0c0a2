"""The program that makes the shipped rows: plans fit the package, substitutes are laid out as releases."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from medbench.challenges import list_challenges, load_challenge
from medbench.leaderboards.results import read_results
from medbench.leaderboards.training_budget import budget_minutes
from medbench.running.networks import suitable_models

FOLDER = Path(__file__).parents[2] / "leaderboards"


@pytest.fixture(scope="module")
def make_rows():
    sys.path.insert(0, str(FOLDER))
    try:
        specification = importlib.util.spec_from_file_location("make_rows", FOLDER / "make_rows.py")
        module = importlib.util.module_from_spec(specification)
        sys.modules["make_rows"] = module
        specification.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(FOLDER))
        sys.modules.pop("make_rows", None)
        sys.modules.pop("substitutes", None)


def test_every_plan_names_challenges_and_models_that_serve_them(make_rows):
    assert set(make_rows.PLANS) <= set(list_challenges())
    for name, plan in make_rows.PLANS.items():
        challenge = load_challenge(name)
        assert not plan.split or plan.split in challenge.release.splits
        assert set(plan.models) <= set(suitable_models(challenge)), name
        assert len(plan.models) == (2 if plan.learns else 0)
        assert plan.substitute == (name in make_rows.substitutes.LAYOUTS)


@pytest.mark.parametrize(
    ("challenge", "source", "train", "groups"),
    [("psfhs", "psfhs_iugc", 20, 6), ("kpis_patch", "kpis_substitute", 60, 2), ("covidx", "cxr", 97, 57)],
)
def test_a_substitute_is_laid_out_as_the_release(
    make_rows, shared_data, tmp_path, challenge, source, train, groups
):
    root = make_rows.substitutes.lay_out(challenge, shared_data / source, tmp_path / "data")
    subject = load_challenge(challenge)
    learnt, scored = (subject.cases(root, split) for split in ("train", "test"))
    assert len(learnt) >= train
    assert len({case.resampling_unit for case in scored}) == groups
    assert not {case.resampling_unit for case in learnt} & {case.resampling_unit for case in scored}
    for case in (learnt[0], scored[-1]):
        assert np.max(subject.release.read_reference(case)) >= 0
    assert (root / "substitute.txt").read_text().strip()


@pytest.mark.parametrize(
    ("summary", "steps"),
    [
        ({"steps": 11, "cpu_s": 25.0, "cpu_s_first_step": 5.0}, 89),
        ({"steps": 89, "cpu_s": 181.0, "cpu_s_first_step": 5.0}, 89),
        ({"steps": 1, "cpu_s": 400.0, "cpu_s_first_step": 399.0}, 1),
        ({"steps": 2, "cpu_s": 700.0, "cpu_s_first_step": 300.0}, 1),
    ],
)
def test_as_many_steps_are_trained_as_cost_the_budget(make_rows, summary, steps):
    assert make_rows.affordable_steps(summary, 180) == steps


def test_a_training_that_misses_the_budget_is_repeated_and_a_repeated_call_finds_the_last(
    make_rows, tmp_path, monkeypatch
):
    """A step costs 2 s in the first 21 seconds and 2.5 s in a whole training; 5 s go before the first."""
    trained = []

    def pretend(words):
        given = [word.partition("=")[2] for word in words if word.startswith("max_steps=")]
        runs = Path(words[words.index("--runs") + 1])
        steps, step_s = (int(given[0]), 2.5) if given else (9, 2.0)
        folder = runs / "hc18" / "smp-unet" / "training" / f"quick-{steps}"
        if (folder / "training.json").exists():
            return
        trained.append(steps)
        summary = {"model": "smp/unet", "challenge": "hc18", "split": "train", "steps": steps}
        summary |= {"recipe": {"max_steps": int(given[0]) if given else 0}, "finished": str(len(trained))}
        summary |= {"cpu_s": 5 + step_s * (steps - 1), "cpu_s_first_step": 5.0}
        folder.mkdir(parents=True)
        (folder / "training.json").write_text(json.dumps(summary))

    monkeypatch.setattr(make_rows, "_medbench", pretend)
    learn = ["train", "-m", "smp/unet", "-c", "hc18"]
    for _ in range(2):
        assert make_rows._trained_steps(learn, tmp_path / "steps.json", tmp_path / "runs", 3.0) == 71
        assert trained == [9, 89, 71]


def test_the_shipped_table_of_budgets_is_what_the_rows_give(make_rows, tmp_path):
    """Every network of a board has the budget of its plan and keeps it."""
    boards = tmp_path / "leaderboards"
    for name in make_rows.PLANS:
        (boards / name).mkdir(parents=True)
        shutil.copy(FOLDER / name / "results.jsonl", boards / name)
    missed = make_rows.write_budgets(boards)
    assert (boards / "budgets.md").read_text() == (FOLDER / "budgets.md").read_text()
    assert missed == []
    for name, plan in make_rows.PLANS.items():
        rows = [row for row in read_results(FOLDER, name) if row["recipe"]]
        budgets = {budget_minutes(row) for row in rows if row["model"] != make_rows.CONSTANT}
        assert budgets == ({plan.minutes} if plan.learns else set()), name
