"""Masks of pubic symphysis (PS) and fetal head (FH) in the codings that the challenges IUGC have used."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.label_values import label_values
from medbench.io.gate.meaning import unknown_labels

CODINGS = ((0, 1, 2), (0, 7, 8), (0, 127, 255))
"""Values of background, PS and FH."""


def decode_mask(labels: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    """A mask with labels 0 background, 1 PS and 2 FH, from any of the three codings in circulation.

    Training masks are 0/7/8, validation and test masks 0/127/255, the evaluator's own 0/1/2.

    Raises:
        MedbenchError: ``data.label_unknown`` with the mask's values, when no single coding explains them.
    """
    values = label_values(labels).tolist()
    for coding in CODINGS:
        if set(values) <= set(coding):
            table = np.zeros(256, np.uint8)
            table[list(coding)] = (0, 1, 2)
            array: npt.NDArray[np.uint8] = table[labels]
            return array
    facts = unknown_labels(labels, ())
    raise MedbenchError(
        "data.label_unknown",
        f"{name}: label values {facts} fit no mask coding.",
        "Use 0/1/2, 0/7/8 or 0/127/255 for background, pubic symphysis and fetal head.",
    )
