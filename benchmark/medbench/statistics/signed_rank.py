"""Wilcoxon's signed-rank test with Pratt's zeros: exact for few differences, normal for many.

Pratt, J. Am. Stat. Assoc. 1959: zeros take part in the ranking and in neither sum. Differences that are equal
but for rounding are tied, and those that are zero but for rounding are zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from medbench.statistics.intervals import NOISE

EXACT_WITH_TIES = 13
"""Differences up to which ties and zeros have their exact distribution, as scipy has them."""
EXACT_WITHOUT_TIES = 50

Alternative = Literal["two-sided", "greater", "less"]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SignedRanks:
    """Signed ranks of differences.

    Attributes:
        ranks: ``(n,)`` mean ranks of the absolute differences, zeros lowest.
        signs: ``(n,)`` −1, 0 or 1.
    """

    ranks: Array
    signs: Array

    @property
    def positive(self) -> float:
        """Sum of the ranks of positive differences."""
        return float(self.ranks[self.signs > 0].sum())

    @property
    def biserial(self) -> float | None:
        """Matched-pairs rank-biserial correlation, −1 … 1: share of ranks for minus share against.

        Zeros are ranked and in neither sum, as in the test. ``None`` when all differences are zero.
        """
        for_it, against = self.positive, float(self.ranks[self.signs < 0].sum())
        return (for_it - against) / (for_it + against) if for_it + against else None


def without_noise(differences: npt.ArrayLike, scale: float = 1.0) -> Array:
    """Differences without the noise of the last bits: equal ones are equal, and zeros are zero.

    Args:
        differences: finite or infinite.
        scale: largest absolute value that was subtracted, if above 1.

    >>> without_noise([0.3 - 0.2, 0.2 - 0.1, (0.1 + 0.2) - 0.3]).tolist()
    [0.1, 0.1, 0.0]
    """
    digits = -math.floor(math.log10(NOISE * max(1.0, scale)) + 0.5)
    return np.asarray(np.round(np.asarray(differences, np.float64), digits) + 0.0, np.float64)


def signed_ranks(differences: npt.ArrayLike) -> SignedRanks:
    """Ranks of absolute differences, mean ranks for ties.

    Args:
        differences: ``(n,)`` as :func:`without_noise` gives them.
    """
    from scipy.stats import rankdata

    values = np.asarray(differences, np.float64)
    return SignedRanks(np.asarray(rankdata(np.abs(values)), np.float64), np.sign(values))


def signed_rank_p(differences: npt.ArrayLike, alternative: Alternative = "two-sided") -> float:
    """p of Wilcoxon's signed-rank test; 1 when all differences are zero.

    Exact up to 50 differences without ties and zeros, and up to 13 with; else by the normal approximation
    with the variance corrected for ties and no correction for continuity. So does
    ``scipy.stats.wilcoxon(differences, zero_method="pratt")``.

    Args:
        differences: ``(n,)`` as :func:`without_noise` gives them.
        alternative: ``greater`` asks whether differences are above zero.

    >>> signed_rank_p([1.0, 2.0, 3.0, 4.0, 5.0])
    0.0625
    """
    values = np.asarray(differences, np.float64)
    if not values.any():
        return 1.0
    sample = signed_ranks(values)
    plain = bool(sample.signs.all()) and len(np.unique(sample.ranks)) == len(sample.ranks)
    if len(values) <= (EXACT_WITHOUT_TIES if plain else EXACT_WITH_TIES):
        below, above = _exact_tails(sample)
    else:
        below, above = _normal_tails(sample)
    if alternative == "two-sided":
        return min(1.0, 2 * min(below, above))
    return above if alternative == "greater" else below


def _exact_tails(sample: SignedRanks) -> tuple[float, float]:
    """P(sum ≤ observed) and P(sum ≥ observed) over all signs of the ranks; ranks are halves, so doubled."""
    doubles = np.rint(2 * sample.ranks[sample.signs != 0]).astype(np.int64)
    counts = np.zeros(int(doubles.sum()) + 1)
    counts[0] = 1.0
    for rank in doubles:
        counts[rank:] = counts[rank:] + counts[: len(counts) - rank]
    double_sum = round(2 * sample.positive)
    total = 2.0 ** len(doubles)
    return float(counts[: double_sum + 1].sum() / total), float(counts[double_sum:].sum() / total)


def _normal_tails(sample: SignedRanks) -> tuple[float, float]:
    from scipy.special import ndtr

    ranks = sample.ranks[sample.signs != 0]
    z = (sample.positive - ranks.sum() / 2) / math.sqrt(float(np.sum(ranks**2)) / 4)
    return float(ndtr(z)), float(ndtr(-z))
