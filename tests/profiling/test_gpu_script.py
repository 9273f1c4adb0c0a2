"""The script for whoever has a GPU works on the CPU too, where it writes no page."""

import subprocess
import sys
from pathlib import Path

import pytest

SPEED = Path(__file__).parents[2] / "speed"


@pytest.mark.slow
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
