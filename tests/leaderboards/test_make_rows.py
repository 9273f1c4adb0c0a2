"""The program that makes the shipped rows: plans fit the package, substitutes are laid out as releases."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from medbench.challenges import list_challenges, load_challenge
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


def test_the_table_of_budgets_keeps_what_was_not_made_anew(make_rows, tmp_path):
    path = tmp_path / "budgets.md"
    make_rows._write(path, 10, ["| `hc18` | `smp/unet` | 27 | 9.8 |", "| `acdc` | `smp/unet` | 5 | 9.1 |"])
    make_rows._write(path, 10, ["| `acdc` | `smp/unet` | 6 | 10.1 |"])
    lines = [line for line in path.read_text().splitlines() if line.startswith("| `")]
    assert lines == ["| `acdc` | `smp/unet` | 6 | 10.1 |", "| `hc18` | `smp/unet` | 27 | 9.8 |"]
