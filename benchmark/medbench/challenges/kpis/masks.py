"""Masks of KPIs 2024, and scores by group, for both tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.kpis.files import GROUPS
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores, MetricSpec, ratio_column
from medbench.core.score import Score
from medbench.io import eight_bit, raster
from medbench.io.gate.expected import handed_in
from medbench.metrics.arguments import Array
from medbench.metrics.arrays import Mask
from medbench.metrics.official.kpis import grey_pair

THRESHOLD = 127


def read_grey_mask(path: Path) -> npt.NDArray[np.uint8]:
    """A stored mask, ``(height, width)``, grey 0 to 255; channels of a JPEG may differ by artefacts.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt``, or ``data.not_a_label_map`` for a colour
            image, 16 bits, or a mask that never exceeds 127.
    """
    grey, header = raster.read_image_and_header(path)
    if header.white_is_zero:
        raise MedbenchError(
            "data.white_is_zero",
            f"{path}: says that 0 is white, so what its values mean is ambiguous.",
            "Save the mask as PNG, or as TIFF with photometric='minisblack'.",
        )
    if header.palette_falls:
        raise MedbenchError(
            "data.white_is_zero",
            f"{path}: has a palette that shows 0 brighter than 1, so what its values mean is ambiguous.",
            "Save the mask as an 8-bit grey PNG without a palette.",
        )
    if header.turned:
        raise MedbenchError(
            "data.turned",
            f"{path}: has an orientation tag, by which some readers turn the image and others do not.",
            "Save the mask in the orientation of its image, without the tag.",
        )
    if grey.ndim == 3:
        if int(np.ptp(grey.astype(np.int16), axis=2).max(initial=0)) > THRESHOLD // 4:
            raise MedbenchError(
                "data.not_a_label_map", f"{path}: is a colour image, not a mask.", "Give the mask file."
            )
        grey = grey[:, :, 1]
    largest = grey.max(initial=0)
    if grey.dtype != np.uint8 or 0 < largest <= THRESHOLD:
        raise MedbenchError(
            "data.not_a_label_map",
            f"{path}: holds {grey.dtype} values up to {largest}, where masks are 8 bit with 255 inside.",
            "Multiply a 0/1 mask by 255; copy a damaged one again.",
        )
    return np.ascontiguousarray(grey)


def read_binary_prediction(path: Path, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.bool_]:
    """A predicted mask, ``(height, width)``: 0 and 1, 0 and 255, or a JPEG of the latter.

    Args:
        path: the file.
        shape: of its reference, which bounds what it may take.

    Raises:
        MedbenchError: as :func:`medbench.io.eight_bit.read_binary_mask`.
    """
    limits = handed_in(shape)
    if path.suffix.lower() not in eight_bit.LOSSY:
        array: npt.NDArray[np.bool_] = eight_bit.read_binary_mask(path, expected=limits) != 0
        return array
    labels = raster.read_label_map(path, expected=limits)
    if 0 < labels.max(initial=0) <= THRESHOLD:
        raise MedbenchError(
            "data.mask_not_binary",
            f"{path}: holds values up to {labels.max()}, where a JPEG mask has about 255 inside.",
            "Multiply a 0/1 mask by 255.",
        )
    return np.asarray(labels > THRESHOLD)


def checked_arrays(reference: Any, prediction: Any) -> tuple[Array, Mask]:
    """A grey reference and a binary prediction of a caller.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape``, or ``metric.labels`` for a reference of values
            beyond 0 to 255 or none above 127, and for a prediction that is no binary mask.
    """
    grey, mask = grey_pair(reference, prediction)
    if grey.any() and grey.max() <= THRESHOLD:
        raise MedbenchError(
            "metric.labels",
            f"The reference holds values up to {float(grey.max()):g}, where masks have 255 inside.",
            "Multiply a 0/1 mask by 255.",
        )
    return grey, mask


def check_group(group: str, path: Path) -> None:
    """Refuse a file outside the folders of the four groups.

    Raises:
        MedbenchError: ``data.group_unknown``.
    """
    if group not in GROUPS:
        raise MedbenchError(
            "data.group_unknown",
            f"{path}: '{group}' is none of the groups {', '.join(GROUPS)}.",
            "Move it into the folder of its group, which decides the magnification.",
        )


def by_group(name: str, title: str, convention: str) -> list[MetricSpec]:
    """A column for each of the four groups, with scores of the cases of the group."""
    return [ratio_column(f"{name}_{group.lower()}", f"{title} {group}", convention) for group in GROUPS]


def with_group(case: Case, scores: Mapping[str, Score], columns: Sequence[str]) -> CaseScores:
    """Scores of a case with the columns of its group added, and group and slide as evidence.

    Args:
        case: the case; one of another group than :data:`GROUPS` gets no columns of groups.
        scores: column -> score, without the columns of groups.
        columns: columns that :func:`by_group` repeats for each group.
    """
    group = case.facts["group"]
    own = {f"{name}_{group.lower()}": scores[name] for name in columns} if group in GROUPS else {}
    return CaseScores({**scores, **own}, {"group": group, "slide": case.facts["slide"]})
