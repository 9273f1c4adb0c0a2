"""Whether all values of a tensor are finite."""

import math

import pytest
import torch

from medbench.core.finite import is_finite


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 11, -1])
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]
)
def test_a_single_value_that_is_no_number_is_found_at_every_place(value, place, dtype):
    tensor = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4).to(dtype)
    assert is_finite(tensor[:, :, ::2])
    tensor.view(-1)[place] = value
    assert not is_finite(tensor)
    assert is_finite(tensor[:, 1:2, 1:2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_no_value_a_single_one_and_whole_numbers_are_finite(dtype):
    for shape in ((0, 3), (), (2, 2)):
        assert is_finite(torch.zeros(shape, dtype=dtype))


def test_the_largest_numbers_are_finite_though_their_sum_is_not():
    assert is_finite(torch.full((4,), torch.finfo(torch.float32).max))
