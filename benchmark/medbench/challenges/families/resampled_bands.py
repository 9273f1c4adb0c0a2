"""Bands of curves: pointwise 95 % intervals of resamples of groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medbench.core.result_table import CaseRow
from medbench.statistics.intervals import LEAST_GROUPS

Floats = npt.NDArray[np.float64]

RESAMPLES = 400
NOTE = f"Bands: pointwise 95 % intervals of {RESAMPLES} resamples of groups."
FEW = "Too few groups for intervals."


def resampled_weights(rows: Sequence[CaseRow]) -> Floats | None:
    """How often each image is drawn, ``(resamples, images)``; ``None`` with too few groups."""
    units, owner = np.unique([row.group or row.case for row in rows], return_inverse=True)
    if len(units) < LEAST_GROUPS:
        return None
    generator = np.random.default_rng(0)
    counts = generator.multinomial(len(units), np.full(len(units), 1 / len(units)), size=RESAMPLES)
    return counts[:, owner].astype(np.float64)


def band(lines: Floats | None) -> tuple[list[float], list[float]]:
    """Ends of the 95 % intervals at each place, over the resamples that have a value there.

    Args:
        lines: ``(resamples, places)``; none for no band.
    """
    if lines is None:
        return [], []
    low, high = np.nanquantile(lines, [0.025, 0.975], axis=0)
    return low.tolist(), high.tolist()
