"""Paired tests of two runs on the same cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medbench.core.result_table import CaseRow, MetricSpec, Statistic

PERMUTATIONS = 9999

_MEMORY_ELEMENTS = 2_000_000

Array = npt.NDArray[np.float64]


def permutation_p(of_both: Statistic, owner: npt.NDArray[np.int64], seed: int) -> float | None:
    """Two-sided p of the difference when the two runs' results are exchanged group by group."""
    from scipy.stats import permutation_test

    n_groups = int(owner.max()) + 1

    def exchanged(signs: Array, axis: int = -1) -> Array:
        kept = (np.moveaxis(np.asarray(signs), axis, -1) > 0).astype(float)[..., owner]
        flat = kept.reshape(-1, kept.shape[-1])
        first = of_both(np.concatenate([flat, 1 - flat], axis=-1))
        second = of_both(np.concatenate([1 - flat, flat], axis=-1))
        return np.asarray(second - first).reshape(kept.shape[:-1])

    if n_groups < 2:
        return None
    done = permutation_test(
        (np.ones(n_groups),),
        exchanged,
        permutation_type="samples",
        n_resamples=PERMUTATIONS,
        batch=max(1, _MEMORY_ELEMENTS // len(owner)),
        vectorized=True,
        random_state=np.random.default_rng(seed),
    )
    return float(done.pvalue) if np.isfinite(done.pvalue) else None


def wilcoxon_p(metric: MetricSpec, both: Sequence[CaseRow], owner: npt.NDArray[np.int64]) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test (Pratt's zeros) on the groups' mean differences."""
    from scipy.stats import wilcoxon

    values = np.array([row.scores[metric.name].value for row in both], float)
    changes = values[len(owner) :] - values[: len(owner)]
    means = np.bincount(owner, changes) / np.bincount(owner)
    if len(means) < 2:
        return None
    if not means.any():
        return 1.0
    return float(wilcoxon(means, zero_method="pratt").pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction; missing values stay missing and do not count.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[index] = largest
    return corrected
