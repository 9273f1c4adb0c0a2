from collections import Counter

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from medbench.models.blocks.linear import Linear
from medbench.models.blocks.recomputed import of_activation, recomputed


class CountedLinear(nn.Linear):
    calls = 0

    def forward(self, inputs):
        self.calls += 1
        return super().forward(inputs)


class CountedOperators(TorchDispatchMode):
    """Those that are executed, below autograd."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.calls[str(operator)] += 1
        return operator(*args, **(kwargs or {}))


def kept_bytes(run):
    """Bytes of the tensors that autograd keeps, and the result."""
    kept = {}

    def note(tensor):
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = run()
    return sum(kept.values()), result


def test_gradients_are_the_same_and_less_is_kept():
    torch.manual_seed(0)
    norm, linear = nn.LayerNorm(64).double(), nn.Linear(64, 8).double()

    def step(given):
        return linear(torch.nn.functional.gelu(norm(given)))

    given = torch.randn(100, 64, dtype=torch.float64, requires_grad=True)
    parameters = (given, *norm.parameters(), *linear.parameters())
    kept, plain = kept_bytes(lambda: step(given))
    kept_less, result = kept_bytes(lambda: recomputed(step, given))
    assert torch.equal(result, plain)
    for one, other in zip(
        torch.autograd.grad(result.square().sum(), parameters),
        torch.autograd.grad(plain.square().sum(), parameters),
        strict=True,
    ):
        assert torch.equal(one, other)
    assert kept_less <= kept - 2 * given.numel() * 8


def test_nothing_runs_twice_without_gradient():
    linear = CountedLinear(4, 4)
    with torch.no_grad():
        recomputed(linear, torch.randn(2, 4))
    assert linear.calls == 1


def test_a_product_at_the_end_is_not_repeated():
    torch.manual_seed(0)
    given = torch.randn(32, 16, requires_grad=True)
    weight = torch.randn(16, 16, requires_grad=True)
    with CountedOperators() as counted:
        result = recomputed(lambda kept: torch.nn.functional.gelu(kept) @ weight, given)
        result.backward(torch.ones_like(result))
    assert counted.calls["aten.gelu.default"] == 2
    assert counted.calls["aten.mm.default"] == 3, "once forward, twice for the two gradients"


class WatchedGELU(nn.GELU):
    def forward(self, hidden):
        active = super().forward(hidden)
        self.memory = StorageWeakRef(active.untyped_storage())
        return active


@pytest.mark.parametrize("kind", [Linear, nn.Linear])
def test_an_activation_is_computed_again_and_no_product_is(kind):
    torch.manual_seed(0)
    activation, layer = WatchedGELU(), kind(64, 16)
    hidden = torch.randn(2, 10, 5, 64, requires_grad=True)
    parameters = (hidden, *layer.parameters())
    products = ("aten.mm.default", "aten.addmm.default", "mkldnn._linear_pointwise.default")
    outcomes = []
    for step in (lambda: layer(activation(hidden)), lambda: of_activation(layer, activation, hidden)):
        with CountedOperators() as counted:
            result = step()
            kept = not activation.memory.expired()
            gradients = torch.autograd.grad(result.square().sum(), parameters)
        outcomes.append((counted.calls, kept, (result, *gradients)))
    (plain, plain_kept, expected), (again, again_kept, values) = outcomes
    assert (plain_kept, again_kept) == (True, False)
    assert (plain["aten.gelu.default"], again["aten.gelu.default"]) == (1, 2)
    assert sum(again[name] for name in products) == sum(plain[name] for name in products) >= 3
    assert all(map(torch.equal, values, expected))
