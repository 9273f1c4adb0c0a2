"""Optimizers and schedules are those that the recipe names."""

import pytest
import torch
from torch import nn

from medbench.training.recipes import list_recipes, load_recipe
from medbench.training.task import SegmentationTask

STEPS = 10


def configured(**changes):
    recipe = load_recipe("generic", **changes)
    chosen = SegmentationTask(nn.Conv2d(3, 2, 1), recipe, 2, STEPS).configure_optimizers()
    return (
        (chosen, None)
        if isinstance(chosen, torch.optim.Optimizer)
        else (
            chosen["optimizer"],
            chosen["lr_scheduler"]["scheduler"],
        )
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimizer_is_the_named_one(name, kind):
    optimizer, _ = configured(optimizer=name, weight_decay=0.25)
    assert type(optimizer) is kind
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.25, 0.0]
    assert name != "sgd" or optimizer.defaults["momentum"] == 0.9


def test_momentum_is_that_of_plain_sgd_where_a_batch_teaches_some_parameters_alone():
    """The first batch has no class for the image head; the fused form had stopped at the second."""
    recipe = load_recipe("generic", optimizer="sgd", learning_rate=0.1, schedule="constant", decay="all")
    states = []
    for fused in (True, False):
        torch.manual_seed(0)
        network = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        optimizer = SegmentationTask(network, recipe, 2, STEPS).configure_optimizers()
        if not fused:
            optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=recipe.weight_decay)
        for taught in ([0], [0, 1], [1], [0, 1]):
            optimizer.zero_grad(set_to_none=True)
            sum(network[number](torch.ones(1, 2)).square().sum() for number in taught).backward()
            optimizer.step()
        states.append(network.state_dict())
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], rtol=1e-6, atol=1e-7)


def test_polynomial_schedule_falls_with_the_power_nine_tenths():
    optimizer, scheduler = configured(optimizer="sgd", schedule="polynomial", learning_rate=0.05)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.05 * (1 - step / STEPS) ** 0.9 for step in range(STEPS)])


@pytest.mark.parametrize("name", ["default", "official", "quick"])
def test_mslau_net_has_recipes_of_its_own(name):
    assert name in list_recipes("mslau_net")
    recipe = load_recipe("mslau_net", name)
    assert recipe.optimizer == ("sgd" if name == "official" else "adamw")
    assert SegmentationTask(nn.Conv2d(3, 2, 1), recipe, 2, STEPS).configure_optimizers() is not None
