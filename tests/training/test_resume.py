"""A training that is killed and repeated ends with the bytes of one that never stopped."""

import json
import os
import random
import signal
import time
import zipfile
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch

import medbench
import warm_process
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file
from medbench.core.progress import SilentProgress
from medbench.core.sample import Boxes, TrainingBoxes, TrainingImage, TrainingVolume
from medbench.inference.predictor import InputContract
from medbench.inference.volumes import VolumeContract
from medbench.training import fit as fitting
from medbench.training.fit import Learner, fit
from medbench.training.hardware import Hardware
from medbench.training.recipes import load_recipe, load_recipe_as
from medbench.training.result_files import RESUME
from medbench.training.sequence_fit import fit_sequences
from medbench.training.sequence_recipe import SequenceRecipe
from small_trainings import (
    SIDE,
    LoadImage,
    SmallClassifier,
    SmallUNet,
    SmallVolumeNet,
    dmaf,
    load_volume,
    sequence,
)


@dataclass(frozen=True)
class Points:
    number: int

    def __call__(self):
        return np.random.default_rng(self.number).random((2, 2))


@dataclass(frozen=True)
class Pixels:
    number: int

    def __call__(self, size):
        return np.random.default_rng(self.number).integers(0, 255, (size, size, 3)).astype(np.uint8)


@dataclass(frozen=True)
class Box:
    number: int

    def __call__(self):
        left, top = np.random.default_rng(self.number).uniform(0.1, 0.5, 2)
        return Boxes.of_reference([[left, top, left + 0.4, top + 0.3]], [0])


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


class KillingProgress(SilentProgress):
    """Ends the training after so many steps, counted from its beginning."""

    def __init__(self, at):
        self.at, self.steps = at, 0

    def advance(self, steps=1, note=""):
        self.steps += steps
        if note and self.steps >= self.at:
            raise Killed


def images():
    return [TrainingImage(f"i{k}", f"g{k // 2}", LoadImage(k), k % 3 > 0, k % 2) for k in range(18)]


def volumes():
    return [
        TrainingVolume(f"c{n}", f"p{n}", lambda n=n: load_volume(n), (), (n != 0, n != 1)) for n in range(3)
    ]


def segmentation(folder, hardware, progress):
    settings = {"image_size": 16, "batch_size": 4, "epochs": 4, "least_steps": 0, "gradient_clip": 1.0}
    recipe = load_recipe("dssau_net", "default", **settings)
    learner = Learner(SmallUNet, InputContract(16), 2, ("label_map", "image_classes"), ("label_map",))
    return fit(learner, images(), recipe, folder, {}, hardware=hardware, progress=progress)


def classes(folder, hardware, progress):
    settings = {"image_size": 16, "batch_size": 4, "epochs": 4, "least_steps": 0, "warmup_epochs": 2}
    recipe = load_recipe("image_classes", "deit", **settings)
    learner = Learner(SmallClassifier, InputContract(16), 2, ("image_classes",), ("image_classes",))
    return fit(learner, images(), recipe, folder, {}, hardware=hardware, progress=progress)


def labels(folder, hardware, progress):
    settings = {
        "image_size": 16,
        "batch_size": 4,
        "epochs": 4,
        "least_steps": 0,
        "augmentation": "affine_gain",
    }
    recipe = load_recipe("image_labels", "default", **settings)
    learner = Learner(SmallClassifier, InputContract(16), 2, ("image_labels",), ("image_labels",))
    several = [replace(image, image_labels=(k % 2, k // 2 % 2)) for k, image in enumerate(images())]
    return fit(learner, several, recipe, folder, {}, hardware=hardware, progress=progress)


def landmarks(folder, hardware, progress):
    settings = {"image_size": 32, "batch_size": 4, "epochs": 3, "augmentation": "affine_gain"}
    recipe = load_recipe("landmarks", "default", **settings)
    build = partial(medbench.create_model, "heatmap_unet.test", num_classes=2)
    learner = Learner(build, InputContract(32), 2, ("landmarks",), ("landmarks",))
    placed = [replace(image, landmarks=Points(k)) for k, image in enumerate(images())]
    return fit(learner, placed, recipe, folder, {}, hardware=hardware, progress=progress)


def boxes(folder, hardware, progress):
    settings = {"image_size": 128, "batch_size": 2, "epochs": 3, "least_steps": 0}
    recipe = load_recipe("boxes", "default", **settings)
    build = partial(medbench.create_model, "medformer.retinanet.test", num_classes=1)
    learner = Learner(build, InputContract(128, padded=True), 1, ("boxes",), ("boxes",))
    examples = [TrainingBoxes(f"i{k}", f"g{k // 2}", Pixels(k), Box(k), (0,)) for k in range(6)]
    return fit(learner, examples, recipe, folder, {}, hardware=hardware, progress=progress)


def patches(folder, hardware, progress):
    settings = {"image_size": 16, "batch_size": 2, "epochs": 3, "patches": 3, "least_steps": 0}
    recipe = load_recipe("monai", "default", **settings)
    learner = Learner(SmallVolumeNet, VolumeContract(16, "scaled", "uniform", False), 2)
    return fit(learner, volumes(), recipe, folder, {}, hardware=hardware, progress=progress)


def distillation(folder, hardware, progress):
    settings = {"batch_size": 1, "epochs": 3, "patches": 1, "least_steps": 0, "image_size": SIDE}
    recipe = load_recipe("dmaf_net", "quick", **settings)
    learner = Learner(dmaf, VolumeContract(SIDE, "scaled", "uniform", True), 2)
    cache = folder.parent / "prepared"
    return fit(learner, volumes(), recipe, folder, {}, hardware=hardware, progress=progress, cache=cache)


def summaries(folder, hardware, progress):
    recipe = load_recipe_as(SequenceRecipe, "video_summaries", "default", {"epochs": 4, "least_steps": 0})
    sizes = {"dim": 16, "heads": 4, "encoder_layers": 1, "decoder_layers": 1, "window": 4, "ffn_dim": 32}

    def build():
        return medbench.create_model("fulltransnet", num_classes=1, **sizes)

    examples = [sequence(number) for number in range(3)]
    folder.mkdir(exist_ok=True)
    return fit_sequences(build, examples, recipe, folder, {}, hardware=hardware, progress=progress)


FAMILIES = [
    segmentation,
    classes,
    labels,
    landmarks,
    boxes,
    patches,
    pytest.param(distillation, marks=pytest.mark.exhaustive),  # and in test_distillation_task.py
    summaries,
]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("train", FAMILIES)
def test_killed_at_a_random_step_and_repeated_ends_with_the_same_bytes(train, tmp_path):
    counting = KillingProgress(10**9)
    whole = train(tmp_path / "whole", Hardware("cpu", 1, workers=0), counting)
    expected = sha256_file(whole)
    for workers in (0, 2):
        folder = tmp_path / f"part{workers}"
        step = random.Random(f"{train.__name__} {workers}").randint(2, counting.steps - 1)
        hardware = Hardware("cpu", 1, workers=workers)
        with pytest.raises(Killed):
            train(folder, hardware, KillingProgress(step))
        weights = train(folder, hardware, SilentProgress())
        assert sha256_file(weights) == expected, f"killed at step {step} with {workers} reading processes"


@pytest.mark.usefixtures("one_thread")
def test_killed_late_with_reading_processes_goes_on_with_the_epoch_that_it_was_in(tmp_path):
    """Field case: the third epoch drew the order and the augmentation of the first again."""
    expected = sha256_file(segmentation(tmp_path / "whole", Hardware("cpu", 1, workers=0), SilentProgress()))
    hardware = Hardware("cpu", 1, workers=2)
    with pytest.raises(Killed):
        segmentation(tmp_path / "part", hardware, KillingProgress(11))
    assert (tmp_path / "part" / RESUME).exists()
    assert sha256_file(segmentation(tmp_path / "part", hardware, SilentProgress())) == expected


def test_the_state_before_stays_until_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    (tmp_path / RESUME).write_bytes(b"before")
    events = []

    class Trainer:
        is_global_zero = True

        @staticmethod
        def save_checkpoint(path):
            path.write_bytes(b"after")
            events.append(("written", (tmp_path / RESUME).read_bytes()))

    flush = os.fsync

    def noted(number):
        events.append(("flushed", (tmp_path / RESUME).read_bytes()))
        flush(number)

    monkeypatch.setattr(os, "fsync", noted)
    fitting.save_state(Trainer, tmp_path)
    assert events == [("written", b"before"), ("flushed", b"before")]
    assert (tmp_path / RESUME).read_bytes() == b"after"
    assert [path.name for path in tmp_path.iterdir()] == [RESUME]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("train", [segmentation, summaries])
@pytest.mark.parametrize("damage", ["bit", "end"])
def test_a_damaged_state_is_refused_where_torch_would_go_on_from_wrong_numbers(train, damage, tmp_path):
    hardware, part = Hardware("cpu", 1, workers=0), tmp_path / "part"
    with pytest.raises(Killed):
        train(part, hardware, KillingProgress(7))
    content = bytearray((part / RESUME).read_bytes())
    if damage == "bit":
        with zipfile.ZipFile(part / RESUME) as archive:
            largest = max(archive.infolist(), key=lambda one: one.file_size)
            content[content.index(archive.read(largest)) + largest.file_size // 2] ^= 64
    else:
        del content[-50:]
    (part / RESUME).write_bytes(content)
    with pytest.raises(MedbenchError, match=RESUME) as caught:
        train(part, hardware, SilentProgress())
    assert caught.value.code == "training.state"


def test_an_interruption_is_one_from_python_and_leaves_the_next_one_alone(tmp_path):
    class Interrupting(SilentProgress):
        def advance(self, steps=1, note=""):
            if note:
                raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        segmentation(tmp_path / "part", Hardware("cpu", 1, workers=0), Interrupting())
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_interrupts_in_the_middle_of_a_step_and_leaves_the_next_one_alone(tmp_path):
    """Field case: on several devices the trainer's own handler waited for the other processes."""

    class Ending(SilentProgress):
        goes_on = False

        def advance(self, steps=1, note=""):
            if note:
                os.kill(os.getpid(), signal.SIGTERM)
                self.goes_on = True

    before, ending = signal.getsignal(signal.SIGTERM), Ending()
    with pytest.raises(KeyboardInterrupt):
        segmentation(tmp_path / "part", Hardware("cpu", 1, workers=0), ending)
    assert not ending.goes_on
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_ctrl_c_ends_a_training_with_130_and_says_how_to_go_on(tmp_path, small_cvc):
    words = ["train", "-m", "smp/unet", "-c", "cvc_clinicdb", "--data", str(small_cvc)]
    words += ["--runs", str(tmp_path), "--set", "encoder=mobilenet_v2", "--workers", "2", "--device", "cpu"]
    words += [x for name in ("image_size=32", "epochs=500", "batch_size=4") for x in ("--recipe-set", name)]
    child = warm_process.start(words, tmp_path)
    until = time.monotonic() + 300
    while not list(tmp_path.glob(f"**/{RESUME}")) and child.is_alive() and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(child.pid, signal.SIGINT)
    child.join(120)
    out, error = ((tmp_path / name).read_text() for name in ("out", "err"))
    assert child.exitcode == 130, error
    assert error.strip().splitlines()[-1] == "Interrupted. Repeat the command to go on."
    assert "Traceback" not in out + error


@pytest.mark.usefixtures("one_thread")
def test_steps_that_are_left_out_are_counted_in_the_summary(tmp_path):
    weights = segmentation(tmp_path / "whole", Hardware("cpu", 1, workers=0), SilentProgress())
    summary = json.loads(weights.with_name("training.json").read_text())
    assert summary["steps_left_out"] == 0
    assert torch.load(weights, weights_only=True)
