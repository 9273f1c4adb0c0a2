"""Masks of pubic symphysis (PS) and fetal head (FH): the codings of the files, the columns of the scores.

PSFHS 2023 and IUGC 2024 score both structures and their union by the same program.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.label_values import label_values
from medbench.core.result_table import MetricSpec
from medbench.core.score import Better, Score, Status
from medbench.io.gate.meaning import unknown_labels

CODINGS = ((0, 1, 2), (0, 7, 8), (0, 127, 255))
"""Values of background, PS and FH."""
STRUCTURES = {"ps": "PS", "fh": "FH", "all": "PS+FH"}
PENALTY_PX = 100.0
"""HD and ASD of an empty prediction in the official program."""
_MEASURES: tuple[tuple[str, str, str, Better, str, tuple[float, float | None]], ...] = (
    ("dice", "Dice", "", "higher", "dice.plus_one", (0.0, 1.0)),
    ("hd", "HD", "px", "lower", "hd.set", (0.0, None)),
    ("asd", "ASD", "px", "lower", "asd.edge8", (0.0, None)),
)


def segmentation_columns(headline: Collection[str] = ()) -> tuple[MetricSpec, ...]:
    """Columns of Dice, Hausdorff and average surface distance for PS, FH and their union.

    Args:
        headline: structures whose distances stand in the short table; every Dice does.
    """
    return tuple(
        MetricSpec(
            f"{metric}_{key}", f"{title} {name}", unit, better, convention, bounds,
            headline=metric == "dice" or key in headline,
        )
        for metric, title, unit, better, convention, bounds in _MEASURES
        for key, name in STRUCTURES.items()
    )  # fmt: skip


def worst_segmentation(status: Status, reason: str) -> dict[str, Score]:
    """Scores of a failed or missing mask: those of an empty prediction in the official program."""
    return {
        spec.name: Score(0.0 if spec.better == "higher" else PENALTY_PX, status, reason)
        for spec in segmentation_columns()
    }


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
