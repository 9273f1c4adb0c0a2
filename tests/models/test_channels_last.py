import pytest
import torch
from torch.nn import functional

from medbench.models.blocks import enlarged_conv
from medbench.models.blocks.channels_last import Conv, DepthwiseConv, conv_norm, resize
from medbench.models.blocks.enlarged_conv import EnlargedConv


def planes(features):
    return features.permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9])
def test_depthwise_convolution_and_its_gradients(kernel):
    torch.manual_seed(0)
    layer = DepthwiseConv(8, kernel)
    features = torch.randn(2, 12, 11, 8, requires_grad=True)
    weight = torch.randn(2, 12, 11, 8)
    inputs = (features, layer.weight, layer.bias)
    plain = functional.conv2d(planes(features), layer.weight, layer.bias, padding=kernel // 2, groups=8)
    plain = plain.permute(0, 2, 3, 1)
    torch.testing.assert_close(layer(features), plain)
    ours, theirs = (
        torch.autograd.grad((output * weight).sum(), inputs) for output in (layer(features), plain)
    )
    for ours_part, theirs_part in zip(ours, theirs, strict=True):
        torch.testing.assert_close(ours_part, theirs_part, rtol=1e-4, atol=1e-4)


def test_depthwise_convolution_of_a_slice_of_channels_without_its_own_gradient():
    layer = DepthwiseConv(4, 5)
    joined = torch.randn(1, 9, 9, 12)
    output = layer(joined[..., 4:8])
    torch.testing.assert_close(
        planes(output),
        functional.conv2d(planes(joined[..., 4:8]), layer.weight, layer.bias, padding=2, groups=4),
    )
    output.sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_convolution_with_norm(kernel, stride):
    layer = conv_norm(5, 6, kernel, stride, torch.nn.ReLU())
    features = torch.randn(2, 9, 7, 5)
    plain = functional.conv2d(planes(features), layer[0].weight, layer[0].bias, stride, kernel // 2)
    torch.testing.assert_close(planes(layer[0](features)), plain)
    plain = functional.relu(functional.batch_norm(plain, None, None, layer[1].weight, layer[1].bias, True))
    torch.testing.assert_close(planes(layer(features)), plain, rtol=1e-4, atol=1e-5)
    assert isinstance(layer[0], Conv)


def test_resize():
    features = torch.randn(1, 4, 5, 3)
    plain = functional.interpolate(planes(features), (8, 10), mode="bilinear", align_corners=True)
    torch.testing.assert_close(planes(resize(features, 8, 10, align_corners=True)), plain)
    assert resize(features, 4, 5, align_corners=True) is features


@pytest.mark.parametrize(
    ("inputs", "size", "matrices"),
    [(32, (6, 9), 2), (32, (8, 8), 2), (32, (1, 3), 2), (1, (24, 9), 0)],
    ids=str,
)
def test_enlarged_convolution_is_the_convolution_of_the_enlarged(inputs, size, matrices, monkeypatch):
    made = []

    def make(*arguments, make=enlarged_conv._tap_matrix):
        made.append(make(*arguments))
        return made[-1]

    monkeypatch.setattr(enlarged_conv, "_tap_matrix", make)
    torch.manual_seed(0)
    layer = EnlargedConv(inputs, 3, 4).double()
    features = torch.randn(2, *size, inputs, dtype=torch.float64, requires_grad=True)
    large = functional.interpolate(
        planes(features), (4 * size[0], 4 * size[1]), mode="bilinear", align_corners=True
    )
    plain = functional.conv2d(large, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(features), plain, rtol=1e-12, atol=1e-12)
    assert len(made) == matrices
    weight = torch.randn_like(plain)
    inputs_of = (features, layer.weight, layer.bias)
    for ours, theirs in zip(
        torch.autograd.grad((layer(features) * weight).sum(), inputs_of),
        torch.autograd.grad((plain * weight).sum(), inputs_of),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
