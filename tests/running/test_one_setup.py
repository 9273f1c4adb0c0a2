"""A run reads its weights once, hashes them once and builds its network once."""

import io

import pytest

import medbench
from medbench.core.files import sha256_file, write_json
from medbench.inference import weights as checkpoints
from medbench.running import networks
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.training import fit as training

MODEL, SMALL = "dssau_net.test", Inference(image_size=128)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A small drawn copy that counts as the synthetic sample."""
    from medbench.challenges.hc18.files import subject_split
    from medbench.challenges.hc18.sample import write_sample

    root = tmp_path_factory.mktemp("hc18")
    subjects = [f"{number:03}" for number in range(60)]
    names = [
        f"{subject}_HC"
        for split, count in (("test", 2), ("train", 4))
        for subject in [subject for subject in subjects if subject_split(subject) == split][:count]
    ]
    write_sample(root, {"training_set": sorted(names), "test_set": ["000_HC"]}, size=(108, 160))
    write_json(root / "medbench-sample.json", {"challenge": "hc18"})
    return root


class Counts:
    """How often things happen: opening a file for reading, hashing its bytes, unpickling, building."""

    def __init__(self, monkeypatch):
        import torch

        self.opened, self.hashed, self.unpickled, self.built = [], [], [], []
        self._count(monkeypatch, "builtins.open", self.opened)
        self._count(monkeypatch, "io.open", self.opened)
        self._count(monkeypatch, "hashlib.sha256", self.hashed)
        self._count(monkeypatch, "hashlib.file_digest", self.hashed)
        monkeypatch.setattr(torch, "load", self._counting(torch.load, self.unpickled))
        monkeypatch.setattr(networks, "create_model", self._counting(networks.create_model, self.built))

    @staticmethod
    def _counting(function, calls):
        def count(*arguments, **options):
            calls.append(arguments)
            return function(*arguments, **options)

        return count

    def _count(self, monkeypatch, name, calls):
        import importlib

        module, _, attribute = name.rpartition(".")
        owner = importlib.import_module(module)
        monkeypatch.setattr(owner, attribute, self._counting(getattr(owner, attribute), calls))

    def readings(self, path):
        return sum(
            str(arguments[0]) == str(path) and (arguments[1:2] or ("r",))[0] in ("r", "rb")
            for arguments in self.opened
        )

    def hashes(self, path):
        content = path.read_bytes()
        return sum(
            bool(arguments)
            and (arguments[0] == content or str(getattr(arguments[0], "name", "")) == str(path))
            for arguments in self.hashed
        )

    def loads_of_bytes(self):
        return sum(isinstance(arguments[0], io.BytesIO) for arguments in self.unpickled)


@pytest.fixture
def weights(tmp_path):
    network = medbench.create_model(MODEL, num_classes=2)
    path = tmp_path / "weights.pt"
    checkpoints.save_checkpoint(path, network.state_dict(), {"model": MODEL, "options": {}})
    return path


def test_a_run_with_a_weights_file(sample, weights, monkeypatch):
    with monkeypatch.context() as patched:
        counts = Counts(patched)
        finished = run(MODEL, "hc18", data=sample, weights=weights, inference=SMALL)
    assert finished.exit_code == 0
    assert counts.readings(weights) == 1
    assert counts.hashes(weights) == 1
    assert len(counts.unpickled) == counts.loads_of_bytes() == 1
    assert len(counts.built) == 1
    record = finished.record.model
    assert record.weights_sha256 == sha256_file(weights)
    network = medbench.create_model(MODEL, num_classes=2)
    assert record.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert record.untrained_parts == []


def test_a_resumed_run_builds_the_network_once_too(sample, weights, monkeypatch):
    first = run(MODEL, "hc18", data=sample, weights=weights, inference=SMALL)
    next(path for path in (first.folder / "predictions").rglob("*") if path.is_file()).unlink()
    with monkeypatch.context() as patched:
        counts = Counts(patched)
        again = run(MODEL, "hc18", data=sample, weights=weights, inference=SMALL)
    assert again.resumed < len(first.rows)
    assert (counts.readings(weights), counts.loads_of_bytes(), len(counts.built)) == (1, 1, 1)
    assert again.record.model == first.record.model


def test_a_repeat_with_nothing_to_do_builds_no_network(sample, weights, monkeypatch):
    first = run(MODEL, "hc18", data=sample, weights=weights, inference=SMALL)
    with monkeypatch.context() as patched:
        counts = Counts(patched)
        again = run(MODEL, "hc18", data=sample, weights=weights, inference=SMALL)
    assert again.resumed == len(first.rows)
    assert (counts.readings(weights), counts.loads_of_bytes(), len(counts.built)) == (1, 1, 0)
    assert again.record == first.record


def test_a_quick_fit_builds_its_own_network_and_the_run_one_more(sample, monkeypatch):
    load_recipe_as = networks.load_recipe_as
    small = {"epochs": 1, "image_size": 64}
    with monkeypatch.context() as patched:
        patched.setattr(
            networks,
            "load_recipe_as",
            lambda kind, family, name, changes: load_recipe_as(kind, family, name, {**changes, **small}),
        )
        counts = Counts(patched)
        fitted = []
        patched.setattr(training, "fit", _remembering(training.fit, counts, fitted))
        finished = run(MODEL, "hc18", data=sample)
    (before, after, weights) = fitted
    assert (before, after) == (0, 1)
    assert len(counts.built) == 2
    assert counts.readings(weights) == 1
    assert counts.hashes(weights) == 1
    assert counts.loads_of_bytes() == 1
    assert finished.record.model.weights == "trained"
    assert finished.record.settings["image_size"] == 64
    assert finished.record.command.endswith("--recipe quick")


def _remembering(fit, counts, fitted):
    def remember(*arguments, **options):
        before = len(counts.built)
        path = fit(*arguments, **options)
        fitted.extend([before, len(counts.built), path])
        return path

    return remember


def test_fresh_weights_are_those_of_the_seed(sample):
    runs = [run(MODEL, "hc18", data=sample, weights="none", inference=SMALL, seed=seed) for seed in (0, 0, 1)]
    assert runs[0].folder == runs[1].folder != runs[2].folder
    assert "--seed 1" in runs[2].record.command
    assert "--seed" not in runs[0].record.command
