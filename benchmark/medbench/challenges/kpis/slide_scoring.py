"""Masks of KPIs 2024 slides at the working level, and their scores by every rule, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.challenges.kpis.masks import THRESHOLD
from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.io import slides
from medbench.io.gate.expected import handed_in
from medbench.metrics.masks.banded import MaskRows, PackedMask
from medbench.metrics.masks.instances import Rule, Traced, detect
from medbench.metrics.official.kpis import FULL, full_after_halving, halving_rows

BAND_ROWS = 64
BOTH_EMPTY = "both masks are empty"
NO_OBJECT = "neither mask has an object"
_RULES: dict[str, tuple[Rule, bool]] = {
    "f1": ("clean", False),
    "f1_contour": ("contour", False),
    "f1_kpis_docker": ("official", True),
}

Rows = Callable[[int, int], npt.NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class SlideMasks:
    """Masks of a slide at the working level, with one bit per pixel.

    Attributes:
        reference: where at least half of the scan's pixels are inside.
        docker: the reference as the organisers' program shrinks it; the object ``reference`` where equal.
        prediction: the predicted mask.
        dice: Dice of ``reference`` and ``prediction``.
        dice_docker: Dice of ``docker`` and ``prediction``.
    """

    reference: MaskRows
    docker: MaskRows
    prediction: MaskRows
    dice: Score
    dice_docker: Score


def compare_rows(
    grey: Rows, scan_shape: tuple[int, int], prediction: Rows, shape: tuple[int, int], factor: int
) -> SlideMasks:
    """Masks of a slide at the working level, packed band by band, with their Dice.

    Args:
        grey: rows of the reference as scanned, 0 to 255, from first to last (exclusive).
        scan_shape: height and width of the reference.
        prediction: rows of the prediction at the working level; anything but 0 is inside.
        shape: height and width at the working level.
        factor: 1 or 2.
    """
    reference, answer = PackedMask(shape), PackedMask(shape)
    docker = reference
    counts = np.zeros(5, np.int64)
    for start in range(0, shape[0], BAND_ROWS):
        stop = min(start + BAND_ROWS, shape[0])
        inside, full = _at_working_level(grey, scan_shape, (start, stop), shape[1], factor)
        marks = prediction(start, stop) != 0
        alike = np.array_equal(inside, full)
        if docker is reference and not alike:
            docker = PackedMask(shape)
            docker.bits[:start] = reference.bits[:start]
        if docker is not reference:
            docker.put(start, full)
        reference.put(start, inside)
        answer.put(start, marks)
        at_level = np.count_nonzero(inside), np.count_nonzero(inside & marks)
        at_scan = at_level if alike else (np.count_nonzero(full), np.count_nonzero(full & marks))
        counts += [at_level[0], at_scan[0], np.count_nonzero(marks), at_level[1], at_scan[1]]
    own, official, other, both, both_official = counts.tolist()
    total = own + other
    dice = Score(2 * both / total) if total else Score.undefined(f"{BOTH_EMPTY}: 1 by rule 'agree'", 1.0)
    total = official + other
    dice_docker = (
        Score(2 * both_official / total)
        if total
        else Score.undefined(f"{BOTH_EMPTY}: 1 by the organisers' program", 1.0)
    )
    return SlideMasks(reference, docker, answer, dice, dice_docker)


def _at_working_level(
    grey: Rows, scan_shape: tuple[int, int], rows: tuple[int, int], width: int, factor: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Rows of the reference at the working level, by our rule, and by that of the organisers' docker."""
    if factor == 1:
        values = grey(*rows)
        return values > THRESHOLD, values == FULL
    first, last = halving_rows(*rows, scan_shape[0])
    first, last = min(first, rows[0] * 2), max(last, min(rows[1] * 2, scan_shape[0]))
    values = grey(first, last)
    full = full_after_halving(values, first_row=first, rows=rows, shape=scan_shape)
    own = values[rows[0] * 2 - first : rows[1] * 2 - first].astype(np.uint16)
    lacking = [(0, (rows[1] - rows[0]) * 2 - len(own)), (0, max(0, width * 2 - own.shape[1]))]
    own = np.pad(own, lacking, mode="edge")[:, : width * 2] if np.any(lacking) else own[:, : width * 2]
    total = own[::2, ::2] + own[1::2, ::2] + own[::2, 1::2] + own[1::2, 1::2]
    return total > 4 * THRESHOLD, full


def slide_scores(masks: SlideMasks) -> dict[str, Score]:
    """Scores of a slide in all columns, except the columns of groups."""
    scores = {"dice": masks.dice, "dice_kpis_docker": masks.dice_docker}
    reference, prediction = Traced(masks.reference), Traced(masks.prediction)
    docker = reference if masks.docker is masks.reference else Traced(masks.docker)
    for name, (rule, by_docker) in _RULES.items():
        f1 = detect(docker if by_docker else reference, prediction, rule=rule).f1
        if f1 is not None:
            scores[name] = Score(f1)
        elif rule == "clean":
            scores[name] = Score.undefined(NO_OBJECT)
        else:
            scores[name] = Score.undefined(f"{NO_OBJECT}: 0 by rule 'kpis'", 0.0)
    return scores


def check_pixels(mask: slides.SlideFacts) -> None:
    """Refuse a mask whose pixels do not decode, in bands.

    Raises:
        MedbenchError: ``file.corrupt``.
    """
    with slides.open_slide(mask.path, channels=1) as image:
        for start in range(0, mask.shape[0], BAND_ROWS):
            image.read((start, min(start + BAND_ROWS, mask.shape[0])), (0, mask.shape[1]))


def packed_masks(reference: slides.SlideFacts, prediction: slides.SlideFacts, factor: int) -> SlideMasks:
    """Both masks of a slide from their files, in bands.

    Raises:
        MedbenchError: ``file.corrupt``, ``data.not_a_label_map`` for masks without any value above 127, or
            ``data.mask_not_binary`` for a prediction of other values than 0 and 255, JPEG apart.
    """
    shape = reference.working_shape(factor)
    grey_values = False
    with (
        slides.open_slide(reference.path, channels=1) as grey,
        slides.open_slide(prediction.path, channels=1, expected=handed_in()) as mask,
    ):
        largest = {"reference": 0, "prediction": 0}

        def grey_rows(start: int, stop: int) -> npt.NDArray[np.uint8]:
            values = grey.read((start, stop), (0, reference.shape[1]))
            largest["reference"] = max(largest["reference"], int(values.max(initial=0)))
            return values

        def mask_rows(start: int, stop: int) -> npt.NDArray[np.uint8]:
            values = mask.read((start, stop), (0, shape[1]))
            nonlocal grey_values
            largest["prediction"] = max(largest["prediction"], int(values.max(initial=0)))
            grey_values |= prediction.lossless and int((values + np.uint8(1)).max(initial=0)) > 1
            return (values > THRESHOLD).view(np.uint8)

        masks = compare_rows(grey_rows, reference.shape, mask_rows, shape, factor)
    for facts, value in zip((reference, prediction), largest.values(), strict=True):
        if 0 < value <= THRESHOLD:
            raise MedbenchError(
                "data.not_a_label_map",
                f"{facts.path}: holds values up to {value}, where masks have 255 inside.",
                "Multiply a 0/1 mask by 255.",
            )
    if grey_values:
        raise MedbenchError(
            "data.mask_not_binary",
            f"{prediction.path}: is no binary mask, it holds values between 0 and 255.",
            "Threshold it and write 0 and 255.",
        )
    return masks
