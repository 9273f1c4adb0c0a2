"""Cases of one size share batches: the same answers, no case lost by another, the same on resuming."""

import functools
import threading

import numpy as np
import pytest
import torch
from torch import nn

from medbench.challenges import load_challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure
from medbench.core.progress import SilentProgress
from medbench.core.sample import Prediction, Sample
from medbench.inference import decoding
from medbench.inference.predictor import InputContract, NetworkPredictor
from medbench.records.phases import Timing
from medbench.running.loop import predict_and_score
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.together import answers_together, in_chunks

SIZES = (24, 24, 32, 24, 32, 24, 24)


class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1))
        self.batches = []

    def forward(self, images):
        self.batches.append(len(images))
        if bool((images > 2).any()):
            raise RuntimeError("an image that no network takes")
        return self.layers(images)


def samples(sizes=SIZES, bad=()):
    for number, size in enumerate(sizes):
        images = np.random.default_rng(number).random((1, size, size, 3)).astype(np.float32)
        if number in bad:
            images[0, 0, 0] = 9.0
        case = Case(f"c{number}", {})
        yield case, Sample(case, images, demands=frozenset({"label_map"}))


def predictor(together=True, size=4):
    torch.manual_seed(0)
    return NetworkPredictor(Segmenter(), InputContract(None), batch_size=size, together=together)


def alone(model, sample):
    if isinstance(sample, Failure):
        return sample
    from medbench.core.guard import guarded

    return guarded(sample.case.id, lambda: model.predict(sample))


def answers(model, read):
    timing = Timing()
    pairs = answers_together(model, iter(read), functools.partial(alone, model), timing)
    return {case.id: answer for case, answer in pairs}, timing


def test_logits_of_a_shared_batch_equal_those_of_one_case(monkeypatch):
    logits = []
    monkeypatch.setattr(
        "medbench.inference.predictor.decode",
        lambda task, output, geometry: logits.append(output) or decoding.decode(task, output, geometry),
    )
    model = predictor()
    together, timing = answers(model, samples())
    assert model.network.batches == [3, 1, 2, 1] or sorted(model.network.batches) == [1, 1, 2, 3]
    shared = {tuple(part.shape[2:]): [] for part in logits}
    for part in logits:
        shared[tuple(part.shape[2:])] += list(part)
    logits.clear()
    apart = predictor(together=False)
    for case, sample in samples():
        prediction = apart.predict(sample)
        np.testing.assert_array_equal(together[case.id]["label_map"], prediction["label_map"])
    for part in logits:
        assert part.shape[0] == 1
        nearest = min(float((part[0] - other).abs().max()) for other in shared[tuple(part.shape[2:])])
        assert nearest <= 1e-6
    assert len(timing.samples["forward"]) == len(SIZES)


def test_a_bad_case_costs_its_neighbours_nothing():
    together, _ = answers(predictor(), samples(bad={1}))
    assert isinstance(together["c1"], Failure)
    assert "no network takes" in together["c1"].reason
    apart = predictor(together=False)
    for case, sample in samples():
        if case.id != "c1":
            np.testing.assert_array_equal(together[case.id]["label_map"], apart.predict(sample)["label_map"])


def test_a_case_that_cannot_be_read_is_a_failure_beside_the_others():
    read = [(case, Failure("x", "unreadable") if case.id == "c2" else sample) for case, sample in samples()]
    together, _ = answers(predictor(), read)
    assert together["c2"].reason == "unreadable"
    assert sum(isinstance(answer, Failure) for answer in together.values()) == 1


def test_cases_have_the_same_neighbours_when_a_run_goes_on():
    cases = [Case(f"c{number}", {}) for number in range(10)]
    to_do = [cases[5], cases[9]]
    assert [case.id for case in in_chunks(cases, to_do, 4)] == ["c4", "c5", "c6", "c7", "c8", "c9"]
    assert in_chunks(cases, [], 4) == []


def test_a_run_by_shared_batches_is_the_run_case_by_case(small_cvc, tmp_path, monkeypatch):
    from medbench.inference import build

    def runs(name):
        settings = {"weights": "none", "inference": Inference("cpu", image_size=64, batch_size=3)}
        return run(
            "dssau_net.test", "cvc_clinicdb", data=small_cvc, runs=tmp_path / name,
            leaderboards=tmp_path / "boards", **settings,
        )  # fmt: skip

    apart = runs("apart")
    plain = build.NetworkPredictor
    monkeypatch.setattr(build, "NetworkPredictor", lambda *a, **k: plain(*a, **{**k, "together": True}))
    shared = runs("shared")
    assert [row.case for row in shared.rows] == [row.case for row in apart.rows]
    for one, two in zip(shared.rows, apart.rows, strict=True):
        assert one.status == two.status == "ok"
        for name, score in one.scores.items():
            assert score.value == pytest.approx(two.scores[name].value, abs=2e-3)
    journal = (shared.folder / "cases.jsonl").read_text()
    (shared.folder / "predictions" / next(iter(shared.rows[4].predictions))).unlink()
    again = runs("shared")
    assert (again.folder / "cases.jsonl").read_text() == journal


def test_an_absent_device_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "medbench.running.job.resolve_data", lambda *arguments: pytest.fail("data were drawn")
    )
    with pytest.raises(MedbenchError) as error:
        run("dssau_net.test", "cvc_clinicdb", weights="none", inference=Inference("cuda:99"), runs=tmp_path)
    assert error.value.code == "device.missing"
    assert "--device auto" in error.value.hint
    monkeypatch.setattr("medbench.models.devices.computes_bf16", lambda: False)
    slow = Inference("cpu", "bf16")
    with pytest.raises(MedbenchError) as error:
        run("dssau_net.test", "cvc_clinicdb", weights="none", inference=slow, runs=tmp_path)
    assert error.value.code == "precision.emulated"
    with pytest.raises(MedbenchError) as error:
        run("dssau_net.test", "cvc_clinicdb", weights="none", inference=Inference("cpu", "tf32"))
    assert error.value.code == "precision.device"


def test_auto_is_the_device_that_there_is_and_the_command_names_it():
    from medbench.running.request import Request

    plan = Request.of("dssau_net.test", "cvc_clinicdb", weights="none").plan()
    assert plan.request.inference.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert f"--device {plan.request.inference.device}" in plan.request.command()


def test_argmax_by_comparison_is_argmax():
    logits = torch.randint(0, 4, (2, 5, 7, 9)).float()
    np.testing.assert_array_equal(decoding._largest(logits).numpy(), logits.numpy().argmax(axis=1))


class Detector(torch.nn.Module):
    """The same box in every input, in pixels of the input."""

    def forward(self, images):
        box = {"boxes": torch.tensor([[8.0, 4.0, 40.0, 20.0]]), "scores": torch.ones(1)}
        return [{**box, "labels": torch.ones(1, dtype=torch.int64)} for _ in images]


def test_boxes_of_a_shared_batch_lie_where_those_of_one_case_do():
    """The images keep their shape in a padded square: their boxes are put back by its content alone."""
    contract = InputContract(64, padded=True)
    model = NetworkPredictor(Detector(), contract, tasks=("boxes",), together=True)
    images = np.zeros((1, 30, 90, 3), np.uint8)
    cases = [Sample(Case(f"c{number}", {}), images, frozenset({"boxes"})) for number in range(2)]
    shared = model.start(cases)()
    for sample, answer in zip(cases, shared, strict=True):
        (box,), (alone,) = answer["boxes"], model.predict(sample)["boxes"]
        np.testing.assert_array_equal(box.corners, alone.corners)
        np.testing.assert_allclose(box.corners, [[11.25, 5.7142857, 56.25, 28.571428]], rtol=1e-5)


def test_a_batch_is_marked_in_the_stream_of_its_own_device(monkeypatch):
    """The answers of a network on cuda:1 are taken when that device is done, not the current one."""
    model = NetworkPredictor(Detector(), InputContract(64))
    model.device = torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: f"stream of {device}")
    recorded = []

    class Mark:
        def record(self, stream=None):
            recorded.append(stream)

    with model._marked((Mark(), Mark())):
        recorded.append("network")
    assert recorded == ["stream of cuda:1", "network", "stream of cuda:1"]


class Strips:
    """A slide's answer: background everywhere."""

    def __init__(self, shape):
        self.shape = shape

    def strips(self):
        yield np.zeros(self.shape, np.uint8)


@pytest.mark.slow  # draws two samples
@pytest.mark.parametrize("name", ["synapse", "kpis_slide"])
def test_a_volume_and_a_slide_are_scored_while_the_next_is_predicted(
    name, small_synapse, small_kpis, tmp_path, monkeypatch
):
    """The first case's scoring waits for the second's prediction, which comes all the same."""
    challenge = load_challenge(name)
    root = small_synapse if name == "synapse" else small_kpis
    cases = challenge.cases(root, challenge.release.default_split)[:2]
    second, overlapped = threading.Event(), []

    class Model:
        def __init__(self):
            self.time_s = {}

        def predict(self, sample):
            if sample.case.id == cases[1].id:
                second.set()
            shape = sample.images.shape[:3] if name == "synapse" else sample.slide.shape
            return Prediction(
                {"label_map": np.zeros(shape, np.uint8) if name == "synapse" else Strips(shape)}
            )

    def score_file(self, case, path):
        if case.id == cases[0].id:
            overlapped.append(second.wait(30))
        return score(self, case, path)

    scorer = type(challenge.scorer)
    score = scorer.score_file
    monkeypatch.setattr(scorer, "score_file", score_file)
    rows, _ = predict_and_score(challenge, cases, Model, tmp_path, SilentProgress())
    assert overlapped == [True]
    assert [row.status for row in rows] == ["ok", "ok"], rows
