"""What of a comparison of two folders can be refused before any file is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.core.writable import refuse_unwritable
from medbench.metrics.convention import Convention
from medbench.metrics.engine import evaluate_maps
from medbench.metrics.masks.label_maps import LabelMaps
from medbench.running.folder_settings import FolderSettings

_OF_SETTINGS = ("metric.empty_policy", "metric.family", "metric.spacing")
"""Codes of errors that every pair would give."""


def refuse_settings(conventions: Sequence[Convention], settings: FolderSettings) -> None:
    """Refuse settings that no pair of label maps can be scored by, tried on two small masks.

    Raises:
        MedbenchError: ``metric.none`` without a metric, ``metric.family`` for a metric of something else than
            masks, ``metric.labels`` for labels that are no whole numbers, ``metric.empty_policy`` for an
            unknown rule, ``metric.spacing`` for a spacing that is none.
    """
    if not conventions:
        raise MedbenchError(
            "metric.none",
            "No metric is named.",
            "For example --metrics dice; see 'medbench metrics'.",
        )
    labels = () if settings.labels is None else settings.labels
    if isinstance(labels, str) or not all(isinstance(label, int | np.integer) for label in labels):
        raise MedbenchError(
            "metric.labels", f"labels={labels!r} are no whole numbers.", "For example [1, 2]."
        )
    spacing = settings.spacing
    axes = 2 if spacing is None or isinstance(spacing, str) else len(spacing)
    mask = np.ones((2,) * axes, np.uint8)
    try:
        evaluate_maps(
            LabelMaps(mask, mask), conventions, (1,), spacing or (1.0,) * axes, empty=settings.empty
        )
    except MedbenchError as error:
        if error.code in _OF_SETTINGS:
            raise
    except Exception:  # noqa: BLE001 - what else a metric cannot do is told of the pairs
        return


def refuse_output(output: Path, *folders: Path) -> None:
    """Refuse a file for the rows that cannot be written, or that lies among the files that are scored.

    Raises:
        MedbenchError: ``output.unwritable``.
    """
    refuse_unwritable(output)
    place = output.resolve()
    for folder in folders:
        if folder.resolve() in (place, *place.parents):
            raise MedbenchError(
                "output.unwritable",
                f"{output}: lies in {folder}, whose files are scored.",
                "Name a file elsewhere.",
            )
