import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from medbench.models.blocks import largest_softmax
from medbench.models.blocks.largest_softmax import softmax_of_largest


def by_topk(logits, count):
    best, index = logits.topk(count, dim=-1)
    return torch.zeros_like(logits).scatter(-1, index, best.softmax(dim=-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("length", "count"), [(64, 8), (49, 6), (16, 2), (8, 1), (5, 5)])
def test_is_the_softmax_over_the_topk(length, count, dtype):
    logits = torch.randn(3, 50, length, dtype=dtype)
    torch.testing.assert_close(softmax_of_largest(logits.clone(), count), by_topk(logits, count))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([-3.0, -1e-40, 0.0, 1e-40, 1.0, 2.0]), min_size=9, max_size=9),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 9),
)
def test_keeps_exactly_the_demanded_number_of_largest_with_ties(rows, count):
    logits = torch.tensor(rows)
    weights = softmax_of_largest(logits.clone(), count)
    assert (weights > 0).sum(-1).tolist() == [count] * len(rows)
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(rows)))
    for row, kept in zip(logits, weights > 0, strict=True):
        assert sorted(row[kept].tolist()) == sorted(row.topk(count).values.tolist())


def test_masked_entries_are_never_kept():
    logits = torch.randn(4, 32)
    logits[:, 8:] = -torch.inf
    logits[0, :8] = 1.0
    weights = softmax_of_largest(logits.clone(), 4)
    assert (weights > 0).sum(-1).tolist() == [4] * 4
    assert not weights[:, 8:].any()


def test_gradient_is_that_of_the_kept_entries():
    logits = torch.randn(4, 12, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: softmax_of_largest(x * 1, 3), (logits,))
    weight = torch.randn(4, 12, dtype=torch.float64)
    ours, plain = (
        torch.autograd.grad((function(logits * 1, 3) * weight).sum(), logits)[0]
        for function in (softmax_of_largest, by_topk)
    )
    torch.testing.assert_close(ours, plain)


def test_nothing_and_everything():
    logits = torch.randn(2, 6)
    assert not softmax_of_largest(logits.clone(), 0).any()
    torch.testing.assert_close(softmax_of_largest(logits.clone(), 6), logits.softmax(-1))
    torch.testing.assert_close(softmax_of_largest(logits.clone(), 9), logits.softmax(-1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    logits = torch.randn(7, 64).to(dtype)
    weights = softmax_of_largest(logits.clone(), 8)
    assert weights.dtype == torch.float32
    assert (weights > 0).sum(-1).tolist() == [8] * 7


def test_rows_sorted_in_threads_are_the_same(monkeypatch):
    logits = torch.randn(101, 64)
    alone = softmax_of_largest(logits.clone(), 8)
    monkeypatch.setattr(largest_softmax, "_SORT_IN_THREADS_FROM", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        torch.testing.assert_close(softmax_of_largest(logits.clone(), 8), alone, rtol=0, atol=0)
    finally:
        torch.set_num_threads(before)


def test_nan_is_not_hidden():
    logits = torch.randn(3, 16)
    logits[1, 4] = torch.nan
    weights = softmax_of_largest(logits, 2)
    assert weights[1].isnan().any()
    assert not weights[[0, 2]].isnan().any()
