"""The official numbers of IUGC 2024 and PSFHS 2023 on label maps of one frame.

Both challenges score the pubic symphysis (``ps``, label 1), the fetal head (``fh``, label 2) and their
union (``all``) by the same class ``Segment`` (``starting_tool_kit/utils/evaluator.py`` of
maskoffs/IUGC2024@bad8150; ``evaluation.py`` of maskoffs/PS-FH-MICCAI23@de5d789), in pixels:

- Dice with one added to numerator and denominator, ``(2|A∩B| + 1) / (|A| + |B| + 1)``;
- Hausdorff distance between the pixel *sets*, maximum, both directions;
- average surface distance over edges found with eight neighbours, where outside the frame is not background.

An empty predicted structure scores 0, 100 and 100, even when the reference is empty too. A reference
structure that is empty while the prediction is not makes the official program raise: the scores are
undefined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.metrics.arguments import Array
from medbench.metrics.arrays import same_shape
from medbench.metrics.masks.pixel_sets import (
    Mask,
    PixelSetDistances,
    bounding_slices,
    join_if_apart,
    pixel_set_distances,
)
from medbench.metrics.tasks.biometry import (
    FETAL_HEAD,
    PUBIC_SYMPHYSIS,
    LandmarkError,
    absolute_difference,
    aop_contour,
    aop_ellipse,
)

Floats = npt.NDArray[np.float64]

STRUCTURES = ("ps", "fh", "all")
EMPTY_PREDICTION_DISTANCE = 100.0
_REASON_REFERENCE_EMPTY = "the reference structure is empty and the prediction is not"
_REASON_FULL = "a structure that fills the frame has no edge"


def _label_map(array: Array, role: str) -> Mask:
    if array.dtype != np.uint8:
        with np.errstate(invalid="ignore"):
            narrow = array.astype(np.uint8)
        if not np.array_equal(narrow, array):
            raise MedbenchError(
                "metric.labels",
                f"The {role} holds values outside 0, 1, 2.",
                "Take the argmax of probabilities; 1 is the symphysis, 2 the head.",
            )
        array = narrow
    if array.max() > FETAL_HEAD:
        raise MedbenchError(
            "metric.labels",
            f"The {role} holds the value {int(array.max())}; labels are 0, 1 (symphysis) and 2 (head).",
            "Map the file's own codes first: 7 and 8, or 127 and 255, are symphysis and head.",
        )
    return np.ascontiguousarray(array)


def _pair(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Mask, Mask]:
    first, second = same_shape(reference, prediction)
    if first.ndim != 2:
        raise MedbenchError(
            "metric.shape",
            f"Reference and prediction are no 2-D label maps: their shape is {first.shape}.",
            "Give one frame, (height, width).",
        )
    return _label_map(first, "reference"), _label_map(second, "prediction")


def _scores_of(distances: PixelSetDistances) -> tuple[Score, Score, Score]:
    """Dice, HD and ASD by the official rule for empty structures."""
    if not distances.n_prediction:
        distance = Score(EMPTY_PREDICTION_DISTANCE)
        return Score(0.0), distance, distance
    if not distances.n_reference:
        no_score = Score.undefined(_REASON_REFERENCE_EMPTY)
        return no_score, no_score, no_score
    dice = Score((2 * distances.n_both + 1) / (distances.n_reference + distances.n_prediction + 1))
    hausdorff = Score(distances.hausdorff)
    if distances.average_surface is None:
        return dice, hausdorff, Score.undefined(_REASON_FULL)
    return dice, hausdorff, Score(distances.average_surface)


def segmentation_scores(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> dict[str, Score]:
    """The nine official segmentation values of one frame.

    Args:
        reference: 2-D label map, 0 background, 1 pubic symphysis, 2 fetal head; any size.
        prediction: the same shape.

    Returns:
        ``dice_ps``, ``hd_ps``, ``asd_ps`` and the same for ``fh`` and ``all``; distances in pixels.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape`` or ``metric.labels``.

    >>> frame = np.zeros((32, 32), np.uint8); frame[4:8, 4:12] = 1; frame[14:30, 10:26] = 2
    >>> moved = np.roll(frame, 2, axis=1)
    >>> scores = segmentation_scores(frame, moved)
    >>> round(scores["dice_ps"].value, 4), scores["hd_fh"].value
    (0.7538, 2.0)
    >>> segmentation_scores(frame, frame * 0)["asd_ps"].value
    100.0
    """
    truth, guess = _pair(reference, prediction)
    box = bounding_slices(np.bitwise_or(truth, guess))
    truth, guess = truth[box], guess[box]
    symphysis, head = (
        pixel_set_distances((truth == label).view(np.uint8), (guess == label).view(np.uint8))
        for label in (PUBIC_SYMPHYSIS, FETAL_HEAD)
    )
    union = join_if_apart(symphysis, head)
    if union is None:
        union = pixel_set_distances((truth != 0).view(np.uint8), (guess != 0).view(np.uint8))
    scores: dict[str, Score] = {}
    for name, distances in zip(STRUCTURES, (symphysis, head, union), strict=True):
        scores[f"dice_{name}"], scores[f"hd_{name}"], scores[f"asd_{name}"] = _scores_of(distances)
    return scores


def _measured(rule: Any, labels: npt.ArrayLike) -> Any:
    try:
        return rule(labels)
    except LandmarkError as error:
        return error


def _attribute(value: Any, name: str) -> Any:
    return value if isinstance(value, LandmarkError) else getattr(value, name)


def ellipse_score(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> Score:
    """Absolute difference in degrees of the angles of progression by the ellipse rule (PSFHS 2023).

    An angle of 0 stands for a mask without an ellipse, on either side, as the organisers count it.

    Args:
        reference: 2-D label map, 1 pubic symphysis, 2 fetal head; any size.
        prediction: a label map of the same image.

    Raises:
        MedbenchError: as :func:`segmentation_scores`.

    >>> rows, columns = np.mgrid[:120, :160]
    >>> frame = np.where((rows - 25) ** 2 / 64 + (columns - 50) ** 2 / 900 < 1, 1, 0)
    >>> frame[(rows - 80) ** 2 / 900 + (columns - 90) ** 2 / 1600 < 1] = 2
    >>> ellipse_score(frame, frame).value
    0.0
    >>> ellipse_score(frame, frame * 0).status
    'failed'
    """
    return _ellipse_score(_pair(reference, prediction))


def _ellipse_score(frames: tuple[Mask, Mask]) -> Score:
    return _ellipse_difference(*(_measured(aop_ellipse, labels) for labels in frames))


def _ellipse_difference(reference: Any, prediction: Any) -> Score:
    score = absolute_difference(reference, prediction)
    if score.status == "ok":
        return score
    angles = [0.0 if isinstance(angle, LandmarkError) else angle for angle in (reference, prediction)]
    reason = f"{score.reason}; its angle counts as 0 (PSFHS 2023)"
    return Score(abs(angles[1] - angles[0]), score.status, reason)


def biometry_scores(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> dict[str, Score]:
    """Absolute differences of the biometry of one frame.

    Args:
        reference: 2-D label map, 1 pubic symphysis, 2 fetal head; any size.
        prediction: a label map of the same image.

    Returns:
        ``aop_contour`` and ``aop_ellipse`` in degrees, ``hsd`` in pixels. Without landmarks in the
        prediction the status is ``failed``, without landmarks in the reference ``undefined``; for the
        contour rule there is then no value (the official program raises), for the ellipse rule the missing
        angle counts as 0, as the organisers of PSFHS 2023 count it.

    Raises:
        MedbenchError: as :func:`segmentation_scores`.

    >>> frame = np.zeros((40, 60), np.uint8); frame[5:8, 10:30] = 1; frame[20:36, 24:44] = 2
    >>> scores = biometry_scores(frame, frame)
    >>> scores["aop_contour"].value, scores["hsd"].value
    (0.0, 0.0)
    >>> biometry_scores(frame, frame * 0)["hsd"].status
    'failed'
    """
    frames = _pair(reference, prediction)
    contours = [_measured(aop_contour, labels) for labels in frames]
    return {
        "aop_contour": absolute_difference(*(_attribute(contour, "aop") for contour in contours)),
        "hsd": absolute_difference(*(_attribute(contour, "hsd") for contour in contours)),
        "aop_ellipse": _ellipse_score(frames),
    }


def _rounded(mean: Any) -> Any:
    return np.round(mean, 8) if isinstance(mean, np.ndarray) else round(mean, 8)


@overload
def psfhs_score(means: Mapping[str, float]) -> float: ...
@overload
def psfhs_score(means: Mapping[str, Floats]) -> Floats: ...
def psfhs_score(means: Mapping[str, float] | Mapping[str, Floats]) -> float | Floats:
    """The score S of PSFHS 2023 from the means over all cases of the nine values and the angle's error.

    A quarter is Dice, an eighth each Hausdorff and average surface distance (of 100 pixels), a half the angle
    of progression (of 180 degrees); the three means over structures are rounded to eight decimals as in
    ``evaluation.py`` of maskoffs/PS-FH-MICCAI23@de5d789. It is not clipped: distances above 100 pixels count
    below zero.

    Args:
        means: ``dice_ps``, ``dice_fh``, ``dice_all``, the same of ``hd`` and ``asd`` in pixels, and
            ``aop_ellipse`` in degrees; numbers, or arrays of one shape with a mean a resample.

    Returns:
        A number, or an array of that shape.

    >>> perfect = {f"{m}_{s}": float(m == "dice") for m in ("dice", "hd", "asd") for s in STRUCTURES}
    >>> psfhs_score({**perfect, "aop_ellipse": 0.0}), psfhs_score({**perfect, "aop_ellipse": 18.0})
    (1.0, 0.95)
    """
    dice, hausdorff, surface = (
        sum(means[f"{metric}_{name}"] for name in STRUCTURES) / len(STRUCTURES)
        for metric in ("dice", "hd", "asd")
    )
    distances = 0.125 * (1 - _rounded(hausdorff / 100)) + 0.125 * (1 - _rounded(surface / 100))
    score: float | Floats = 0.25 * _rounded(dice) + distances + 0.5 * (1 - means["aop_ellipse"] / 180)
    return score
