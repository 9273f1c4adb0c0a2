"""Arrays of callers as binary masks: checks of types, labels, shapes and spacing; bounding boxes; ratios."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.label_values import label_values
from medbench.core.text import agreeing, named
from medbench.metrics.arguments import Array, Label, numbers

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, ...]
Spacing = tuple[float, ...]
SpacingLike = Sequence[float] | npt.NDArray[Any] | Literal["pixel"]
"""Step along each array axis in mm, or ``"pixel"``: distances then count array elements."""

_MAX_LABELS, _FEW_LABELS = 1 << 12, 8


def same_shape(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Array, Array]:
    """Reference and prediction as arrays of one shape.

    Raises:
        MedbenchError: ``metric.array``; ``metric.shape`` when the shapes differ, have no axis or no element.
    """
    first, second = numbers(reference, "reference"), numbers(prediction, "prediction")
    if first.shape != second.shape:
        raise MedbenchError(
            "metric.shape",
            f"The reference has shape {first.shape}, the prediction {second.shape}.",
            "Resample the prediction to the reference's grid, or check the order of the axes.",
        )
    if not first.ndim or not first.size:
        raise MedbenchError(
            "metric.shape",
            f"Reference and prediction hold {'nothing' if first.ndim else 'one number'}: their shape is "
            f"{first.shape}.",
            "Give masks with at least one axis and one element.",
        )
    return first, second


def check_spacing(spacing: SpacingLike | None, ndim: int) -> Spacing:
    """The spacing along each of ``ndim`` axes.

    Raises:
        MedbenchError: ``metric.spacing`` when it is not given, has another length or is not positive.
    """
    if spacing is None:
        raise MedbenchError(
            "metric.spacing",
            "A distance needs the spacing of the array.",
            'Pass spacing=(…) in mm, one number per array axis, or spacing="pixel" for distances in pixels.',
        )
    if isinstance(spacing, str):
        if spacing != "pixel":
            raise MedbenchError(
                "metric.spacing", f"Unknown spacing '{spacing}'.", 'Give numbers in mm, or "pixel".'
            )
        return (1.0,) * ndim
    try:
        steps = tuple(float(step) for step in spacing)
    except (TypeError, ValueError) as error:
        raise MedbenchError(
            "metric.spacing",
            f"Spacing {spacing!r} is no row of numbers.",
            "Give one positive number per array axis, in the order of the axes.",
        ) from error
    if len(steps) != ndim or not all(0 < step < np.inf for step in steps):
        raise MedbenchError(
            "metric.spacing",
            f"Spacing {steps} does not fit an array of {ndim} {agreeing(ndim, 'axis', 'axes')}.",
            "Give one positive number per array axis, in the order of the axes.",
        )
    return steps


def first_axis_is_nearest(array: Array) -> bool:
    """Whether neighbours along the first axis lie closest in memory, as in Fortran's order."""
    return array.ndim > 1 and array.strides == tuple(sorted(array.strides))


def as_mask(array: Array, label: Label | None, role: str) -> Mask:
    """The foreground of a mask (``label=None``), or one label or a union of labels of a label map.

    No copy is made of boolean arrays and of 0/1 bytes.

    Raises:
        MedbenchError: ``metric.labels`` for several non-zero values without ``label``, fractions, NaN and
            infinity.
    """
    if label is not None:
        if array.dtype.kind == "f":
            array = whole_numbers(array, role)
        if isinstance(label, Collection):
            return _union(array, sorted(label))
        return np.asarray(array == label)
    if array.dtype == np.bool_:
        return array
    largest = array.max()
    if array.dtype == np.uint8 and largest <= 1:
        return array.view(np.bool_)
    value = largest if largest != 0 else array.min()
    if array.dtype.kind == "f" and not float(value).is_integer():
        raise _ambiguous(array, role)
    mask = np.asarray(array != 0)
    if value != 0 and not np.array_equal(array == value, mask):
        raise _ambiguous(array, role)
    return mask


def _union(array: Array, labels: Sequence[int]) -> Mask:
    if len(labels) > _FEW_LABELS or not labels:
        column_major = first_axis_is_nearest(array)
        mask = np.isin(array.T if column_major else array, np.asarray(labels))
        return mask.T if column_major else mask
    union = np.asarray(array == labels[0])
    for label in labels[1:]:
        union |= array == label
    return union


def _ambiguous(array: Array, role: str) -> MedbenchError:
    values = label_values(array)
    examples = named([f"{value:g}" for value in values])
    whole = array.dtype.kind != "f" or all(float(value).is_integer() for value in values)
    if not whole:
        hint = "Threshold probabilities first; give NaN and infinity a side."
    else:
        hint = "Pass label=… (a number, or several for their union)."
    return MedbenchError("metric.labels", f"The {role} is not a binary mask: it holds {examples}.", hint)


def whole_numbers(array: Array, role: str) -> Array:
    """A label map as integers in native byte order; booleans as bytes.

    Raises:
        MedbenchError: ``metric.labels`` when it holds fractions, NaN or infinity.
    """
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind in "ui":
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    with np.errstate(invalid="ignore"):
        integers = array.astype(np.int32)
    if not np.array_equal(integers, array):
        raise MedbenchError(
            "metric.labels",
            f"The {role} holds fractions, NaN or infinity: it is not a label map.",
            "Threshold probabilities or take their argmax first.",
        )
    return integers


def with_labels(array: Array, labels: Collection[int], role: str) -> Array:
    """A label map as integers, which holds no other labels.

    Raises:
        MedbenchError: ``metric.labels`` with the first of the others.

    >>> with_labels(np.array([0.0, 4.0]), (0, 1, 2, 4), "reference").tolist()
    [0, 4]
    """
    whole = whole_numbers(array, role)
    others = sorted(set(label_values(whole).tolist()) - set(labels))
    if others:
        raise MedbenchError(
            "metric.labels",
            f"The {role} holds {named([str(value) for value in others])}; labels are "
            f"{', '.join(map(str, labels))}.",
            "Give the labels of the challenge's files.",
        )
    return whole


def labels_of(*arrays: Array) -> npt.NDArray[np.int64]:
    """Labels that occur in any of the arrays of whole numbers, sorted, with 0.

    Raises:
        MedbenchError: ``metric.labels`` for more than 4,096 different ones.

    >>> labels_of(np.array([[3, -2], [3, 3]])).tolist()
    [-2, 0, 3]
    """
    labels: set[int] = {0}
    for array in arrays:
        if array.size:
            labels.update(label_values(array).tolist())
    if len(labels) > _MAX_LABELS:
        raise MedbenchError(
            "metric.labels",
            f"The label maps hold {len(labels):,} different values.",
            "This looks like an image or like instance numbers; a label map has a few classes.",
        )
    return np.array(sorted(labels), np.int64)


def bounding_box(mask: Mask) -> Box | None:
    """Slices around the true elements; None when there are none.

    >>> bounding_box(np.array([[0, 0, 0], [0, 1, 0]], bool))
    (slice(1, 2, None), slice(1, 2, None))
    """
    box: list[slice] = []
    plane = mask
    while True:
        profile = np.asarray(plane.any(axis=tuple(range(1, plane.ndim))))
        first = int(profile.argmax()) if len(profile) else 0
        if not len(profile) or not profile[first]:
            return None
        last = len(profile) - int(profile[::-1].argmax())
        box.append(slice(first, last))
        if plane.ndim == 1:
            return tuple(box)
        plane = np.asarray(plane[first:last].any(axis=0))


def some_element(shape: tuple[int, ...]) -> Box:
    """The box of the first element, for masks without objects; an empty box for an empty array."""
    return tuple(slice(0, min(1, side)) for side in shape)


def union_box(first: Box, second: Box) -> Box:
    """The smallest box around two boxes."""
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True)
    )


def ratio(
    numerator: npt.NDArray[np.float64], denominator: npt.NDArray[np.float64], otherwise: float = np.nan
) -> npt.NDArray[np.float64]:
    """The quotients, and another number where the denominator is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, otherwise)
