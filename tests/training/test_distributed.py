"""Two processes train together: they share each step's batch, validate together, and one of them writes."""

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time

import pytest
import torch

SCRIPT = """
import sys
from pathlib import Path

import numpy as np

import medbench
from medbench.core.case import Case
from medbench.core.progress import SilentProgress
from medbench.core.sample import TrainingImage, TrainingVolume, VolumeSample
from medbench.inference.predictor import InputContract
from medbench.inference.volumes import VolumeContract
from medbench.training.fit import Hardware, Learner, fit
from medbench.training.recipes import load_recipe

from torch import nn

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
folder, processes = Path(sys.argv[1]), int(sys.argv[2])
if processes == 2:
    recipe = load_recipe("dmaf_net", "quick", epochs=2, patches=1, batch_size=2, hide_sequences=False)
    weights = fit(
        Learner(build, VolumeContract(32, "scaled", "uniform", True), 2), volumes, recipe, folder, {},
        hardware=Hardware("cpu", 2), progress=SilentProgress(), cache=folder / "cache",
    )
    assert weights.exists()

def image(number):
    def read(size):
        pixels = np.random.default_rng(number).integers(0, 255, (size, size, 3)).astype(np.uint8)
        return pixels, pixels[..., 0] // 128
    return TrainingImage(f"i{number}", f"g{number}", read, True)

def small():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.GELU(), nn.Conv2d(8, 2, 1)]
    return nn.Sequential(*layers)

recipe = load_recipe(
    "dssau_net", "default", image_size=16, batch_size=5, epochs=3, least_steps=0, augmentation="none",
    loss="cross_entropy_dice", learning_rate=1e-3, gradient_clip=1.0, optimizer="sgd",
)
for passes in (1, 2) if processes == 1 else (1,):
    fit(
        Learner(small, InputContract(16), 2), [image(n) for n in range(40)], recipe, folder / f"{passes}", {},
        hardware=Hardware("cpu", processes, passes=passes), progress=SilentProgress(),
    )
class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.segment = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.classify = nn.Linear(4, 2)

    def forward(self, images):
        features = self.features(images)
        return self.segment(features), self.classify(features.mean((2, 3)))

def part(number):
    plain = image(number)
    return TrainingImage(plain.id, plain.group, plain.load, True, 1 if number == 0 else None)

recipe = load_recipe(
    "dssau_net", "default", image_size=16, batch_size=4, epochs=2, least_steps=0, augmentation="none",
    validation="none", learning_rate=1e-3, optimizer="sgd", weight_decay=0.0,
)
tasks = ("label_map", "image_classes")
learner = Learner(TwoHeads, InputContract(16), 2, tasks, tasks)
fit(
    learner, [part(n) for n in range(12)], recipe, folder / "heads", {},
    hardware=Hardware("cpu", processes), progress=SilentProgress(),
)
print("done")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of trainings by so many processes."""
    root = tmp_path_factory.mktemp("distributed")
    script = root / "script.py"
    script.write_text(SCRIPT)
    outputs = {}
    for processes in (1, 2):
        folder = root / f"{processes}"
        if processes == 1:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", [str(script), str(folder), "1"])
                runpy.run_path(str(script), run_name="__main__")
            outputs[1] = folder
            continue
        finished = subprocess.run(
            [sys.executable, script, folder, str(processes)],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout.count("done") == processes
        outputs[processes] = folder
    return outputs


@pytest.mark.slow
def test_two_processes(trained):
    folder = trained[2]
    summary = json.loads((folder / "training.json").read_text())
    assert summary["steps"] == 4
    assert [len(epoch["gap"]) for epoch in summary["history"]] == [2, 2]
    assert all(min(epoch["gap"]) > 0 for epoch in summary["history"])
    assert torch.load(folder / "weights.pt", weights_only=True)
    assert not (folder / "resume.ckpt").exists()
    assert summary["hardware"]["devices"] == 2
    assert summary["hardware"]["effective_batch"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("shared", [(2, 1), (1, 2)])
def test_a_batch_shared_by_processes_or_passes_teaches_what_it_teaches_one(trained, shared):
    """Batches of 5 go to two as 3 and 2; 8 images are held out, in two batches that go to a process each."""
    summaries, states = [], []
    for processes, passes in ((1, 1), shared):
        folder = trained[processes] / f"{passes}"
        summaries.append(json.loads((folder / "training.json").read_text()))
        states.append(torch.load(folder / "weights.pt", weights_only=True)["state_dict"])
    assert summaries[0]["steps"] == summaries[1]["steps"] == 18
    assert summaries[1]["validation_dice"] == pytest.approx(summaries[0]["validation_dice"], abs=2e-4)
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=0.02, atol=2e-4)


@pytest.mark.slow
def test_a_part_of_a_batch_without_classes_does_not_stop_the_others(trained):
    """One image of twelve has a class: the processes that see none send gradients of 0 to the classifier."""
    one, two = (
        torch.load(trained[count] / "heads" / "weights.pt", weights_only=True)["state_dict"]
        for count in (1, 2)
    )
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0.02, atol=2e-4)


ENDLESS = """
import sys
from pathlib import Path

import numpy as np
from torch import nn

from medbench.core.progress import SilentProgress
from medbench.core.sample import TrainingImage
from medbench.inference.predictor import InputContract
from medbench.training.fit import Hardware, Learner, fit
from medbench.training.recipes import load_recipe

def image(number):
    def read(size):
        return np.full((size, size, 3), number, np.uint8), np.zeros((size, size), np.uint8)
    return TrainingImage(f"i{number}", f"g{number}", read, True)

recipe = load_recipe("dssau_net", "default", image_size=16, batch_size=4, epochs=100_000, validation="none")
fit(
    Learner(lambda: nn.Conv2d(3, 2, 3, padding=1), InputContract(16), 2), [image(n) for n in range(8)],
    recipe, Path(sys.argv[1]), {}, hardware=Hardware("cpu", 2), progress=SilentProgress(),
)
"""


@pytest.mark.slow
@pytest.mark.exhaustive  # that the handler interrupts is tested in one process too
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the first process", "to all processes"])
def test_sigterm_ends_all_processes_and_keeps_the_state(tmp_path, send):
    """Field case: the processes waited for one another in the trainer's handler, every second time."""
    script, state = tmp_path / "script.py", tmp_path / "training" / "resume.ckpt"
    script.write_text(ENDLESS)
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (tmp_path / "err").open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, script, state.parent], stderr=stream, env=settings, start_new_session=True
        )
    until = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    send(process.pid, signal.SIGTERM)
    try:
        process.wait(60)
        while time.monotonic() < until and _lives(process.pid):
            time.sleep(0.1)
        assert not _lives(process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert "KeyboardInterrupt" in (tmp_path / "err").read_text()
    assert torch.load(state, weights_only=True)["global_step"] > 0


def on_two(small_cvc, runs, err):
    """Start ``medbench train`` on two processes of the CPU; its streams go to files beside ``runs``."""
    words = ["train", "-m", "smp/unet", "-c", "cvc_clinicdb", "--data", str(small_cvc), "--runs", str(runs)]
    words += ["--set", "encoder=mobilenet_v2", "--device", "cpu", "--devices", "2"]
    words += [x for name in ("image_size=32", "epochs=12", "batch_size=4") for x in ("--recipe-set", name)]
    with (runs.parent / err).open("w") as stream, (runs.parent / f"{err}.out").open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "medbench", *words], stdout=out, stderr=stream,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.exhaustive  # three trainings of two processes each, which import torch for most of their time
def test_the_same_command_goes_on_after_sigterm_to_the_same_bytes_and_one_process_speaks(tmp_path, small_cvc):
    for name in ("whole", "part"):
        (tmp_path / name).mkdir()
    assert on_two(small_cvc, tmp_path / "whole" / "runs", "err").wait(300) == 0
    part = tmp_path / "part"
    process = on_two(small_cvc, part / "runs", "first")
    until = time.monotonic() + 120
    while not list(part.glob("**/resume.ckpt")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert on_two(small_cvc, part / "runs", "again").wait(300) == 0
    (whole,), (again,) = ((tmp_path / name).glob("**/weights.pt") for name in ("whole", "part"))
    assert whole.read_bytes() == again.read_bytes()
    first, second = ((part / name).read_text() for name in ("first", "again"))
    assert first.count("learns from") == second.count("learns from") == 1
    assert first.count("over 2 devices") == second.count("over 2 devices") == 1
    assert first.count("Interrupted. Repeat the command to go on.") == 1
    assert "Traceback" not in first
    assert second.count("Training goes on from") == 1
    assert (part / "again.out").read_text().count("next: medbench") == 1


def _lives(group):
    """Whether a process of a group is there that has not ended."""
    told = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True)
    lines = map(str.split, told.stdout.splitlines())
    return any(own == str(group) and "Z" not in state for own, state in lines)
