"""The script for whoever has a GPU works on the CPU too, where it writes no page."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SPEED = Path(__file__).parents[2] / "speed"


@pytest.mark.slow
def test_a_family_is_measured(tmp_path, monkeypatch, one_thread):
    specification = importlib.util.spec_from_file_location("speed_gpu", SPEED / "gpu.py")
    script = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "speed_gpu", script)
    monkeypatch.syspath_prepend(str(SPEED))
    specification.loader.exec_module(script)
    monkeypatch.setattr(script, "TINY", ("dssau_net.test",))
    page = tmp_path / "gpu.md"
    (row,) = script.main(["--device", "cpu", "--tiny", "--precision", "32", "--output", str(page)])
    assert row.note == ""
    assert min(row.step_s, row.used, row.cases_per_s, row.forward_s) > 0
    assert (row.peak_bytes, row.difference) == (None, 0)
    assert not page.exists()


@pytest.mark.exhaustive
def test_every_family_is_measured(tmp_path):
    done = subprocess.run(
        [sys.executable, SPEED / "gpu.py", "--device", "cpu", "--tiny", "--precision", "32",
         "--output", tmp_path / "gpu.md"],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index("| model |") :].strip().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    names = {row[0].strip("`") for row in rows}
    assert names == {"dssau_net.test", "medformer.classifier.test", "dmaf_net.test", "fulltransnet"}
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
