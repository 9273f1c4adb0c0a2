"""Batches depend on seed, epoch and position alone."""

import numpy as np
import pytest
import torch

from medbench.core.errors import MedbenchError
from medbench.core.sample import TrainingImage
from medbench.inference.predictor import InputContract
from medbench.training.recipes import list_recipes, load_recipe

SIZE = 16


def images(n=20, labelled=8):
    def load(number, has_labels):
        def read(size):
            generator = np.random.default_rng(number)
            picture = generator.integers(0, 255, (size, size, 3)).astype(np.uint8)
            return picture, (picture[..., 0] // 128) if has_labels else None

        return read

    return [
        TrainingImage(f"i{k}", f"group{k // 4}", load(k, k < labelled), k < labelled, k % 2) for k in range(n)
    ]


def recipe(**changes):
    return load_recipe("dssau_net", "default", image_size=SIZE, batch_size=4, **changes)


def batches(data, epoch):
    data.sampler.set_epoch(epoch)
    return [[part.clone() for part in batch] for batch in data.train_dataloader()]


def equal(first, second):
    return all(
        (a == b).all() for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_the_same_epoch_gives_the_same_augmented_batches_whatever_came_before():
    from medbench.training.data import TrainingData

    data = TrainingData(images(), recipe(), InputContract(SIZE))
    first = batches(data, 3)
    batches(data, 0)
    again = batches(TrainingData(images(), recipe(), InputContract(SIZE)), 3)
    assert equal(first, again)
    assert not equal(first, batches(data, 4))
    assert not equal(first, batches(TrainingData(images(), recipe(seed=1), InputContract(SIZE)), 3))


def test_every_labelled_picture_is_seen_once_an_epoch():
    from medbench.training.data import TrainingData

    data = TrainingData(images(), recipe(validation="none"), InputContract(SIZE))
    data.sampler.set_epoch(5)
    seen = [index for _, index in data.sampler]
    assert sorted(index for index in seen if index < 8) == list(range(8))
    assert len(seen) == len(set(seen)) == 16


def test_the_draw_evens_out_the_image_classes():
    import dataclasses

    from medbench.training.data import TrainingData

    pictures = [
        dataclasses.replace(p, image_class=int(p.labelled or k % 3 > 0)) for k, p in enumerate(images(60))
    ]
    data = TrainingData(pictures, recipe(validation="none"), InputContract(SIZE))
    classes = [pictures[index].image_class for _, index in data.sampler]
    assert classes.count(0) == classes.count(1) == 8


def test_a_group_is_never_on_both_sides_of_the_split():
    from medbench.training.data import split

    pictures = images(40, 40)
    training, validation = split(pictures, recipe())
    assert sorted(training + validation) == list(range(40))
    assert not {pictures[i].group for i in training} & {pictures[i].group for i in validation}
    mixed, held = split(pictures, recipe(validation="by_image"))
    assert {pictures[i].group for i in mixed} & {pictures[i].group for i in held}


def test_unlabelled_pictures_are_marked_to_be_ignored():
    from medbench.training.data import IGNORED_LABEL, TrainingData

    data = TrainingData(images(), recipe(augmentation="none"), InputContract(SIZE))
    image, labels, image_class = data.dataset[(0, 19)]
    assert image.shape == (3, SIZE, SIZE)
    assert (labels == IGNORED_LABEL).all()
    assert image_class == 1


def test_masks_are_turned_with_their_pictures():
    from medbench.training.data import TrainingData

    data = TrainingData(images(), recipe(), InputContract(SIZE))
    turned = 0
    for epoch in range(12):
        image, labels, _ = data.dataset[(epoch, 0)]
        plain, _, _ = data.dataset[(-1, 0)]
        inside = image[0] > 0
        assert (((image[0] * 255).round().long() // 128) == labels)[inside].all()
        turned += not (image == plain).all()
    assert turned > 4


def test_black_squares_leave_labels_alone_and_other_moves_take_them_along():
    from medbench.training.data import TrainingData

    def read(size):
        picture = np.full((size, size, 3), 90, np.uint8)
        picture[: size // 3, : size // 2] = 250
        return picture, (picture[..., 0] > 127).astype(np.uint8)

    whole = [TrainingImage("i", "g", read, True, None)]
    settings = load_recipe("medformer", "official", image_size=64, batch_size=1, validation="none")
    data = TrainingData(whole, settings, InputContract(64))
    blackened = moved = 0
    for epoch in range(40):
        image, labels, _ = data.dataset[(epoch, 0)]
        shown = (image[0] * 255).round()
        black = (shown == 0).sum().item()
        sides = [(shown > 180)[shown > 0], (labels == 1)[shown > 0]]
        assert (sides[0] != sides[1]).float().mean() < 0.03
        blackened += black >= 64
        moved += not torch.equal(labels, data.dataset[(-1, 0)][1])
    assert 10 < blackened < 38
    assert 10 < moved < 36


def test_a_turn_shows_reflections_beyond_the_edges_where_the_authors_programs_do():
    from torchvision import tv_tensors

    from medbench.training.image_augmentation import augmentation

    augment = augmentation("flip_scale_drop")
    assert augment is not None
    ramp = torch.arange(1, 65, dtype=torch.uint8).repeat(64, 1).expand(3, -1, -1)
    ones = torch.ones((64, 64), dtype=torch.uint8)
    turns = 0
    for seed in range(24):
        torch.manual_seed(seed)
        image, labels = augment(tv_tensors.Image(ramp), tv_tensors.Mask(ones))
        assert image.shape == ramp.shape
        assert torch.equal(labels, ones), "no corner is filled with background"
        steps = image[0, 1:].int() - image[0, :-1].int()
        turns += bool(((steps != 0) & (image[0, 1:] > 0) & (image[0, :-1] > 0)).any())
    assert 2 < turns < 15


def test_no_labels_is_an_error():
    from medbench.training.data import TrainingData

    with pytest.raises(MedbenchError, match="no labelled image"):
        TrainingData(images(labelled=0), recipe(validation="none"), InputContract(SIZE))


@pytest.mark.parametrize("family", ["dssau_net", "medformer", "generic", "no_family_of_that_name"])
def test_every_recipe_loads(family):
    for name in list_recipes(family):
        assert load_recipe(family, name).name == name
    assert {"default", "quick"} <= set(list_recipes(family))


def test_a_wrong_recipe_or_setting_gets_a_suggestion():
    with pytest.raises(MedbenchError) as caught:
        load_recipe("dssau_net", "offical")
    assert "official" in caught.value.hint
    with pytest.raises(MedbenchError) as caught:
        load_recipe("dssau_net", "default", epoch=3)
    assert "epochs" in caught.value.hint


@pytest.mark.parametrize(("steps_per_epoch", "epochs"), [(100, 2), (45, 2), (44, 3), (18, 5), (1, 90)])
def test_few_pictures_are_seen_more_often(steps_per_epoch, epochs):
    recipe = load_recipe("brau_net_pp", "quick", epochs=2, least_steps=90)
    assert recipe.epochs_of(steps_per_epoch) == epochs
    assert recipe.length == "2 epochs or 90 steps, whichever is more"


def test_epochs_that_are_asked_for_are_those_that_are_trained():
    assert load_recipe("brau_net_pp", "quick").least_steps == 90
    assert load_recipe("brau_net_pp", "quick", epochs=1).epochs_of(3) == 1
