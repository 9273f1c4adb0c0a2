"""Arguments of callers as numbers, labels and choices; what is none of them is refused by its name."""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.text import first_line

Array = npt.NDArray[Any]
Label = int | Collection[int]

_OTHER_KINDS = {"U": "text", "S": "text", "T": "text", "c": "complex numbers", "M": "dates", "m": "times"}


def numbers(values: Any, name: str, *, finite: bool = False) -> Array:
    """An argument as an array of numbers or truth values, in its own type and order.

    Lists, memory maps, tensors in main memory, frames of pandas and arrays of xarray are arrays too.

    Args:
        values: what the caller gave.
        name: of the argument, for the error.
        finite: whether NaN and infinity are refused.

    Raises:
        MedbenchError: ``metric.array`` for text, objects, complex numbers, ragged lists, tensors that need a
            gradient or lie on a device, and masked elements; ``metric.not_finite``.

    >>> numbers([[0, 1]], "reference").shape
    (1, 2)
    """
    array = values if type(values) is np.ndarray else _array(values, name)
    kind = array.dtype.kind
    if kind not in "biuf":
        raise MedbenchError(
            "metric.array",
            f"The {name} is no array of numbers but of {_OTHER_KINDS.get(kind, 'objects')}.",
            "Give whole numbers, truth values or, where the metric takes them, fractions.",
        )
    if finite and kind == "f" and not np.isfinite(array).all():
        raise MedbenchError("metric.not_finite", f"The {name} holds NaN or infinity.", "Correct its values.")
    return array


def _array(values: Any, name: str) -> Array:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise MedbenchError(
            "metric.array",
            f"The {name} has masked elements, which have no value.",
            "Fill them by array.filled(…), or cut them out of reference and prediction.",
        )
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MedbenchError(
            "metric.array",
            f"The {name} is no array of numbers: {first_line(error)}",
            "Give an array; of a tensor that needs a gradient or lies on a device tensor.detach().cpu().",
        ) from error


def check_label(label: Any) -> Label:
    """A label, or the labels of a union, as integers.

    Raises:
        MedbenchError: ``metric.labels`` for text, fractions, or no label at all.

    >>> check_label(2), check_label({1.0, 3})
    (2, (1, 3))
    """
    if type(label) is int:
        return label
    values = numbers(list(label) if isinstance(label, Set) else label, "label", finite=True)
    if values.ndim > 1 or not values.size or not np.array_equal(values, np.rint(values)):
        raise MedbenchError(
            "metric.labels",
            f"The label {label!r} is neither a whole number nor several.",
            "Give one of the label map's values, or several for their union.",
        )
    whole: int | list[int] = values.astype(np.int64).tolist()
    return whole if isinstance(whole, int) else tuple(sorted(whole))


def check_choice(value: Any, name: str, choices: Collection[Any]) -> None:
    """Refuse an option that is none of its possible values.

    Raises:
        MedbenchError: ``metric.option`` with the possible values.
    """
    if value not in list(choices):
        raise MedbenchError(
            "metric.option", f"There is no {name} {value!r}.", f"Known: {', '.join(map(str, choices))}."
        )
