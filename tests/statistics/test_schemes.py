"""Ranking schemes against R, grand-challenge.org's numbers, brute force; missing values never help."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from golden_files import golden
from medbench.statistics import schemes
from medbench.statistics.ranking import significance_ranks
from medbench.statistics.schemes import case_column, cumulative_rank_p, cumulative_rank_scores, ranks_of_ranks
from medbench.statistics.stability import kendall_tau, resampled_groups, stability

GOLDEN = golden("rankings_r.json")["boards"]
SCHEMES = {
    "aggregate": schemes.aggregate_then_rank,
    "median": schemes.median_then_rank,
    "rank_then_aggregate": schemes.rank_then_aggregate,
    "test": schemes.significance_then_rank,
}
CUMULATIVE = {**SCHEMES, "cumulative": lambda column, weights: schemes.cumulative_rank([column], weights)}
NAN = float("nan")


def column_of(values, better="higher", bounds=(0.0, 1.0), owner=None):
    values = np.asarray(values, float)
    return case_column("m", values, np.arange(values.shape[1]) if owner is None else owner, better, bounds)


def ranks(scheme, column, n_groups=None):
    n_groups = int(column.owner.max(initial=-1)) + 1 if n_groups is None else n_groups
    return scheme(column, np.ones((1, n_groups)))[0].tolist()


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("board", GOLDEN, ids=lambda board: board["name"])
def test_ranks_equal_r_s(board, name):
    better = "higher" if board["higher"] else "lower"
    column = column_of(board["values"], better, (None, None))
    assert ranks(SCHEMES[name], column) == board[name]


@pytest.mark.parametrize(
    "board", [b for b in GOLDEN if "ties" not in b["name"]], ids=lambda board: board["name"]
)
def test_p_values_of_test_then_rank_equal_r_s(board):
    """R leaves zero differences out where Pratt's method keeps them; these boards have none.

    In the worst case R takes differences that are equal but for rounding as different, which moves its p in
    the sixth digit.
    """
    tolerance = 1e-5 if "worst" in board["name"] else 1e-12
    values = np.array(board["values"]) * (1 if board["higher"] else -1)
    ones = np.ones((1, values.shape[1]))
    for first, second in itertools.combinations(range(len(values)), 2):
        ours = schemes._weighted_signed_rank_ps(values[first], values[second], ones)
        theirs = board["p"][first][second], board["p"][second][first]
        assert [float(p[0]) for p in ours] == pytest.approx(theirs, abs=tolerance)


@pytest.mark.parametrize("name", CUMULATIVE)
def test_a_resample_ranks_as_its_groups_written_out(name):
    rng = np.random.default_rng(4)
    values = rng.beta(8, 3, (5, 12))
    values[1, 3] = NAN
    column = column_of(values, bounds=(None, None))
    for counts in resampled_groups(12, 20, 1):
        written = column_of(np.repeat(values, counts.astype(int), axis=1), bounds=(None, None))
        resample = CUMULATIVE[name](column, counts[None])[0].tolist()
        assert resample == ranks(CUMULATIVE[name], written)


def test_small_boards_of_challenger_s_documented_behaviour():
    one = column_of([[0.6], [0.8]], "lower", (None, None))
    assert ranks(schemes.aggregate_then_rank, one) == ranks(schemes.rank_then_aggregate, one) == [1, 2]
    tied = column_of([[0.6, 0.4], [0.6, 0.4]], "lower", (None, None))
    for scheme in SCHEMES.values():
        assert ranks(scheme, tied) == [1, 1]
    missing = column_of([[NAN], [0.8]], "higher", (None, None))
    assert ranks(schemes.rank_then_aggregate, missing) == [2, 1]
    four = [[0.2] * 4, [1.0] * 4]
    assert ranks(schemes.significance_then_rank, column_of(four, "lower", (None, None))) == [1, 2]
    assert ranks(schemes.significance_then_rank, column_of(four, "higher", (None, None))) == [2, 1]
    two = [[0.6] * 2, [0.8] * 2]
    assert ranks(schemes.significance_then_rank, column_of(two, "lower", (None, None))) == [1, 1]


BOARD = [[0.0, 0.0], [0.5, 0.2], [1.0, 0.3], [0.7, 0.4], [0.5, 0.5], [1.0, NAN], [NAN, 0.3]]
"""The board of grand-challenge.org's own test, test_calculate_ranks at comic/grand-challenge.org@0716096."""
PLATFORM = {
    ("absolute", 1, 1): [6, 4, 1, 3, 4, 1, 0],
    ("absolute", 1, -1): [6, 4, 1, 3, 4, 1, 0],
    ("absolute", -1, 1): [1, 2, 5, 4, 2, 5, 0],
    ("absolute", -1, -1): [1, 2, 5, 4, 2, 5, 0],
    ("median", 1, 1): [5, 4, 1, 1, 1, 0, 0],
    ("median", 1, -1): [3, 2, 1, 3, 5, 0, 0],
    ("median", -1, 1): [2, 2, 5, 2, 1, 0, 0],
    ("median", -1, -1): [1, 2, 4, 4, 3, 0, 0],
    ("mean", 1, 1): [5, 4, 1, 1, 1, 0, 0],
    ("mean", 1, -1): [3, 2, 1, 3, 5, 0, 0],
    ("mean", -1, 1): [2, 2, 5, 2, 1, 0, 0],
    ("mean", -1, -1): [1, 2, 4, 4, 3, 0, 0],
}


@pytest.mark.parametrize(("how", "first", "second"), PLATFORM)
def test_grand_challenge_s_own_board(how, first, second):
    goodness = np.array(BOARD) * [first, second]
    assert ranks_of_ranks(goodness[None], how)[0].tolist() == PLATFORM[how, first, second]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("how", ["absolute", "mean", "median"])
def test_random_boards_rank_by_sorting_as_grand_challenge_does(seed, how):
    rng = np.random.default_rng(seed)
    board = np.round(rng.normal(size=(int(rng.integers(2, 9)), int(rng.integers(1, 5)))), 1)
    per_metric = np.array([rankdata(-column, method="min") for column in board.T]).T
    scores = {"absolute": per_metric[:, 0], "mean": per_metric.mean(1), "median": np.median(per_metric, 1)}[
        how
    ]
    order = sorted(range(len(board)), key=lambda entry: scores[entry])
    expected = [0] * len(board)
    for position, entry in enumerate(order):
        before = order[position - 1]
        same = position > 0 and abs(scores[before] - scores[entry]) < 1e-9
        expected[entry] = expected[before] if same else position + 1
    assert ranks_of_ranks(board[None], how)[0].tolist() == expected


def test_the_cumulative_rank_is_the_mean_of_ranks_over_cases_and_metrics():
    rng = np.random.default_rng(8)
    dice, distance = np.round(rng.beta(8, 3, (4, 7)), 1), rng.gamma(2, 3, (4, 7))
    columns = [column_of(dice), column_of(distance, "lower", (0.0, None))]
    expected = np.mean(
        [rankdata(-dice[:, case]) for case in range(7)] + [rankdata(distance[:, case]) for case in range(7)],
        axis=0,
    )
    assert cumulative_rank_scores(columns, np.ones((1, 7)))[0] == pytest.approx(expected)


def test_the_cumulative_rank_s_p_exchanges_ranks_by_group():
    rng = np.random.default_rng(9)
    values, owner = rng.beta(8, 3, (3, 10)), np.repeat(np.arange(5), 2)
    p = cumulative_rank_p([column_of(values, owner=owner)], 5)
    per_case = np.array([rankdata(-values[:, case]) for case in range(10)]).T
    change = np.add.reduceat(per_case[1] - per_case[0], np.arange(0, 10, 2))
    sums = np.array(list(itertools.product((1, -1), repeat=5))) @ change
    assert p[0][1] == p[1][0] == pytest.approx((np.abs(sums) >= abs(change.sum()) - 1e-9).mean())
    assert p[0][0] is None


def test_the_significance_map_is_corrected_over_all_ordered_pairs():
    rng = np.random.default_rng(2)
    base = rng.beta(8, 3, 12)
    column = column_of([base, base - 0.1 - rng.uniform(0, 0.01, 12), base - 0.2 - rng.uniform(0, 0.01, 12)])
    chart = schemes.significance_map(column)
    least = 2.0**-12
    assert chart[0][1] == pytest.approx(6 * least)
    assert chart[1][0] == 1.0
    assert [chart[entry][entry] for entry in range(3)] == [None] * 3


def test_groups_are_tested_as_a_whole():
    rng = np.random.default_rng(3)
    single = rng.beta(8, 3, (3, 8))
    repeated = column_of(np.repeat(single, 30, axis=1), owner=np.repeat(np.arange(8), 30))
    assert ranks(schemes.significance_then_rank, repeated) == ranks(
        schemes.significance_then_rank, column_of(single)
    )
    assert schemes.significance_map(repeated) == schemes.significance_map(column_of(single))


def test_noise_of_the_last_bit_separates_nobody():
    values = np.tile(np.linspace(0.1, 0.9, 9), (3, 1))
    values[1] += 1e-16
    values[2] = values[2] * 3 / 3
    for scheme in CUMULATIVE.values():
        assert ranks(scheme, column_of(values)) == [1, 1, 1]
    assert set(significance_ranks(dict(enumerate(values)), True).values()) == {1}


@pytest.mark.parametrize("name", CUMULATIVE)
@settings(deadline=None, max_examples=300)
@given(st.data())
def test_losing_a_value_never_improves_a_rank(name, data):
    better, bounds = data.draw(
        st.sampled_from(
            [("higher", (0.0, 1.0)), ("lower", (0.0, None)), ("lower", (0.0, 1.0)), ("higher", (None, 1.0))]
        )
    )
    entries, cases = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 8))
    cell = st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0, NAN])
    values = np.array(data.draw(st.lists(cell, min_size=entries * cases, max_size=entries * cases)))
    values = values.reshape(entries, cases)
    entry, case = data.draw(st.integers(0, entries - 1)), data.draw(st.integers(0, cases - 1))
    fewer = values.copy()
    fewer[entry, case] = NAN
    scheme = CUMULATIVE[name]
    before = ranks(scheme, column_of(values, better, bounds), cases)[entry]
    after = ranks(scheme, column_of(fewer, better, bounds), cases)[entry]
    assert after >= before


def test_losing_a_value_never_improves_a_rank_by_significance():
    rng = np.random.default_rng(6)
    for _ in range(60):
        values = np.round(rng.beta(5, 3, (3, 9)) + 0.1 * np.arange(3)[:, None], 1)
        values[rng.random(values.shape) < 0.05] = NAN
        entry, case = int(rng.integers(3)), int(rng.integers(9))
        fewer = values.copy()
        fewer[entry, case] = NAN
        before = significance_ranks(dict(enumerate(values)), True)[entry]
        assert significance_ranks(dict(enumerate(fewer)), True)[entry] >= before


def test_in_tests_who_lacks_a_value_loses_to_who_does_not():
    """Ties and their variance would else let a lost value take a win from a rival."""
    values = np.array([[0.7, 0.6, 0.7, 0.8, 0.5], [1.0, 0.5, 0.9, 1.0, 0.7], [1.0, 0.6, 0.7, 0.9, 1.0]])
    fewer = values.copy()
    fewer[0, 3] = NAN
    for bounds in ((None, 1.0), (0.0, 1.0)):
        assert ranks(schemes.significance_then_rank, column_of(fewer, bounds=bounds))[0] == 3
    assert significance_ranks(dict(enumerate(fewer)), True)[0] == 3
    fewer[1, 0] = NAN
    assert significance_ranks(dict(enumerate(fewer)), True) == {0: 2, 1: 2, 2: 1}
    assert ranks(schemes.significance_then_rank, column_of(fewer)) == [2, 2, 1]
    whole = np.array([[0.5, NAN], [0.6, NAN]])
    assert significance_ranks(dict(enumerate(whole)), True) == {0: 1, 1: 1}


def test_cases_that_nobody_has_a_value_for_are_left_out():
    values = np.array([[0.5, NAN, 0.9], [0.6, NAN, 0.7]])
    column = column_of(values, "lower", (0.0, None))
    assert column.goodness.shape == (2, 2)
    assert column.silent.tolist() == [1]
    assert ranks(schemes.aggregate_then_rank, column, 3) == [2, 1]


def test_losing_the_only_value_of_a_case_never_improves_a_rank_by_the_median():
    """Leaving the third case out once nobody has it would put the first entry ahead, 0.55 to 0.25."""
    first, second = [0.1, 1.0, 0.0], [0.2, 0.3, NAN]
    assert ranks(schemes.median_then_rank, column_of([first, second], bounds=(None, 1.0))) == [2, 1]
    fewer = column_of([[0.1, 1.0, NAN], second], bounds=(None, 1.0))
    assert ranks(schemes.median_then_rank, fewer, 3) == [2, 1]


def test_a_missing_value_is_the_worst_of_the_range_or_worse_than_all():
    dice = column_of([[0.9, NAN], [0.4, 0.3]])
    assert dice.aggregate(np.ones((1, 2)))[0].tolist() == pytest.approx([0.45, 0.35])
    distance = column_of([[1.0, NAN], [80.0, 90.0]], "lower", (0.0, None))
    assert ranks(schemes.aggregate_then_rank, distance) == [2, 1]


def test_kendall_s_tau_is_scipy_s():
    from scipy.stats import kendalltau

    rng = np.random.default_rng(5)
    own, others = rng.integers(1, 5, 6), rng.integers(1, 5, (30, 6))
    expected = [kendalltau(own, other).statistic for other in others]
    assert kendall_tau(own, others) == pytest.approx(expected)
    assert kendall_tau(np.ones(3, int), np.array([[1, 1, 1], [1, 2, 3]])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(("swapped", "low", "high"), [(2, (1, 2), (1, 2)), (4, (1, 1), (2, 2))])
def test_ranges_of_ranks_hold_what_lies_between_the_2_5_and_the_97_5_percentile(swapped, low, high):
    resampled = np.array([[2, 1]] * swapped + [[1, 2]] * (100 - swapped))
    result = stability(np.array([1, 2]), resampled)
    assert (result.low, result.high) == (low, high)
    assert result.frequencies[0] == pytest.approx(((100 - swapped) / 100, swapped / 100))


def test_stability_of_two_entries_has_closed_form_frequencies():
    """Entry a is ahead in one of three groups by 3, b in two by 1: b is ahead iff the first is not drawn."""
    column = column_of([[0.9, 0.1, 0.1], [0.6, 0.2, 0.2]])
    weights = resampled_groups(3, 20_000, 0)
    own = schemes.aggregate_then_rank(column, np.ones((1, 3)))[0]
    resampled = schemes.aggregate_then_rank(column, weights)
    result = stability(own, resampled)
    assert result.frequencies[1][0] == pytest.approx((2 / 3) ** 3, abs=0.01)
    assert result.frequencies[0][0] == pytest.approx(1 - (2 / 3) ** 3, abs=0.01)
    assert (result.low, result.high) == ((1, 1), (2, 2))
    assert kendall_tau(own, resampled).mean() == pytest.approx(1 - 2 * (2 / 3) ** 3, abs=0.02)
    assert (result.tau_low, result.tau, result.tau_high) == (-1.0, 1.0, 1.0)
    assert result.resamples == 20_000


def test_frequencies_of_entries_that_never_change_places():
    column = column_of(np.array([[0.9], [0.5], [0.7]]) + np.linspace(0, 0.1, 10))
    weights = resampled_groups(10, 200, 0)
    assert (weights.sum(axis=1) == 10).all()
    result = stability(np.array([1, 3, 2]), schemes.aggregate_then_rank(column, weights))
    assert result.frequencies == ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0))
    assert (result.low, result.high, result.tau, result.tau_low) == ((1, 3, 2), (1, 3, 2), 1.0, 1.0)


def test_a_skewed_tau_lies_within_its_own_range():
    """One resample of a hundred turns the ranking around: the mean, 0.98, lies below the whole range."""
    resampled = np.array([[1, 2]] * 99 + [[2, 1]])
    result = stability(np.array([1, 2]), resampled)
    assert kendall_tau(np.array([1, 2]), resampled).mean() < result.tau_low
    assert result.tau_low <= result.tau <= result.tau_high
    agreed = stability(np.array([1, 2]), np.array([[1, 2]] * 10))
    assert (agreed.tau_low, agreed.tau, agreed.tau_high) == (1.0, 1.0, 1.0)
