"""What a definition gives where a mask is empty."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.metrics.engine import metric, score


def outcomes_of_empty_masks(id: str) -> dict[str, str]:
    """The value of a definition for two empty masks, and where only one of them is empty, in words.

    What the definition's rule for empty masks leaves to the formula is computed on masks of one voxel.

    Args:
        id: of a metric that compares masks.

    Returns:
        A number, ``undefined`` or ``diagonal`` for ``both``, ``prediction`` and ``reference``.

    Raises:
        MedbenchError: ``metric.unknown``.

    >>> outcomes_of_empty_masks("hd95.pooled")
    {'both': 'undefined', 'prediction': 'undefined', 'reference': 'undefined'}
    >>> outcomes_of_empty_masks("dice")
    {'both': 'undefined', 'prediction': '0', 'reference': '0'}
    """
    empty = metric(id).empty
    values = {"both": empty.both, "prediction": empty.prediction, "reference": empty.reference}
    return {name: _outcome(id, name) if value is None else _word(value) for name, value in values.items()}


def _word(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _outcome(id: str, empty: str) -> str:
    """The formula's answer on a volume, or on an image where the definition takes no volumes."""
    options: dict[str, Any] = {"tolerance": 1.0} if metric(id).options.get("tolerance", 0) is None else {}
    for axes in (3, 2):
        reference, prediction = np.zeros((2, *[3] * axes), np.uint8)
        centre = (1,) * axes
        reference[centre], prediction[centre] = empty == "prediction", empty == "reference"
        with contextlib.suppress(MedbenchError):
            result = score(id, reference, prediction, spacing=(1.0,) * axes, **options)
            return result.status if result.value is None else f"{result.value:g}"
    return "by the formula"
