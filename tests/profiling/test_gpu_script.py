"""The script for whoever has a GPU works on the CPU too, where it writes no page."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SPEED = Path(__file__).parents[2] / "speed"


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    specification = importlib.util.spec_from_file_location("speed_gpu", SPEED / "gpu.py")
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "speed_gpu", module)
    monkeypatch.syspath_prepend(str(SPEED))
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_families_of_images_and_of_pairs_are_measured(script, tmp_path, monkeypatch, one_thread):
    names = (
        "dssau_net.test",
        "cm_cgns.classifier",
        "medformer.retinanet.test",
        "heatmap_unet.test",
        "cm_cgns.pretraining",
    )
    monkeypatch.setattr(script, "TINY", names)
    page = tmp_path / "gpu.md"
    rows = script.main(["--device", "cpu", "--tiny", "--precision", "32", "--output", str(page)])
    assert [(row.model, row.note) for row in rows] == [(name, "") for name in names]
    for row in rows:
        assert min(row.step_s, row.used, row.cases_per_s, row.forward_s) > 0
        assert (row.peak_bytes, row.difference) == (None, 0)
    assert not page.exists()


def test_every_recipe_family_that_has_steps_is_in_the_list(script):
    from gpu_families import TASKS
    from medbench.models import model_entry
    from medbench.training.pretraining_recipe import FAMILY
    from medbench.training.recipes import FOLDER, RECIPES_OF_TASKS

    measured = set()
    for model in script.MODELS:
        entry = model_entry(model)
        task = next((task for task in TASKS if task in entry.offers), "frame_scores")
        family = FAMILY if script.PROGRAMS.get(model) is script.PairFamily else entry.recipe_family
        measured.add(task if task in RECIPES_OF_TASKS else family)
    assert measured == {path.stem for path in FOLDER.glob("*.toml")} - {"constant"}


def test_all_families_are_reckoned_to_take_less_than_four_minutes(script):
    assert sum(map(script.reckoned_s, script.MODELS)) <= script.LIMIT_S < 240


def test_the_page_names_the_gpu_and_what_failed_is_a_row(script):
    plan = script.Plan("cuda", "bf16-mixed", False)
    rows = [script.Row("a", 4, 0.02, 0.5, 2**31, 10.0, 0.003, 1e-6), script.Row("b", note="failed")]
    page = script.page(rows, plan, 12.3, "NVIDIA X")
    assert page.startswith("# On NVIDIA X\n")
    assert "13 s in all" in page
    assert "| `a` | 20.0 | 200.0 | 50% | 2.00 | 10.0 | 3.00 | 1.0e-06 |  |" in page
    assert "| `b` | – | – | – | – | – | – | – | failed |" in page


@pytest.mark.exhaustive
def test_every_family_is_measured(script, tmp_path):
    done = subprocess.run(
        [sys.executable, SPEED / "gpu.py", "--device", "cpu", "--tiny", "--precision", "32",
         "--output", tmp_path / "gpu.md"],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index("| model |") :].strip().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    names = {row[0].strip("`") for row in rows}
    assert names == set(script.TINY)
    for name, step, speed, used, peak, cases, forward, difference, note in rows:
        assert note == "", (name, note)
        assert float(step) > 0
        assert float(speed) > 0
        assert 0 < int(used.strip("%")) <= 100
        assert peak == "–"
        assert (cases == "–") == (name == "`fulltransnet`")
        assert float(forward) > 0
        assert float(difference) == 0.0
    assert not (tmp_path / "gpu.md").exists()
    assert not (SPEED / "gpu.md").exists() or "# On " in (SPEED / "gpu.md").read_text()
