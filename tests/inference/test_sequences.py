"""Networks on sequences, and which predictor serves which form."""

import numpy as np
import pytest
import torch
from torch import nn

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.sample import SequenceSample
from medbench.core.slides import SlideSettings
from medbench.inference.build import PredictorSettings, build_predictor
from medbench.inference.predictor import InputContract, NetworkPredictor
from medbench.inference.sequences import SequencePredictor
from medbench.inference.slides import SlidePredictor
from medbench.inference.volumes import VolumeContract, VolumePredictor

FRAMES, FEATURES = 7, 5


class Mean(nn.Module):
    """The mean of each frame's features, in the form that a test asks for."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.shapes = []

    def forward(self, features):
        self.shapes.append((tuple(features.shape), features.dtype))
        return self.answer(features.mean(dim=2))


@pytest.fixture
def sample():
    features = np.random.default_rng(0).normal(size=(FRAMES, FEATURES))
    return SequenceSample(Case("video", {}), features)


def test_one_score_a_frame(sample):
    network = Mean(lambda scores: scores)
    predictor = SequencePredictor(network)
    prediction = predictor.predict(sample)
    assert network.shapes == [((1, FRAMES, FEATURES), torch.float32)]
    assert set(prediction.answers) == {"frame_scores"}
    scores = prediction["frame_scores"]
    assert (scores.shape, scores.dtype) == ((FRAMES,), np.float32)
    assert scores == pytest.approx(sample.features.mean(axis=1), abs=1e-6)
    assert set(predictor.time_s) == {"preprocess", "forward", "postprocess"}


def test_exactly_the_demanded_tasks_are_answered(sample):
    network = Mean(lambda scores: {"frame_scores": scores, "events": scores[..., None].expand(-1, -1, 3)})
    predictor = SequencePredictor(network, tasks=("frame_scores", "events"))
    assert set(predictor.predict(sample).answers) == {"frame_scores"}
    both = SequenceSample(sample.case, sample.features, frozenset({"frame_scores", "events"}))
    assert predictor.predict(both)["events"].shape == (FRAMES, 3)
    in_order = SequencePredictor(Mean(lambda scores: (scores, 2 * scores)), tasks=("frame_scores", "events"))
    answers = in_order.predict(both).answers
    assert np.array_equal(answers["events"], 2 * answers["frame_scores"])


@pytest.mark.parametrize(
    "answer", [lambda scores: scores[:, :-1], lambda scores: scores[0], lambda scores: scores.repeat(2, 1)]
)
def test_an_output_without_one_entry_a_frame_is_refused(sample, answer):
    with pytest.raises(
        MedbenchError, match=rf"frame_scores has the shape .* expected \(1, {FRAMES}\)"
    ) as caught:
        SequencePredictor(Mean(answer)).predict(sample)
    assert caught.value.code == "network.outputs"


def test_every_form_has_its_predictor(tmp_path):
    network, contract = nn.Conv2d(3, 2, 1), InputContract(size=8)
    image = PredictorSettings(form="image", tasks=("label_map",), contract=contract, batch_size=3)
    plain = build_predictor(network, image)
    assert isinstance(plain, NetworkPredictor)
    assert (plain.batch_size, plain.tasks, plain.contract) == (3, ("label_map",), contract)
    slide = PredictorSettings(
        form="slide", tasks=("label_map",), contract=contract, slides=SlideSettings(8), work=tmp_path
    )
    assert isinstance(build_predictor(network, slide), SlidePredictor)
    volume = PredictorSettings(
        form="volume", tasks=("label_map",), contract=VolumeContract(8), overlap=0.25, mirror=True
    )
    windows = build_predictor(network, volume)
    assert isinstance(windows, VolumePredictor)
    assert (windows.overlap, len(windows.flips)) == (0.25, 8)
    sequence = PredictorSettings(form="sequence", tasks=("frame_scores",))
    assert isinstance(build_predictor(network, sequence), SequencePredictor)


class Own:
    """A model's own predictor."""

    def __init__(self, network, settings):
        self.network, self.settings, self.time_s = network, settings, {}


def test_a_model_may_bring_a_predictor_of_its_own(monkeypatch):
    import sys
    import types

    module = types.ModuleType("own_predictors")
    module.Own = Own
    monkeypatch.setitem(sys.modules, "own_predictors", module)
    network, settings = nn.Identity(), PredictorSettings(form="sequence", tasks=("frame_scores",))
    predictor = build_predictor(network, settings, "own_predictors:Own")
    assert (predictor.network, predictor.settings) == (network, settings)
