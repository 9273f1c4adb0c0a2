"""Linear layers by oneDNN compute and learn what those of torch do, and are taken where they are faster."""

import pytest
import torch
from torch.nn import functional

from medbench.models.blocks import linear as linear_layers
from medbench.models.blocks.linear import Linear, linear


@pytest.fixture
def by_onednn(monkeypatch):
    """Products are oneDNN's, whatever the processor; the list takes what each is given."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN")
    calls = []
    product = linear_layers._by_onednn
    monkeypatch.setattr(linear_layers, "_takes_wide_registers", lambda: True)
    monkeypatch.setattr(
        linear_layers, "_by_onednn", lambda *arguments: (calls.append(arguments), product(*arguments))[1]
    )
    return calls


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("inputs", "outputs"), [(24, 8), (8, 24)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_products_and_gradients_are_those_of_torch(by_onednn, inputs, outputs, has_bias):
    torch.manual_seed(0)
    layer = Linear(inputs, outputs, bias=has_bias)
    features = torch.randn(2, 5, 6, inputs, requires_grad=True)
    weights = torch.randn(2, 5, 6, outputs)
    parts = (features, *layer.parameters())
    ours = layer(features)
    gradients = torch.autograd.grad((ours * weights).sum(), parts)
    assert len(by_onednn) == 3, "forward, and two gradients"
    theirs = functional.linear(features, layer.weight, layer.bias)
    close(ours, theirs)
    for one, other in zip(gradients, torch.autograd.grad((theirs * weights).sum(), parts), strict=True):
        close(one, other)
    with torch.inference_mode():
        close(layer(features), theirs)


def test_slices_of_features_weights_and_gradients(by_onednn):
    torch.manual_seed(0)
    joined, table = torch.randn(3, 40, 36), torch.randn(20, 48, requires_grad=True)
    both = [
        product(joined[..., 12:24], table[:, 12:24])[..., 4:8].square().sum()
        for product in (linear, functional.linear)
    ]
    close(*both)
    close(*(torch.autograd.grad(one, table)[0] for one in both))


def test_a_product_may_be_overwritten(by_onednn):
    torch.manual_seed(0)
    layer, features = Linear(4, 3), torch.randn(2, 5, 4)
    both = [
        torch.autograd.grad(functional.relu_(product).square().sum(), layer.weight)[0]
        for product in (layer(features), functional.linear(features, layer.weight, layer.bias))
    ]
    close(*both)


def test_only_what_asks_for_a_gradient_has_one(by_onednn):
    torch.manual_seed(0)
    layer = Linear(4, 3).requires_grad_(False)
    features = torch.randn(2, 4, requires_grad=True)
    layer(features).sum().backward()
    assert len(by_onednn) == 2, "forward, and the gradient of the features"
    close(features.grad, layer.weight.sum(dim=0).expand(2, 4))
    assert layer.weight.grad is None
    layer.weight.requires_grad_(True)
    layer(torch.ones(2, 4)).sum().backward()
    close(layer.weight.grad, torch.full((3, 4), 2.0))


def test_other_numbers_and_captures_are_products_of_torch(by_onednn):
    layer, features = Linear(4, 3), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(features).dtype == torch.bfloat16
    assert Linear(4, 3).double()(features.double()).dtype == torch.float64
    assert layer(features[:0]).shape == (0, 3)
    traced = torch.jit.trace(layer, features, check_trace=False)
    exported = torch.export.export(layer, (features,))
    assert not by_onednn
    close(traced(features), functional.linear(features, layer.weight, layer.bias))
    close(exported.module()(features), traced(features))
    assert "mkldnn" not in str(exported.graph) + str(traced.inlined_graph)


@pytest.mark.parametrize(
    ("vendor", "registers", "wide"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", False),
        ("GenuineIntel", "AVX512", False),
        ("", "AVX512", False),
    ],
)
def test_oneDNN_is_taken_where_MKL_leaves_registers_unused(monkeypatch, vendor, registers, wide):
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        pytest.skip("this torch has one library of the two")
    monkeypatch.setattr(linear_layers, "processor_vendor", lambda: vendor)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: registers)
    assert linear_layers._takes_wide_registers.__wrapped__() is wide
