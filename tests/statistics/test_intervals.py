"""Intervals over groups keep their promise: coverage, range, no jump, no end at the estimate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm

from golden_files import golden
from medbench.core.result_table import CaseRow, MetricSpec, mean_statistic
from medbench.core.score import Score
from medbench.statistics import intervals
from medbench.statistics.intervals import aggregate, group_interval, leave_one_out, standard_error

GOLDEN = golden("paired_r.json")


def mean_of(values):
    values = np.asarray(values, float)

    def statistic(weights):
        return (weights @ values) / weights.sum(axis=-1)

    return statistic


def interval_of(values, bounds=(None, None), **options):
    return group_interval(mean_of(values), np.arange(len(values)), float(np.mean(values)), bounds, **options)


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
        interval = group_interval(mean_of(values), owner, values.mean(), (0, 1), resamples=400)
        hits += interval.low <= truth <= interval.high
    assert 0.91 <= hits / repeats <= 0.985


@pytest.mark.parametrize("n_groups", [8, 12, 20])
def test_coverage_with_many_ties_at_the_best_value(n_groups):
    truth, hits = 0.7 + 0.3 * 0.75, 0
    for repeat in range(600):
        rng = np.random.default_rng(repeat)
        values = np.where(rng.random(n_groups) < 0.7, 1.0, rng.beta(6, 2, n_groups))
        interval = interval_of(values, (0.0, 1.0))
        hits += interval.low <= truth <= interval.high
    assert hits / 600 >= 0.90


@pytest.mark.parametrize("n_groups", [8, 12, 20])
def test_a_tenth_of_the_groups_at_zero_is_covered(n_groups):
    """Exact coverage, by summing over how many groups of a sample are at zero."""
    covered = 0.0
    for bad in range(n_groups + 1):
        interval = interval_of(np.repeat([0.0, 1.0], [bad, n_groups - bad]), (0.0, 1.0))
        covered += binom.pmf(bad, n_groups, 0.1) * (interval.low <= 0.9 <= interval.high)
    assert covered >= 0.95


def test_cases_of_one_group_do_not_narrow_the_interval():
    generator = np.random.default_rng(3)
    group_values = generator.normal(0.8, 0.05, 12)
    wide = group_interval(mean_of(group_values), np.arange(12), group_values.mean())
    repeated = np.repeat(group_values, 50)
    same = group_interval(mean_of(repeated), np.repeat(np.arange(12), 50), repeated.mean())
    assert same.low == pytest.approx(wide.low)
    assert same.high == pytest.approx(wide.high)


def test_the_method_depends_on_the_range_and_not_on_the_number_of_groups():
    values = np.random.default_rng(0).normal(0.5, 0.1, 80)
    for n_groups in (6, 20, 49, 50, 80):
        assert interval_of(values[:n_groups]).method == "bootstrap-t over groups"
        assert interval_of(values[:n_groups], (0.0, None)).method == "bootstrap-t over groups"
        assert interval_of(values[:n_groups], (0.0, 1.0)).method == "Student score interval over groups"
    two = interval_of(values[:2])
    assert (two.low, two.high) == (None, None)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, None), (None, None)])
def test_nothing_jumps_from_forty_nine_to_fifty_groups(bounds):
    values = norm.ppf((np.arange(1, 50) - 0.5) / 49) * 0.05 + 0.7
    fewer, more = interval_of(values, bounds), interval_of([*values, 0.7], bounds)
    width = fewer.high - fewer.low
    assert more.low == pytest.approx(fewer.low, abs=0.1 * width)
    assert more.high == pytest.approx(fewer.high, abs=0.1 * width)


def test_frames_that_are_right_or_wrong_alone_give_wilson_s_interval():
    """With a group a frame, Wilson's formula with t for z; the delete-one variance is p(1 − p) / (n − 1)."""
    values = np.repeat([1.0, 0.0], [17, 5])
    interval = interval_of(values, (0.0, 1.0))
    p, n, t = 17 / 22, 21, 2.079613844727662
    centre = (p + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t / (1 + t**2 / n) * np.sqrt(p * (1 - p) / n + t**2 / (4 * n**2))
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_another_range_is_the_same_on_its_scale():
    values = np.random.default_rng(5).beta(5, 2, 15)
    unit, wide = interval_of(values, (0.0, 1.0)), interval_of(values * 2 - 1, (-1.0, 1.0))
    assert (wide.low, wide.high) == pytest.approx((2 * unit.low - 1, 2 * unit.high - 1), abs=1e-12)


@pytest.mark.parametrize(("n_groups", "bad"), [(8, 0.2), (12, 0.5), (12, 0.0), (20, 0.0), (12, 1 - 1e-6)])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, None), (None, 1.0), (None, None)])
def test_one_bad_group_moves_both_ends_off_the_estimate(n_groups, bad, bounds):
    values = np.append(np.ones(n_groups - 1), bad)
    interval = interval_of(values, bounds)
    assert interval.low < values.mean() < interval.high


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1.0]), min_size=6, max_size=30),
    st.sampled_from([(0.0, 1.0), (0.0, None), (None, 1.0), (None, None)]),
)
def test_ends_stay_in_the_range_and_off_the_estimate(values, bounds):
    interval = interval_of(values, bounds, resamples=300)
    estimate = float(np.mean(values))
    if len(set(values)) == 1:
        assert "all groups agree" in interval.method
        return
    assert interval.low < estimate < interval.high
    low, high = bounds
    assert low is None or interval.low >= low
    assert high is None or interval.high <= high


@pytest.mark.parametrize(("value", "n_groups"), [(1.0, 6), (1.0, 12), (0.0, 12), (0.7, 10)])
def test_groups_that_all_agree_have_an_exact_bound(value, n_groups):
    interval = interval_of(np.full(n_groups, value), (0.0, 1.0))
    others = beta.ppf(0.975, 1, n_groups)
    assert interval.low == pytest.approx(value * (1 - others), abs=1e-12)
    assert interval.high == pytest.approx(value + others * (1 - value), abs=1e-12)
    assert interval.method == "all groups agree: exact bound"


def test_the_exact_bound_covers_whatever_the_other_groups_are():
    for share in (0.01, 0.1, 0.25, 0.4):
        agreeing = (1 - share) ** 12
        bound = interval_of(np.ones(12), (0.0, 1.0))
        missed = agreeing if not bound.low <= 1 - share <= bound.high else 0.0
        assert missed <= 0.025 + 1e-12


@pytest.mark.parametrize("bounds", [(0.0, None), (None, None), (None, 1.0)])
def test_groups_that_agree_in_a_metric_without_range_have_no_interval(bounds):
    interval = interval_of(np.full(10, 0.7), bounds)
    assert (interval.low, interval.high) == (None, None)
    assert "all groups agree" in interval.method


@pytest.mark.parametrize(("groups", "given"), [(5, False), (6, True)])
def test_a_handful_of_groups_has_no_interval(groups, given):
    values = np.arange(2.0 * groups)
    interval = group_interval(mean_of(values), np.arange(2 * groups) // 2, values.mean())
    assert (interval.low is not None, interval.high is not None) == (given, given)
    assert ("too few" in interval.method) is not given


def test_clipped_to_the_range():
    values = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.4])
    interval = group_interval(mean_of(values), np.arange(6), values.mean(), (0.0, 1.0))
    assert 0.0 <= interval.low <= values.mean() <= interval.high <= 1.0


def test_no_interval_where_one_group_decides_whether_there_is_a_value():
    reference = np.array([1.0, 0, 0, 0, 0, 0, 0])

    def needs_a_positive(weights):
        positive = weights @ reference
        return np.where(positive > 0, (weights @ np.arange(7.0)) / weights.sum(axis=-1), np.nan)

    interval = group_interval(needs_a_positive, np.arange(7), 3.0, (0.0, 7.0))
    assert (interval.low, interval.high) == (None, None)
    assert "left out" in interval.method


def test_every_resample_counts(monkeypatch):
    """Ends are the quantiles of all resamples, those without the bad group too."""
    values = np.append(np.ones(7), 0.2)
    seen = {}
    quantile = np.quantile

    def remember(array, *arguments, **options):
        seen["n"] = len(array)
        return quantile(array, *arguments, **options)

    monkeypatch.setattr(np, "quantile", remember)
    interval_of(values, (None, None), resamples=500)
    assert seen["n"] == 500


SKEWED = [np.random.default_rng(n_groups).lognormal(2, 0.6, n_groups) for n_groups in (6, 12, 60)]
ONE_FAR = np.append(np.full(11, 3.0), 9.0)  # a third of the resamples lack it, and their groups agree


@pytest.mark.parametrize("values", [*SKEWED, ONE_FAR], ids=["6", "12", "60", "one far"])
def test_the_bootstrap_t_is_that_of_the_groups_themselves(values):
    """Groups written out as drawn, with the textbook's mean and standard error."""
    n_groups = len(values)
    counts = np.random.default_rng(7).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=1000)
    own_error = values.std(ddof=1) / n_groups**0.5
    studentised = []
    for count in counts:
        drawn = np.repeat(values, count)
        error = max(drawn.std(ddof=1) / n_groups**0.5, 0.1 * own_error)
        studentised.append((drawn.mean() - values.mean()) / error)
    upper, lower = np.quantile(studentised, [0.975, 0.025])
    interval = interval_of(values, (0.0, None), seed=7)
    assert interval.low == pytest.approx(max(0.0, values.mean() - upper * own_error), rel=1e-9)
    assert interval.high == pytest.approx(values.mean() - lower * own_error, rel=1e-9)


@pytest.mark.parametrize("case", GOLDEN["paired"], ids=lambda case: f"n={len(case['first'])}")
def test_the_delete_one_error_of_a_mean_is_the_standard_error(case):
    change = np.array(case["second"]) - np.array(case["first"])
    without = leave_one_out(mean_of(change), np.arange(len(change)))
    assert standard_error(without) == pytest.approx(case["standard_error"], rel=1e-11)
    assert standard_error(without) == pytest.approx(change.std(ddof=1) / len(change) ** 0.5, rel=1e-11)


def test_delete_one_values_of_many_cases_come_in_blocks(monkeypatch):
    values = np.random.default_rng(2).normal(size=40)
    owner = np.arange(40) // 2
    whole = leave_one_out(mean_of(values), owner)
    monkeypatch.setattr(intervals, "_BLOCK_ELEMENTS", 130)
    assert leave_one_out(mean_of(values), owner) == pytest.approx(whole, abs=1e-14)
    assert whole[3] == pytest.approx(np.delete(values, [6, 7]).mean())


def test_an_aggregate_counts_outcomes_and_groups():
    spec = MetricSpec("dice", "Dice", "", "higher", "dice", (0.0, 1.0))
    rows = [CaseRow(f"c{i}", f"g{i // 2}", "ok", {"dice": Score(0.5 + i / 40)}, {}) for i in range(14)]
    rows.append(CaseRow("x", "g0", "failed", {"dice": Score.failed("torn", 0.0)}, {}))
    rows.append(CaseRow("y", "g1", "missing", {"dice": Score.missing("none")}, {}))
    figures = aggregate(mean_statistic, spec, rows)
    assert (figures.scored, figures.failed, figures.missing, figures.undefined) == (14, 1, 1, 0)
    assert figures.groups == 7
    assert figures.value == pytest.approx((sum(0.5 + i / 40 for i in range(14)) + 0) / 15)
    assert 0 <= figures.interval.low < figures.value < figures.interval.high <= 1


@pytest.mark.parametrize("n_groups", [6, 7, 13])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, None), (None, None)])
def test_groups_of_equal_weight_in_a_crooked_statistic_have_no_interval_without_width(n_groups, bounds):
    """1 / n is the same whichever group is left out, and not the estimate: there is no spread to trust."""

    def crooked(weights):
        return 1 / weights.sum(axis=-1)

    interval = group_interval(crooked, np.arange(n_groups), 1 / n_groups, bounds)
    if None in bounds:
        assert (interval.low, interval.high) == (None, None)
    else:
        assert interval.method == intervals.AGREEMENT
        assert interval.low < 1 / n_groups < interval.high
