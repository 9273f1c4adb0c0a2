"""The constant baseline: fitted by train, run, recorded, the same answer for every case of one size."""

import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.sample import Sample, SequenceSample
from medbench.core.slides import Slide
from medbench.inference.constant_predictor import ConstantPredictor
from medbench.inference.weights import load_checkpoint
from medbench.models import model_entry
from medbench.models.constant_answers import ConstantAnswers
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.train import train

NAME = "baseline/constant"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def places(tmp_path):
    return {"runs": tmp_path / "runs", "leaderboards": tmp_path / "boards"}


def fitted(challenge, root, places, **keywords):
    weights = train(NAME, challenge, data=root, runs=places["runs"], **keywords)
    return load_checkpoint(weights), run(NAME, challenge, data=root, **places)


def test_one_mask_for_every_frame(small_cvc, places):
    checkpoint, finished = fitted("cvc_clinicdb", small_cvc, places)
    assert finished.exit_code == 0
    challenge = load_challenge("cvc_clinicdb")
    cases = challenge.cases(small_cvc, "test")
    masks = [
        challenge.exchange.read_prediction(finished.folder / "predictions" / f"{c.id}.png") for c in cases
    ]
    assert masks[0].any()
    assert not masks[0].all()
    assert all(np.array_equal(masks[0], mask) for mask in masks)
    training = [challenge.release.read_reference(c) for c in challenge.cases(small_cvc, "train")]
    mean = np.mean(training, axis=0)
    assert mean[masks[0] > 0].min() > 0
    assert mean[masks[0] > 0].mean() > 2 * mean[masks[0] == 0].mean()
    assert finished.record.model.parameters == 128 * 128 + 1
    assert finished.record.model.training["recipe"]["name"] == "default"
    assert finished.record.model.weights == "trained"
    assert len(checkpoint.facts["training_dice"]) == 1
    assert checkpoint.facts["n_training_images"] == len(training)


def test_a_repeated_call_neither_fits_nor_predicts_again(small_cvc, places):
    first = train(NAME, "cvc_clinicdb", data=small_cvc, runs=places["runs"])
    stamp = first.stat().st_mtime_ns
    assert train(NAME, "cvc_clinicdb", data=small_cvc, runs=places["runs"]) == first
    assert first.stat().st_mtime_ns == stamp
    one, two = (run(NAME, "cvc_clinicdb", data=small_cvc, **places) for _ in range(2))
    assert one.folder == two.folder
    assert two.resumed == two.record.counts.total


def test_masks_and_classes_together(small_iugc, places):
    checkpoint, finished = fitted("iugc2024", small_iugc, places)
    assert finished.exit_code == 0
    assert set(checkpoint.state) == {"frequencies", "thresholds", "class_shares"}
    assert finished.record.metrics["auc"].value == pytest.approx(0.5)


@pytest.mark.slow
def test_a_slide_gets_the_mask_of_the_patches_repeated(small_kpis, places):
    checkpoint, finished = fitted("kpis_slide", small_kpis, places)
    assert finished.exit_code == 0
    assert checkpoint.facts["challenge"] == "kpis_patch"


def test_slides_keep_their_own_masks():
    import torch

    network = ConstantAnswers(image_size=4)
    state = {name: tensor.detach() for name, tensor in network.numbers.items()}
    state["frequencies"] = state["frequencies"] + torch.eye(4)
    predictor = ConstantPredictor(ConstantAnswers.of(state), patch_px=8)
    masks = []
    for number, shape in enumerate([(20, 30), (9, 8)]):
        sample = Sample(Case(str(number), {}), np.empty((0, 0, 0, 3)), slide=Slide(None, 1, shape))
        masks.append(predictor.predict(sample)["label_map"])
    first, second = (np.concatenate(list(mask.strips())) for mask in masks)
    assert first.shape == (20, 30)
    assert np.array_equal(first[:8, :8], first[8:16, 16:24])
    assert np.array_equal(first[:8, :8], second[:8])
    assert set(np.unique(first)) == {0, 255}


def test_frames_are_uniform_and_landmarks_lie_at_their_share():
    import torch

    numbers = {"frame_score": torch.tensor([0.5]), "points": torch.tensor([[0.25, 0.5], [0.0, 1.0]])}
    predictor = ConstantPredictor(ConstantAnswers.of(numbers))
    sequence = SequenceSample(Case("v", {}), np.zeros((7, 3), np.float32))
    assert predictor.predict(sequence)["frame_scores"].tolist() == [0.5] * 7
    images = Sample(Case("i", {}), np.zeros((2, 40, 100, 3), np.uint8), frozenset({"landmarks"}))
    points = predictor.predict(images)["landmarks"]
    assert points.tolist() == [[[24.5, 19.5], [-0.5, 39.5]]] * 2
    with pytest.raises(MedbenchError, match=r"no class_shares"):
        predictor.predict(Sample(Case("i", {}), np.zeros((1, 4, 4, 3)), frozenset({"image_classes"})))


def test_answers_of_another_challenge_are_refused(small_cvc, small_synapse, places):
    weights = train(NAME, "cvc_clinicdb", data=small_cvc, runs=places["runs"])
    with pytest.raises(MedbenchError, match=r"fitted to cvc_clinicdb"):
        run(NAME, "synapse", data=small_synapse, weights=str(weights), **places)


def test_volumes_of_slices(small_synapse, places):
    _, finished = fitted("synapse", small_synapse, places, recipe_changes={"examples": 6})
    assert finished.exit_code == 0
    assert finished.record.model.training["n_training_images"] == 6


@pytest.mark.parametrize(
    "changes",
    [{"weights": "none"}, {"options": {"depth": 3}}, {"inference": Inference(image_size=64)}],
    ids=str,
)
def test_what_does_not_apply_is_refused(small_cvc, places, changes):
    with pytest.raises(MedbenchError):
        run(NAME, "cvc_clinicdb", data=small_cvc, **changes, **places)


def test_it_offers_every_task_of_the_package_in_every_form():
    from medbench.challenges import all_challenges
    from medbench.core.task import TASKS
    from medbench.running.networks import match

    entry = model_entry(NAME)
    assert {"label_map", "image_classes", "boxes", "frame_scores", "landmarks"} <= set(entry.offers)
    for challenge in all_challenges():
        if set(challenge.card.demands) <= set(entry.offers):
            assert match(entry, challenge) in entry.forms
    assert set(entry.offers) <= set(TASKS.names("*"))
