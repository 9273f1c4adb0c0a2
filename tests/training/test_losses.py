"""The faithful loss has no gradient through its Dice, the corrected one has."""

import pytest
import torch
from torch.nn import functional

from medbench.training.losses import held_out_dice, segmentation_loss
from medbench.training.recipes.checking import LOSSES_OF_IMAGES


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, generator=generator, requires_grad=True)
    return logits, torch.randint(0, 3, (2, 8, 8), generator=generator)


def gradient(loss, logits):
    return torch.autograd.grad(loss, logits)[0]


def test_the_faithful_loss_trains_by_cross_entropy_alone(pair):
    logits, labels = pair
    faithful = segmentation_loss("cross_entropy_argmax_dice", 3)(logits, labels)
    half = 0.5 * functional.cross_entropy(logits, labels)
    assert torch.equal(gradient(faithful, logits), gradient(half, logits))
    chosen = logits.argmax(1)
    dice = sum(
        (2 * ((chosen == k) & (labels == k)).sum() + 1e-6)
        / ((chosen == k).sum() + (labels == k).sum() + 1e-6)
        for k in (1, 2)
    )
    assert faithful.item() == pytest.approx((half + 0.5 * (1 - dice / 2)).item(), abs=1e-6)


def test_the_corrected_loss_has_a_gradient_through_dice(pair):
    logits, labels = pair
    corrected = segmentation_loss("cross_entropy_dice", 3)(logits, labels)
    half = 0.5 * functional.cross_entropy(logits, labels)
    assert not torch.allclose(gradient(corrected, logits), gradient(half, logits))


def test_a_perfect_prediction_has_little_loss_and_full_dice(pair):
    _, labels = pair
    logits = functional.one_hot(labels, 3).permute(0, 3, 1, 2).float() * 50
    assert segmentation_loss("cross_entropy_dice", 3)(logits, labels) < 1e-3
    assert held_out_dice(logits, labels, 3) == 1


def test_squared_dice_is_the_formula_with_the_background(pair):
    logits, labels = pair
    value = segmentation_loss("cross_entropy_squared_dice", 3)(logits, labels)
    dice = 0.0
    for label, probability in enumerate(logits.softmax(1).unbind(1)):
        truth = (labels == label).float()
        overlap, size = (probability * truth).sum(), (probability**2).sum() + (truth * truth).sum()
        dice += (2 * overlap + 1e-5) / (size + 1e-5) / 3
    assert value.item() == pytest.approx(
        (0.4 * functional.cross_entropy(logits, labels) + 0.6 * (1 - dice)).item()
    )
    assert gradient(value, logits).abs().max() > 0


def test_batch_dice_of_two_labels_is_the_formula_with_the_sigmoid(pair):
    logits, labels = pair
    labels = labels % 2
    value = segmentation_loss("batch_dice", 2)(logits[:, :2], labels)
    inside = torch.sigmoid(logits[:, 1] - logits[:, 0])
    expected = 1 - (2 * inside[labels == 1].sum() + 1) / (inside.sum() + (labels == 1).sum() + 1)
    assert value.item() == pytest.approx(expected.item())
    assert gradient(value, logits).abs().max() > 0


@pytest.mark.parametrize("name", LOSSES_OF_IMAGES)
def test_every_loss_that_a_recipe_of_images_may_name_is_a_number(name, pair):
    logits, labels = pair
    value = segmentation_loss(name, 2)(logits[:, :2], labels.clamp(max=1))
    assert value.isfinite()
    assert value.ndim == 0
