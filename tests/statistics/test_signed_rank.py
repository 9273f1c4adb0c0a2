"""Wilcoxon's signed-rank test against scipy, R and a count of all signs."""

import itertools
import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from golden_files import golden
from medbench.statistics.signed_rank import signed_rank_p, signed_ranks, without_noise

GOLDEN = golden("paired_r.json")


@pytest.mark.parametrize("case", GOLDEN["paired"], ids=lambda case: f"n={len(case['first'])}")
def test_equal_to_r(case):
    change = without_noise(np.array(case["second"]) - np.array(case["first"]))
    assert signed_rank_p(change) == pytest.approx(case["wilcoxon"], abs=1e-12)
    assert signed_rank_p(change, "greater") == pytest.approx(case["wilcoxon_greater"], abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_scipy(seed):
    rng = np.random.default_rng(seed)
    change = rng.normal(0.02, 0.1, (7, 8, 14, 20, 50, 51, 100)[seed % 7])
    if seed % 3:
        change = np.round(change, 1)
        change[0] = 0.1
    for alternative in ("two-sided", "greater", "less"):
        expected = scipy.stats.wilcoxon(change, zero_method="pratt", alternative=alternative).pvalue
        assert signed_rank_p(without_noise(change), alternative) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=10))
def test_few_differences_with_ties_and_zeros_are_counted_exactly(change):
    change = np.array(change, float)
    ranks = scipy.stats.rankdata(np.abs(change))
    signs = np.array(list(itertools.product((0, 1), repeat=len(change))))
    sums = signs @ (ranks * (change != 0))
    observed = ranks[change > 0].sum()
    below, above = (sums <= observed + 1e-9).mean(), (sums >= observed - 1e-9).mean()
    assert signed_rank_p(change, "less") == pytest.approx(below if change.any() else 1.0)
    assert signed_rank_p(change, "greater") == pytest.approx(above if change.any() else 1.0)
    assert signed_rank_p(change) == pytest.approx(min(1.0, 2 * min(below, above)))


@pytest.mark.parametrize("n", [9, 12, 13, 14, 50, 51, 500, 20_000])
@pytest.mark.parametrize("decimals", [1, 15])
def test_it_takes_less_than_ten_milliseconds(n, decimals):
    change = without_noise(np.round(np.random.default_rng(n).normal(size=n), decimals))
    signed_rank_p(change)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        signed_rank_p(change)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.010


def test_noise_of_the_last_bit_makes_neither_a_difference_nor_an_order():
    clean = np.array([0.1, 0.1, -0.1, 0.2, 0.0, 0.0, 0.3, -0.2])
    noisy = np.array(
        [0.3 - 0.2, 0.8 - 0.7, 0.6 - 0.7, 0.9 - 0.7, 0.1 + 0.2 - 0.3, 1e-16, 0.4 - 0.1, 0.5 - 0.7]
    )
    assert len(np.unique(np.abs(noisy))) > 4
    assert signed_rank_p(without_noise(noisy)) == signed_rank_p(clean)
    assert signed_ranks(without_noise(noisy)).biserial == signed_ranks(clean).biserial
    assert signed_rank_p(without_noise(np.full(500, 1e-16))) == 1.0
    assert not without_noise(np.array([1e-10]), scale=400.0).any()
    assert without_noise(np.array([1e-9])).any()


def test_the_rank_biserial_correlation_is_the_share_of_ranks_for_minus_against():
    assert signed_ranks([1.0, 2.0, 3.0]).biserial == 1.0
    assert signed_ranks([-1.0, -2.0]).biserial == -1.0
    assert signed_ranks([1.0, 2.0, -3.0, 4.0]).biserial == pytest.approx((7 - 3) / 10)
    assert signed_ranks([0.0, 0.0]).biserial is None


def test_zeros_are_ranked_and_count_for_neither_side_of_the_biserial_correlation():
    from medbench.statistics.signed_rank import signed_ranks

    assert signed_ranks([0.0, 0.0, 1.0, 2.0, -3.0]).biserial == pytest.approx((3 + 4 - 5) / (3 + 4 + 5))
