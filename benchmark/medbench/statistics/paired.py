"""Paired comparison of two runs: signed sums over groups, their interval, equivalence, correction.

The two runs' results are exchanged group by group. For a mean over cases this turns the sign of the group's
contribution to the difference, so that one sum of signed contributions gives the p-value, and the differences
that the same test does not refute are the interval: it excludes 0 exactly when p is at most 0.05. For any
other statistic, such as the F1 of all frames, the test exchanges the groups themselves, and the interval is
that of what the exchange of each group alone changes.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.statistics.intervals import LEAST_GROUPS, NOISE, Interval, agreement_bound

PERMUTATIONS = 9999
EXACT_GROUPS = 13
"""Groups up to which all exchanges are gone through; beyond, ``PERMUTATIONS`` are drawn."""
LEVEL = 0.05
INVERSION = "exchange test inverted, by group"
FIRST_ORDER = "exchange test inverted to first order, by group"
"""For what is no mean over cases: its p is exact and this interval is not, so that they may disagree."""
IDENTICAL = "the runs agree in every group"
_MEMORY_ELEMENTS = 2_000_000

Array = npt.NDArray[np.float64]
Change = Callable[[Array], Array]
"""From ``(n, groups)`` signs to ``(n,)`` differences; −1 exchanges the two runs' results of a group."""


@dataclass(frozen=True, slots=True)
class Contributions:
    """Contributions of each group to a difference of two means.

    Attributes:
        values: ``(groups,)``; they add up to the difference.
        weights: ``(groups,)`` the groups' shares of the cases; they add up to 1.
        noise: absolute size below which a sum of ``values`` is rounding.
    """

    values: Array
    weights: Array
    noise: float

    @property
    def difference(self) -> float:
        """The difference of the two means."""
        return float(self.values.sum())

    @property
    def identical(self) -> bool:
        """Whether no group differs by more than rounding."""
        return bool(np.abs(self.values).max() <= self.noise)

    @property
    def means(self) -> Array:
        """Mean difference of each group, ``(groups,)``."""
        return np.asarray(self.values / self.weights)


def mean_contributions(first: Array, second: Array, owner: npt.NDArray[np.int64]) -> Contributions:
    """Contributions to ``mean(second) − mean(first)``.

    Args:
        first: ``(cases,)`` values of the first run.
        second: ``(cases,)`` values of the second run on the same cases.
        owner: ``(cases,)`` group index of each case, 0 … groups − 1.
    """
    size = max(1.0, float(np.abs(first).max()), float(np.abs(second).max()))
    values = np.bincount(owner, second - first) / len(owner)
    noise = NOISE * size
    return Contributions(
        np.where(np.abs(values) > noise, values, 0.0), np.bincount(owner) / len(owner), noise
    )


@functools.lru_cache(maxsize=2)
def exchanges(n_groups: int, seed: int) -> Array:
    """Signs ``(n, groups)`` of exchanges: all up to 13 groups, else none exchanged and 9,999 drawn ones.

    The array is read-only, since the comparisons of one population share it.
    """
    if n_groups <= EXACT_GROUPS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n_groups)))
    else:
        random_signs = np.random.default_rng(seed).integers(0, 2, (PERMUTATIONS, n_groups)) * 2.0 - 1
        signs = np.concatenate([np.ones((1, n_groups)), random_signs])
    signs.flags.writeable = False
    return signs


def exchange_p(contributions: Contributions, signs: Array) -> float:
    """Two-sided p of a difference of means: share of exchanges whose signed sum is no smaller in size.

    Args:
        contributions: of the groups.
        signs: as :func:`exchanges` gives them.

    >>> exchange_p(mean_contributions(np.zeros(6), np.arange(1.0, 7), np.arange(6)), exchanges(6, 0))
    0.03125
    """
    sums = np.abs(signs @ contributions.values)
    return float(np.mean(sums >= abs(contributions.difference) - contributions.noise))


def exchange_interval(
    contributions: Contributions, signs: Array, range_of_differences: float | None
) -> Interval:
    """95 % interval of a difference of means: all shifts that the exchange test does not refute.

    An exchange is as extreme under a shift when the shift lies between the mean difference of the exchanged
    groups and that of the others; the ends are therefore order statistics of such means, and lie within the
    range of the groups' differences.

    Args:
        contributions: of the groups.
        signs: as :func:`exchanges` gives them.
        range_of_differences: the largest possible size of a difference; ``None`` if there is none.
    """
    n_groups = len(contributions.values)
    if contributions.identical:
        return Interval(0.0, 0.0, IDENTICAL)
    if n_groups < LEAST_GROUPS:
        return Interval(None, None, f"{n_groups} groups are too few for an interval")
    means = contributions.means
    if np.ptp(means) <= 2 * contributions.noise * n_groups:
        both = (None, None) if range_of_differences is None else (-range_of_differences, range_of_differences)
        return agreement_bound(contributions.difference, n_groups, both)
    weight = (1 + signs @ contributions.weights) / 2
    sums = (contributions.difference + signs @ contributions.values) / 2
    whole = np.abs(signs.sum(axis=1)) == n_groups
    with np.errstate(invalid="ignore", divide="ignore"):
        of_kept = sums / weight
        of_exchanged = (contributions.difference - sums) / (1 - weight)
    lower = np.where(whole, -np.inf, np.minimum(of_kept, of_exchanged))
    upper = np.where(whole, np.inf, np.maximum(of_kept, of_exchanged))
    position = math.floor(LEVEL * len(signs) + 1e-9)
    ends = np.array([np.partition(lower, position)[position], -np.partition(-upper, position)[position]])
    ends[np.abs(ends) <= contributions.noise * n_groups] = 0.0
    return Interval(float(ends[0]), float(ends[1]), INVERSION)


def exchange_contributions(
    difference: float, alone: Array, bears: npt.NDArray[np.bool_], noise: float
) -> Contributions:
    """Contributions to a difference that is no difference of means, to first order.

    A group contributes half of what its exchange changes, so that groups in which the runs agree contribute
    nothing. What is not of first order is shared out by size; groups that bear on the value weigh alike.

    Args:
        difference: with all groups.
        alone: ``(groups,)`` the difference with one group exchanged.
        bears: ``(groups,)`` whether a run's value depends on the group; that of a class does not on groups
            without a case of it, which are left out.
        noise: absolute size below which a difference is rounding.
    """
    halves = (difference - alone[bears]) / 2
    values = np.where(np.abs(halves) <= noise, 0.0, halves)
    sizes = np.abs(values)
    if sizes.any():
        values = values + (difference - values.sum()) * sizes / sizes.sum()
    return Contributions(values, np.full(len(values), 1 / len(values)), noise)


def pooled_exchange_p(change: Change, signs: Array, difference: float, noise: float) -> float:
    """Two-sided p of any difference, evaluated for each exchange; undefined ones count as extreme.

    Args:
        change: the difference under exchanges.
        signs: as :func:`exchanges` gives them.
        difference: without exchange.
        noise: absolute size below which a difference is rounding.
    """
    block = max(1, _MEMORY_ELEMENTS // max(1, signs.shape[1]))
    extreme = 0
    for start in range(0, len(signs), block):
        sizes = np.abs(change(signs[start : start + block]))
        extreme += int(np.count_nonzero(~(sizes < abs(difference) - noise)))
    return extreme / len(signs)


def least_p(n_differing: int, n_groups: int, family: int = 1) -> float:
    """The smallest two-sided p that exchanges can give, after Holm's correction of its strongest hypothesis.

    Args:
        n_differing: groups in which the runs differ; the others' exchange changes nothing.
        n_groups: all groups; beyond 13, exchanges are drawn and no p lies below 1 in 10,000.
        family: number of hypotheses.

    >>> least_p(6, 6), least_p(6, 6, family=2), least_p(0, 6)
    (0.03125, 0.0625, 1.0)
    """
    least = 2.0 ** (1 - n_differing)
    if n_groups > EXACT_GROUPS:
        least = max(least, 1 / (PERMUTATIONS + 1))
    return min(1.0, least * family)


def equivalence_p(difference: float, error: float, n_groups: int, margin: float) -> float:
    """p of two one-sided t tests (Schuirmann): small when the difference lies within ± ``margin``.

    Args:
        difference: between the runs.
        error: its standard error by group.
        n_groups: number of groups; t has one degree of freedom less.
        margin: the largest difference that does not matter, above 0.
    """
    from scipy.special import stdtr

    if error == 0:
        return 0.0 if abs(difference) < margin else 1.0
    return float(stdtr(n_groups - 1, -(margin - abs(difference)) / error))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction; missing values stay missing and do not count.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    in_order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    p_holm: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(in_order):
        largest = max(largest, min(1.0, p * (len(in_order) - rank)))
        p_holm[index] = largest
    return p_holm
