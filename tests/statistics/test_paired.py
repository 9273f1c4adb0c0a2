"""Paired comparison against R, scipy and enumeration; no difference is no difference."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from golden_files import golden
from medbench.statistics.intervals import leave_one_out, standard_error
from medbench.statistics.paired import (
    Contributions,
    equivalence_p,
    exchange_contributions,
    exchange_interval,
    exchange_p,
    exchanges,
    holm,
    least_p,
    mean_contributions,
    pooled_exchange_p,
)

GOLDEN = golden("paired_r.json")
PAIRS = [pytest.param(case, id=f"n={len(case['first'])}") for case in GOLDEN["paired"]]


def contributions(first, second, owner=None):
    first, second = np.asarray(first, float), np.asarray(second, float)
    return mean_contributions(first, second, np.arange(len(first)) if owner is None else np.asarray(owner))


@pytest.mark.parametrize("case", [pair for pair in PAIRS if pair.values[0]["permutation"] is not None])
def test_the_exchange_test_equals_r_and_scipy(case):
    parts = contributions(case["first"], case["second"])
    p = exchange_p(parts, exchanges(len(case["first"]), 0))
    assert p == pytest.approx(case["permutation"], abs=1e-12)
    change = np.array(case["second"]) - np.array(case["first"])
    theirs = scipy.stats.permutation_test(
        (change,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
    )
    assert p == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("case", PAIRS)
def test_equivalence_equals_r_and_scipy(case):
    change = np.array(case["second"]) - np.array(case["first"])
    n, margin = len(change), case["margin"]
    error = standard_error(leave_one_out(lambda w: (w @ change) / w.sum(axis=-1), np.arange(n)))
    p = equivalence_p(float(change.mean()), error, n, margin)
    assert p == pytest.approx(case["equivalence"], abs=1e-12)
    above = scipy.stats.ttest_1samp(change, -margin, alternative="greater").pvalue
    below = scipy.stats.ttest_1samp(change, margin, alternative="less").pvalue
    assert p == pytest.approx(max(above, below), abs=1e-12)


def test_equivalence_of_runs_without_spread():
    assert equivalence_p(0.0, 0.0, 10, 0.01) == 0.0
    assert equivalence_p(0.02, 0.0, 10, 0.01) == 1.0


@pytest.mark.parametrize("case", GOLDEN["holm"], ids=lambda case: f"{len(case['p'])} p-values")
def test_holm_equals_r(case):
    assert holm(case["p"]) == pytest.approx(case["holm"], abs=1e-12)


def test_holm_never_goes_above_one_or_below_a_smaller_one():
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.9, 0.3, None]) == [0.9, 0.6, None]
    assert holm([0.01, 0.02, 0.021]) == pytest.approx([0.03, 0.04, 0.04])


def test_many_groups_draw_exchanges_and_count_the_data_s_own():
    rng = np.random.default_rng(1)
    first = rng.normal(size=40)
    parts = contributions(first, first + 5)
    signs = exchanges(40, 0)
    assert signs.shape == (10_000, 40)
    assert (signs[0] == 1).all()
    assert exchange_p(parts, signs) == 1e-4
    nothing = contributions(rng.normal(size=40), rng.normal(size=40))
    theirs = scipy.stats.permutation_test(
        (nothing.values,), np.sum, permutation_type="samples", n_resamples=9999, vectorized=True,
        random_state=np.random.default_rng(3),
    )  # fmt: skip
    assert exchange_p(nothing, signs) == pytest.approx(theirs.pvalue, abs=0.02)


@pytest.mark.parametrize("noise", [0.0, 1e-17])
@pytest.mark.parametrize("n_groups", [6, 13, 500])
def test_identical_pairs_differ_by_nothing(n_groups, noise):
    first = np.random.default_rng(0).beta(9, 2, n_groups)
    parts = contributions(first, first + noise * np.arange(n_groups))
    signs = exchanges(n_groups, 0)
    assert exchange_p(parts, signs) == 1.0
    interval = exchange_interval(parts, signs, 1.0)
    assert (interval.low, interval.high) == (0.0, 0.0)
    assert "agree" in interval.method


def test_groups_that_differ_by_the_same_have_an_exact_bound_within_the_range_of_differences():
    first = np.linspace(0.2, 0.6, 12)
    parts, signs = contributions(first, first + 0.25), exchanges(12, 0)
    interval = exchange_interval(parts, signs, 1.0)
    others = 1 - 0.025 ** (1 / 12)
    assert (interval.low, interval.high) == pytest.approx((0.25 - others * 1.25, 0.25 + others * 0.75))
    assert exchange_interval(parts, signs, None).low is None


def refuted(parts, shift, n_groups):
    """Whether enumeration refutes that the groups' differences are ``shift`` on average."""
    signs = np.array(list(itertools.product((1, -1), repeat=n_groups)))
    rest = parts.values - shift * parts.weights
    return (np.abs(signs @ rest) >= abs(rest.sum()) - 1e-12).mean() <= 0.05


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(6, 9), st.booleans())
def test_the_interval_holds_the_shifts_that_enumeration_does_not_refute(seed, n_groups, ties):
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(n_groups), rng.integers(1, 4, n_groups))
    change = rng.normal(0.05, 0.1, len(owner))
    change = np.round(change, 1) if ties else change
    parts = contributions(np.zeros(len(owner)), change, owner)
    interval = exchange_interval(parts, exchanges(n_groups, 0), None)
    if interval.low is None or parts.identical:
        return
    assert interval.low <= parts.difference <= interval.high
    width = interval.high - interval.low
    for shift in (interval.low + 1e-6 * width, interval.high - 1e-6 * width, parts.difference):
        assert not refuted(parts, shift, n_groups)
    for shift in (interval.low - 1e-6 * (width + 1), interval.high + 1e-6 * (width + 1)):
        assert refuted(parts, shift, n_groups)


@pytest.mark.parametrize("n_groups", [6, 8, 12, 20, 60])
def test_the_interval_excludes_zero_exactly_when_p_is_at_most_five_percent(n_groups):
    signs = exchanges(n_groups, 0)
    excluded = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        parts = contributions(*rng.beta(8, 2, (2, n_groups)))
        interval = exchange_interval(parts, signs, 1.0)
        outside = not interval.low <= 0 <= interval.high
        assert outside == (exchange_p(parts, signs) <= 0.05)
        assert -1 <= interval.low < parts.difference < interval.high <= 1
        excluded += outside
    assert 0.02 <= excluded / 400 <= 0.075


def test_five_groups_are_too_few():
    parts = contributions(np.zeros(5), np.arange(1.0, 6))
    assert exchange_p(parts, exchanges(5, 0)) == 2 / 32
    assert "too few" in exchange_interval(parts, exchanges(5, 0), 1.0).method


def test_contributions_follow_the_cases_of_a_group():
    owner = [0, 0, 0, 1, 2, 2]
    parts = contributions([0, 0, 0, 0, 0, 0], [1, 2, 3, 10, 4, 6], owner)
    assert parts.values.tolist() == pytest.approx([1, 10 / 6, 10 / 6])
    assert parts.weights.tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 3])
    assert parts.means.tolist() == pytest.approx([2, 10, 5])
    assert parts.difference == pytest.approx(26 / 6)


def test_any_difference_can_be_exchanged_and_undefined_ones_count_as_extreme():
    change = np.array([0.1, 0.3, -0.2, 0.4, 0.2, 0.15])
    parts, signs = contributions(np.zeros(6), change), exchanges(6, 0)
    of_mean = pooled_exchange_p(lambda s: s @ change / 6, signs, change.mean(), 1e-12)
    assert of_mean == exchange_p(parts, signs)
    with_holes = pooled_exchange_p(
        lambda s: np.where(s[:, 0] * s[:, 1] > 0, s @ change / 6, np.nan), signs, change.mean(), 1e-12
    )
    assert with_holes >= 0.5


def test_a_mean_s_exchange_contributions_are_its_contributions():
    change = np.array([0.1, 0.3, -0.2, 0.4, 0.2, 0.15, 0.0])
    alone = (change.sum() - 2 * change) / 7
    parts = exchange_contributions(float(change.mean()), alone, np.ones(7, bool), 1e-12)
    assert parts.values == pytest.approx(change / 7)
    assert parts.weights == pytest.approx(np.full(7, 1 / 7))
    assert parts.values[-1] == 0


def test_groups_that_bear_on_nothing_are_no_evidence():
    """Four of 20 cases of a class change; 37 groups without a case of it change neither test nor interval."""
    change = np.concatenate([np.full(4, -1.0), np.zeros(16)])
    difference = change.mean()
    alone = np.concatenate([difference - 2 * change / 20, np.full(37, difference)])
    bears = np.arange(57) < 20
    parts = exchange_contributions(difference, alone, bears, 1e-12)
    interval = exchange_interval(parts, exchanges(20, 0), 2.0)
    expected = exchange_interval(contributions(np.zeros(20), change), exchanges(20, 0), 2.0)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.low < 0 <= interval.high


def test_what_is_not_of_first_order_is_shared_out_and_nothing_becomes_evidence():
    alone = np.array([0.1, 0.3, 0.2, 0.5, 0.5, 0.35, 0.25, 0.5])
    parts = exchange_contributions(0.5, alone, np.ones(8, bool), 1e-12)
    assert parts.difference == pytest.approx(0.5)
    assert (parts.values == 0).tolist() == (alone == 0.5).tolist()


def test_the_f1_of_groups_of_any_size_has_an_interval_that_agrees_with_its_test():
    rng, signs, apart, refutations = np.random.default_rng(0), exchanges(10, 0), 0, 0

    def f1(counts):
        return 2 * counts[..., 0] / (2 * counts[..., 0] + counts[..., 1] + counts[..., 2])

    for _ in range(100):
        first = rng.integers(0, 30, (10, 3))
        second = np.abs(first + rng.integers(-2, 6, (10, 3)) * [1, 0, 0])

        def change(exchange, first=first, second=second):
            kept = (exchange > 0)[..., None]
            own, other = np.where(kept, first, second).sum(-2), np.where(kept, second, first).sum(-2)
            return f1(other) - f1(own)

        difference, alone = float(change(np.ones((1, 10)))[0]), change(1 - 2 * np.eye(10))
        p = pooled_exchange_p(change, signs, difference, 1e-12)
        parts = exchange_contributions(difference, alone, np.ones(10, bool), 1e-12)
        interval = exchange_interval(parts, signs, 2.0)
        apart += (not interval.low <= 0 <= interval.high) != (p <= 0.05)
        refutations += p <= 0.05
    assert 20 <= refutations <= 60
    assert apart <= 2


def test_the_least_p_is_what_exchanges_of_the_differing_groups_can_give():
    change = np.array([1.0, 1, 1, 1, 0, 0, 0, 0])
    p = exchange_p(contributions(np.zeros(8), change), exchanges(8, 0))
    assert p == least_p(4, 8) == 0.125
    assert least_p(8, 8, family=12) == 12 * 2 / 256
    assert least_p(3, 8, family=12) == 1.0
    assert least_p(200, 200, family=3) == pytest.approx(3e-4)
    assert least_p(5, 200) == 2 / 32


def test_five_hundred_groups_take_well_under_a_second():
    import time

    rng = np.random.default_rng(0)
    parts = contributions(*rng.beta(8, 2, (2, 500)))
    start = time.process_time()
    signs = exchanges(500, 0)
    exchange_p(parts, signs)
    exchange_interval(parts, signs, 1.0)
    assert time.process_time() - start < 1.0


def test_contributions_below_the_noise_are_zero():
    parts = contributions(np.full(6, 300.0), np.full(6, 300.0 + 1e-12))
    assert parts.identical
    assert isinstance(parts, Contributions)
