"""A command that is killed at random moments and repeated leaves the bytes of one that was not, and no more.

With ``--full`` at least forty-two kills: seven of each command. In every second folder the command is
killed twice before it may end, while two other processes keep two cores busy. In half of the folders all
processes are killed, as by a machine that goes down, in the others the command alone.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

import warm_process
from medbench.inference.weights import save_checkpoint
from medbench.running.finishing import _OF_THE_CALL
from medbench.submissions.template import submission_text

MODEL = "dssau_net.test"
BOARDS = Path(__file__).parents[2] / "leaderboards"
KILLS = 7

STUDY = """
title = "Two networks"
models = ["dssau_net.test", "mslau_net.test"]
recipes = ["quick"]
[budget]
steps = 2
[[data]]
challenge = "cvc_clinicdb"
folder = "{}"
"""


def run_of_a_model(place, data):
    arguments = ["run", "-m", MODEL, "-c", "iugc2024", "--data", data("small_iugc"), "--weights", "none"]
    return [*arguments, "--image-size", "128"], ("cases.jsonl", "record.json", "predictions/**/*")


def training(place, data):
    arguments = ["train", "-m", MODEL, "-c", "iugc2024", "--data", data("small_iugc"), "--recipe", "default"]
    for name, value in {"epochs": 4, "batch_size": 4, "image_size": 128, "validation": "none"}.items():
        arguments += ["--recipe-set", f"{name}={value}"]
    return arguments, ("weights.pt",)


def slides(place, data):
    arguments = ["run", "-m", MODEL, "-c", "kpis_slide", "--data", data("small_kpis"), "--weights", "none"]
    arguments += ["--image-size", "256", "--tiling", "patch_px=256", "--tiling", "margin_px=32"]
    return [*arguments, "--tiling", "blend_px=32"], ("cases.jsonl", "record.json", "*_mask.tiff")


def study(place, data):
    (place / "study.toml").write_text(STUDY.format(data("small_cvc")))
    results = ("board.*", "cases.jsonl", "record.json", "weights.pt", "predictions/**/*.png")
    return ["study", place / "study.toml", "-o", "results/study", "--device", "cpu"], results


def board(place, data):
    for name in ("hc18", "isic2018"):
        shutil.copytree(BOARDS / name, place / "theirs" / name, dirs_exist_ok=True)
    return ["leaderboard", "merge", place / "theirs", "--leaderboards", "results/boards"], ("*.*",)


def build(place, data):
    import torch

    import medbench

    torch.manual_seed(3)
    network = medbench.create_model(MODEL, in_channels=3, num_classes=3, num_image_classes=2)
    save_checkpoint(place / "weights.pt", network.state_dict(), {"model": MODEL, "options": {}})
    text = submission_text("iugc2024", MODEL, "grand-challenge", "tiny", weights=str(place / "weights.pt"))
    (place / "tiny.toml").write_text(text)
    arguments = ["submit", "build", place / "tiny.toml", "--data", data("small_iugc"), "--engine", "none"]
    return [*arguments, "-o", "results/build"], ("*",)


COMMANDS = [run_of_a_model, training, slides, study, board, build]
COVERED = [run_of_a_model, training, slides, study, build]
"""Commands that tests of their own rooms kill, and what starts from nothing."""


def results(folder, patterns):
    """Path -> hash of the results below a folder; a record counts without what is of the call alone."""
    paths = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    return {
        path.relative_to(folder).as_posix(): digest(path) for path in sorted(paths) if path.name != ".lock"
    }


def digest(path):
    content = path.read_bytes()
    if path.name == "record.json":
        content = json.dumps(
            {name: value for name, value in json.loads(content).items() if name not in _OF_THE_CALL}
        ).encode()
    return hashlib.sha256(content).hexdigest()


def state(folder):
    """What of a folder changes when something is written."""
    with contextlib.suppress(FileNotFoundError):
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    return None


class Place:
    """A folder in which a command is called, repeated and killed."""

    def __init__(self, folder, arguments):
        self.folder, self.arguments = folder, arguments
        (folder / "results").mkdir(parents=True)
        self.settings = {"MEDBENCH_RUNS": str(folder / "results/runs"), "OMP_NUM_THREADS": "1"}
        self.settings |= {"MEDBENCH_LEADERBOARDS": str(folder / "results/rows"), "MKL_CBWR": "AUTO"}

    def started(self):
        """The command in a group of processes of its own, and the moment of the first thing that it wrote."""
        before = state(self.folder / "results")
        process = warm_process.start(self.arguments, self.folder, self.folder, **self.settings)
        while process.is_alive() and state(self.folder / "results") == before:
            time.sleep(0.002)
        return process, time.monotonic()

    def call(self):
        """Call the command to its end; seconds since the first thing that it wrote."""
        process, begin = self.started()
        process.join()
        assert process.exitcode == 0, (self.folder / "err").read_text()[-3000:]
        return time.monotonic() - begin

    def killed(self, after_s, group):
        """Kill the command after so many seconds of writing; whether it was still at work."""
        process, begin = self.started()
        process.join(max(0.0, begin + after_s - time.monotonic()))
        at_work = process.is_alive()
        if at_work and group:
            os.killpg(process.pid, signal.SIGKILL)
        elif at_work:
            process.kill()
        process.join()
        wait_until_gone(process.pid)
        return at_work


def wait_until_gone(group):
    """Wait until no process of a group is left: workers end with the command that started them.

    Raises:
        AssertionError: where one is left after a minute; it is killed.
    """
    with contextlib.suppress(ProcessLookupError):
        for _ in range(600):
            os.killpg(group, 0)
            time.sleep(0.1)
        os.killpg(group, signal.SIGKILL)
        raise AssertionError("a worker outlived its command")


def spin():
    """Keep a core busy as long as the process that asked for it lives."""
    parent = multiprocessing.parent_process()
    while parent.is_alive():
        for _ in range(1_000_000):
            pass


@contextlib.contextmanager
def busy(number):
    """So many processes that keep a core busy each."""
    processes = [
        multiprocessing.get_context("spawn").Process(target=spin, daemon=True) for _ in range(number)
    ]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [pytest.param(one, marks=[pytest.mark.exhaustive] if one in COVERED else []) for one in COMMANDS],
    ids=lambda command: command.__name__,
)
def test_killed_at_random_moments_and_repeated_it_leaves_the_same_bytes(
    command, tmp_path, request, full, say
):
    arguments, patterns = command(tmp_path, request.getfixturevalue)
    whole = Place(tmp_path / "whole", arguments)
    seconds = whole.call()
    expected = results(whole.folder / "results", patterns)
    assert expected
    draw, moments, kills = random.Random(command.__name__), [], KILLS if full else 1
    for number in range(4 * kills):
        if len(moments) >= kills:
            break
        place = Place(tmp_path / f"killed{number}", arguments)
        with busy(2 * (number % 2)):
            for _ in range(1 + number % 2):
                share = draw.random()
                if not place.killed(share * seconds, group=number % 4 > 1):
                    break
                moments.append(share)
            place.call()
        assert results(place.folder / "results", patterns) == expected, (
            f"killed at {moments} of {seconds:.1f} s"
        )
        assert not [*(place.folder / "results").rglob(".partial-*")]
    assert len(moments) >= kills
    if full:
        say(f"{command.__name__}: {len(moments)} kills in {seconds:.1f} s of work")
