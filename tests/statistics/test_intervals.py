"""Intervals are resampled by group and keep their promise."""

import numpy as np
import pytest

from medbench.statistics.intervals import group_interval


def mean_statistic(values):
    def statistic(weights):
        return (weights @ values) / weights.sum(axis=-1)

    return statistic


def skewed_scores(generator, n_groups, n_cases):
    """Dice-like scores, 1 − gamma, with an effect of the patient."""
    group = generator.gamma(1.5, 0.06, n_groups)
    return np.clip(1 - group[:, None] - generator.gamma(1.5, 0.02, (n_groups, n_cases)), 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("n_groups", "n_cases"), [(12, 20), (20, 5), (60, 3)])
def test_coverage_of_the_true_mean(n_groups, n_cases):
    truth = skewed_scores(np.random.default_rng(0), 400_000, 1).mean()
    owner = np.repeat(np.arange(n_groups), n_cases)
    hits = 0
    repeats = 300
    for repeat in range(repeats):
        values = skewed_scores(np.random.default_rng(repeat + 1), n_groups, n_cases).ravel()
        interval = group_interval(mean_statistic(values), owner, values.mean(), (0, 1), resamples=400)
        hits += interval.low <= truth <= interval.high
    assert 0.91 <= hits / repeats <= 0.985


def test_cases_of_one_group_do_not_narrow_the_interval():
    generator = np.random.default_rng(3)
    group_values = generator.normal(0.8, 0.05, 12)
    wide = group_interval(mean_statistic(group_values), np.arange(12), group_values.mean())
    repeated = np.repeat(group_values, 50)
    same = group_interval(mean_statistic(repeated), np.repeat(np.arange(12), 50), repeated.mean())
    assert same.low == pytest.approx(wide.low)
    assert same.high == pytest.approx(wide.high)


def test_methods_by_number_of_groups():
    values = np.random.default_rng(0).normal(0.5, 0.1, 80)
    few = group_interval(mean_statistic(values[:20]), np.arange(20), values[:20].mean())
    many = group_interval(mean_statistic(values), np.arange(80), values.mean())
    two = group_interval(mean_statistic(values[:2]), np.arange(2), values[:2].mean())
    assert few.method.startswith("bootstrap-t")
    assert many.method.startswith("percentile")
    assert (two.low, two.high) == (None, None)


def test_identical_groups_give_a_point():
    interval = group_interval(mean_statistic(np.full(10, 0.7)), np.arange(10), 0.7)
    assert (interval.low, interval.high) == (0.7, 0.7)


@pytest.mark.parametrize(("groups", "given"), [(5, False), (6, True)])
def test_a_handful_of_groups_has_no_interval(groups, given):
    values = np.arange(2.0 * groups)
    interval = group_interval(mean_statistic(values), np.arange(2 * groups) // 2, values.mean())
    assert (interval.low is not None, interval.high is not None) == (given, given)
    assert ("too few" in interval.method) is not given


def test_clipped_to_the_range():
    values = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.4])
    interval = group_interval(mean_statistic(values), np.arange(6), values.mean(), (0.0, 1.0))
    assert 0.0 <= interval.low <= values.mean() <= interval.high <= 1.0


def test_the_jackknife_error_of_a_mean_is_the_standard_error():
    from medbench.statistics.intervals import _jackknife_errors

    values = np.random.default_rng(1).normal(size=15)
    error = _jackknife_errors(mean_statistic(values), np.ones((1, 15)), np.arange(15))[0]
    assert error == pytest.approx(values.std(ddof=1) / 15**0.5)
