"""Learning of boxes: augmentation that moves them, balance of classes, schedule, resuming."""

import numpy as np
import pytest
import torch

from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.inference.predictor import InputContract
from medbench.training.box_data import BoxData, BoxedImages, rarity_chances
from medbench.training.box_task import BoxTask
from medbench.training.epoch_keys import ShuffledSampler
from medbench.training.fit import Learner, fit
from medbench.training.hardware import Hardware
from medbench.training.recipes import BoxRecipe, list_recipes, load_recipe
from small_trainings import boxed

SIZE = 64
CONTRACT = InputContract(SIZE, padded=True)


def recipe(**changes):
    return load_recipe(
        "boxes", "quick", **{"image_size": SIZE, "batch_size": 4, "epochs": 2, "seed": 3, **changes}
    )


def images(count=12):
    return [boxed(number) for number in range(count)]


def test_recipes_of_boxes():
    assert list_recipes("boxes") == ["retinanet", "yolo", "default", "quick"]
    settings = load_recipe("boxes", "retinanet")
    assert isinstance(settings, BoxRecipe)
    assert (settings.batch_size, settings.rate()) == (16, pytest.approx(0.01))
    assert load_recipe("boxes", "retinanet", batch_size=2).rate() == pytest.approx(0.01 * 2 / 16)


@pytest.mark.parametrize("augmentation", ["none", "flip", "scale_jitter"])
def test_boxes_move_with_their_image(augmentation):
    settings = recipe(augmentation=augmentation, least_scale=0.6, most_scale=1.4)
    data = BoxedImages(images(4), settings, CONTRACT)
    scales, moved = set(), 0
    for epoch in range(8):
        for index in range(4):
            image, target = data[epoch, index]
            assert image.shape == (3, SIZE, SIZE)
            if not len(target["boxes"]):
                continue
            (box,) = target["boxes"].tolist()
            assert min(box) >= 0
            assert max(box) <= SIZE
            rows, columns = torch.nonzero(image[0] > 0.35, as_tuple=True)
            due = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert max(abs(a - float(b)) for a, b in zip(box, due, strict=True)) <= 2.1
            scales.add(round((box[2] - box[0]) / 4))
            moved += box != data[-1, index][1]["boxes"][0].tolist()
    assert (moved > 0) == (augmentation != "none")
    assert (len(scales) > 1) == (augmentation == "scale_jitter")


def test_content_of_a_batch_depends_on_seed_epoch_and_position_alone():
    first = BoxedImages(images(4), recipe(), CONTRACT)
    again = BoxedImages(images(4), recipe(), CONTRACT)
    again[0, 1]
    torch.manual_seed(9)
    for key in ((0, 2), (5, 0)):
        assert torch.equal(first[key][0], again[key][0])
        assert torch.equal(first[key][1]["boxes"], again[key][1]["boxes"])
    assert not torch.equal(first[0, 2][0], first[1, 2][0])
    assert not torch.equal(first[0, 2][0], BoxedImages(images(4), recipe(seed=4), CONTRACT)[0, 2][0])


def test_rare_classes_and_images_without_boxes_come_up_more_often():
    classes = [(0,)] * 80 + [(0, 1)] * 5 + [()] * 15
    assert sorted(index for _, index in ShuffledSampler(range(100), 0)) == list(range(100))
    sampler = ShuffledSampler(range(100), 0, rarity_chances(classes))
    drawn = []
    for epoch in range(60):
        sampler.set_epoch(epoch)
        drawn += [index for _, index in sampler]
    share = np.bincount(drawn, minlength=100) / len(drawn)
    factors = np.sqrt([100 / 85] * 80 + [100 / 5] * 5 + [100 / 15] * 15)
    for part in (slice(0, 80), slice(80, 85), slice(85, 100)):
        assert share[part].sum() == pytest.approx(factors[part].sum() / factors.sum(), abs=0.02)
    for balance, draws in (("none", False), ("sampling", True)):
        data = BoxData(images(), recipe(class_balance=balance, validation="none"), CONTRACT)
        assert (data.sampler.chances is not None) == draws


def test_groups_are_held_out_whole_and_nothing_to_learn_is_refused():
    data = BoxData(images(), recipe(validation="by_group"), CONTRACT)
    groups = [{images()[index].group for index in part} for part in (data.training, data.validation)]
    assert not groups[0] & groups[1]
    assert groups[1]
    pictures, targets = next(iter(data.val_dataloader()))
    assert pictures.shape[1:] == (3, SIZE, SIZE)
    assert set(targets[0]) == {"boxes", "labels"}
    assert targets[0]["labels"].tolist() == [1]
    with pytest.raises(MedbenchError, match="no box to learn from"):
        BoxData([boxed(0, ())], recipe(validation="none"), CONTRACT)


def test_the_schedule_of_the_reference_training(monkeypatch):
    settings = load_recipe("boxes", "retinanet")
    monkeypatch.setattr(BoxTask, "rate", lambda task: 1.0)
    task = BoxTask(torch.nn.Linear(2, 2), settings, 1, 260, steps_per_epoch=10)
    chosen = task.configure_optimizers()
    rates = []
    for _ in range(260):
        rates.append(chosen["optimizer"].param_groups[0]["lr"])
        chosen["optimizer"].step()
        chosen["lr_scheduler"]["scheduler"].step()
    assert rates[0] == pytest.approx(1 / 9)
    assert rates[8] == 1.0
    assert (rates[159], rates[160]) == (1.0, pytest.approx(0.1))
    assert (rates[219], rates[220]) == (pytest.approx(0.1), pytest.approx(0.01))


def learner(name="medformer.retinanet.test"):
    import medbench

    return Learner(lambda: medbench.create_model(name, num_classes=1), CONTRACT, 1, ("boxes",), ("boxes",))


def fitted(folder, settings, progress=None, name="medformer.retinanet.test"):
    return fit(
        learner(name), images(), settings, folder, {"model": name},
        hardware=Hardware("cpu", 1), progress=progress or SilentProgress(),
    )  # fmt: skip


def test_a_training_that_was_interrupted_ends_with_the_same_weights(tmp_path, monkeypatch, one_thread):
    settings = recipe(epochs=3, validation="by_group")
    whole = torch.load(fitted(tmp_path / "whole", settings), weights_only=True)["state_dict"]

    class Stopped(BaseException):
        pass

    class Stopping(SilentProgress):
        def advance(self, steps=1, note=""):
            if note.startswith("epoch 3/"):
                raise Stopped

    with pytest.raises(Stopped):
        fitted(tmp_path / "cut", settings, Stopping())
    again = torch.load(fitted(tmp_path / "cut", settings), weights_only=True)["state_dict"]
    assert whole.keys() == again.keys()
    for key, tensor in whole.items():
        torch.testing.assert_close(again[key], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["torchvision/retinanet_resnet50_fpn.test", "torchvision/fasterrcnn_resnet50_fpn.test"]
)
def test_baselines_are_trained_by_the_same_recipes(tmp_path, name, one_thread):
    from medbench.core.files import read_json

    weights = fitted(tmp_path, recipe(epochs=1, validation="by_group", augmentation="none"), name=name)
    assert 0 <= read_json(weights.with_name("training.json"))["validation_map"] <= 1


@pytest.mark.slow
def test_bright_rectangles_are_learnt(tmp_path, one_thread):
    from medbench.inference.decoding import ImageGeometry, boxes
    from medbench.metrics.tasks.detection import coco_map

    settings = recipe(epochs=36, learning_rate=4e-3, augmentation="flip")
    state = torch.load(fitted(tmp_path, settings), weights_only=True)["state_dict"]
    network = learner().build().eval()
    network.load_state_dict(state)
    reference, prediction = [], []
    for number in range(100, 108):
        image, truth = boxed(number).load(90), boxed(number).boxes().resized((1, 1), (60, 90))
        with torch.inference_mode():
            output = network(torch.from_numpy(CONTRACT.prepare(image[None])))
        reference.append(truth)
        prediction += boxes(output, ImageGeometry(image.shape[:2], (SIZE, SIZE), padded=True))
    assert coco_map(reference, prediction, thresholds=(0.5,)) > 0.9
