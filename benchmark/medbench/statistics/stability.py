"""How stable a ranking is when groups are resampled: rank frequencies, ranges, Kendall's τ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stability:
    """A ranking under resampling.

    Attributes:
        frequencies: entry -> share of the resamples in which it has rank 1, 2, … .
        low: entry -> 2.5 % quantile of its rank.
        high: entry -> 97.5 % quantile.
        tau: median over resamples of Kendall's τ-b with the ranking of all groups; the mean can lie outside
            the range of a skewed τ.
        tau_low: 2.5 % quantile of τ.
        tau_high: 97.5 % quantile.
        resamples: number of resamples.
    """

    frequencies: tuple[tuple[float, ...], ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    tau: float
    tau_low: float
    tau_high: float
    resamples: int


def resampled_groups(n_groups: int, resamples: int, seed: int) -> Array:
    """How often each group is drawn, ``(resamples, groups)``; rows add up to the number of groups."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples).astype(np.float64)


def kendall_tau(ranks: Ranks, resamples: Ranks) -> Array:
    """Kendall's τ-b of one ranking ``(entries,)`` with many ``(n, entries)``.

    Rankings in which all entries are tied agree wholly with one another and not at all with others.

    >>> kendall_tau(np.array([1, 2, 3]), np.array([[1, 2, 3], [3, 2, 1], [1, 1, 1]])).tolist()
    [1.0, -1.0, 0.0]
    """
    first, second = np.triu_indices(len(ranks), 1)
    own = np.sign(ranks[first] - ranks[second])
    other = np.sign(resamples[:, first] - resamples[:, second])
    size = np.sqrt(np.sum(own**2) * np.sum(other**2, axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = other @ own / size
    both_tied = (not own.any()) & ~other.any(axis=1)
    return np.where(size > 0, tau, np.where(both_tied, 1.0, 0.0))


def stability(ranks: Ranks, resamples: Ranks) -> Stability:
    """Rank frequencies, 95 % ranges and Kendall's τ.

    Args:
        ranks: ``(entries,)`` from 1, of all groups; 0 for entries that are not ranked.
        resamples: ``(n, entries)``, of each resample.
    """
    places = np.arange(1, len(ranks) + 1)
    frequencies = (resamples[..., None] == places).mean(axis=0)
    low, high = np.quantile(resamples, [0.025, 0.975], axis=0, method="inverted_cdf").astype(np.int64)
    tau_low, tau, tau_high = np.quantile(kendall_tau(ranks, resamples), [0.025, 0.5, 0.975])
    return Stability(
        tuple(tuple(map(float, row)) for row in frequencies),
        tuple(map(int, low)),
        tuple(map(int, high)),
        float(tau),
        float(tau_low),
        float(tau_high),
        len(resamples),
    )
