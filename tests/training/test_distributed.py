"""Two processes train together: each epoch is divided, what lags is agreed upon, one of them writes."""

import json
import subprocess
import sys

import pytest
import torch

SCRIPT = """
import sys
from pathlib import Path

import numpy as np

import medbench
from medbench.core.case import Case
from medbench.core.progress import SilentProgress
from medbench.core.sample import TrainingVolume, VolumeSample
from medbench.inference.volumes import VolumeContract
from medbench.training.fit import Hardware, Learner, fit
from medbench.training.recipes import load_recipe

def load(number):
    array = np.random.default_rng(number).random((2, 32, 32, 32)) + 1
    sample = VolumeSample(Case(f"c{number}", {}, {}, f"p{number}"), ("one", "two"), array, (True, True))
    return sample, (array[0] > 1.9).astype(np.uint8)

volumes = [
    TrainingVolume(f"c{n}", f"p{n}", lambda n=n: load(n), (), (n != 0, n in (0, 3))) for n in range(4)
]
build = lambda: medbench.create_model(
    "dmaf_net.test", in_channels=2, num_classes=2, channels=[4, 4, 4, 4, 8]
)
folder = Path(sys.argv[1])
recipe = load_recipe("dmaf_net", "quick", epochs=2, patches=1, hide_sequences=False)
weights = fit(
    Learner(build, VolumeContract(32, "scaled", "uniform", True), 2), volumes, recipe, folder, {},
    hardware=Hardware("cpu", 2), progress=SilentProgress(), cache=folder / "cache",
)
assert weights.exists()
print("done")
"""


@pytest.mark.slow
def test_two_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    finished = subprocess.run(
        [sys.executable, script, tmp_path / "out"], capture_output=True, text=True, timeout=300, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("done") == 2
    summary = json.loads((tmp_path / "out" / "training.json").read_text())
    assert summary["steps"] == 4
    assert [len(epoch["gap"]) for epoch in summary["history"]] == [2, 2]
    assert all(min(epoch["gap"]) > 0 for epoch in summary["history"])
    assert torch.load(tmp_path / "out" / "weights.pt", weights_only=True)
    assert not (tmp_path / "out" / "resume.ckpt").exists()
