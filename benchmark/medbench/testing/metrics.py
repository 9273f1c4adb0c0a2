"""The contract of a metric."""

from __future__ import annotations

import doctest
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.metrics.arrays import Mask
from medbench.metrics.convention import Convention
from medbench.metrics.definition_check import check_definition
from medbench.metrics.engine import evaluate_arrays, metric, score
from medbench.metrics.masks.pair import MaskPair

_CLOSE = 1e-9
_COMPARES_ALIKE = ("biometry", "tissues")
_STATES = ("both", "prediction", "reference")


@dataclass(frozen=True, slots=True)
class MaskSample:
    """Two masks of one image, and the step along its axes."""

    name: str
    reference: Mask
    prediction: Mask
    spacing: tuple[float, ...]


def check_metric(id: str | Convention, *, options: Mapping[str, Any] | None = None) -> None:
    """Hold a metric to what its definition promises.

    Checked are: the definition is complete and its example runs; the function is pure (inputs stay as they
    are, the same inputs give the same number) and takes the reference before the prediction; numbers are
    finite and within the range, a perfect prediction is never worse than another one, and what is undefined
    says why. For a metric of masks also: empty masks score what its table declares, ``symmetric`` holds, the
    promises of ``needs_frame=False`` and ``needs_spacing=False`` hold, and :func:`medbench.score` gives what
    :func:`medbench.metrics.evaluate_arrays` gives, for every order of the axes in memory.

    Args:
        id: id of a registered metric, or a definition that need not be registered.
        options: values of the metric's options; 1.0 for those that have no default.

    Raises:
        MedbenchError: ``metric.unknown``; ``metric.definition`` for an incomplete definition;
            ``metric.contract`` with every promise that is broken.
    """
    convention = metric(id)
    check_definition(convention)
    values = {name: 1.0 if value is None else value for name, value in convention.options.items()}
    values |= options or {}
    violations = list(_broken(convention, values))
    if violations:
        raise MedbenchError(
            "metric.contract",
            f"The metric '{convention.id}' breaks its contract:\n"
            + "\n".join(f"  - {violation}" for violation in dict.fromkeys(violations)),
            "See medbench.testing.check_metric.",
        )


def _broken(convention: Convention, options: Mapping[str, Any]) -> Iterator[str]:
    names: dict[str, Any] = {}
    yield from _example(convention, names)
    if not convention.compares_masks:
        yield from _order_of_arguments(convention)
        if {"reference", "prediction"} <= names.keys():
            yield from _of_example(convention, names["reference"], names["prediction"], options)
        return
    n_samples = 0
    for sample in mask_samples():
        try:
            faults = list(_of_sample(convention, sample, options))
        except MedbenchError as error:
            if error.code != "metric.shape":
                raise
            continue
        except Exception as error:  # noqa: BLE001  (whatever the function raises is a broken promise)
            faults = [f"it raises {type(error).__name__}: {error}"]
        n_samples += 1
        yield from (f"{fault} ({sample.name})" for fault in faults)
    if not n_samples:
        yield "it accepts neither 2-D nor 3-D masks"


def _example(convention: Convention, names: dict[str, Any]) -> Iterator[str]:
    """Run the example; ``names`` receives what it defines."""
    if f"score('{convention.id}'" not in convention.example.replace('"', "'"):
        yield f"its example does not call medbench.score('{convention.id}', …)"
        return
    test = doctest.DocTestParser().get_doctest(convention.example, names, convention.id, None, 0)
    output: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    if runner.run(test, out=output.append, clear_globs=False).failed:
        yield f"its example fails: {' '.join(''.join(output).split())}"
    names.update(test.globs)
    if not {"reference", "prediction"} <= names.keys():
        yield "its example does not name its inputs reference and prediction"


def _order_of_arguments(convention: Convention) -> Iterator[str]:
    first = list(inspect.signature(convention.rule).parameters)[:2]
    if [name.rstrip("s") for name in first] != ["reference", "prediction"]:
        yield f"its function takes ({', '.join(first)}, …) instead of (reference, prediction, …)"


def _of_example(
    convention: Convention, reference: Any, prediction: Any, options: Mapping[str, Any]
) -> Iterator[str]:
    spacing = (1.0,) * np.ndim(reference) if convention.needs_spacing else None

    def call(first: Any, second: Any) -> Score:
        return score(convention, first, second, spacing=spacing, **options)

    before = _contents((reference, prediction))
    result = call(reference, prediction)
    yield from _sound(convention, result)
    if call(reference, prediction) != result:
        yield "the same inputs give another number"
    if _contents((reference, prediction)) != before:
        yield "it changes its inputs"
    if convention.family in _COMPARES_ALIKE:
        yield from _direction(convention, call(reference, reference), result)


def _of_sample(convention: Convention, sample: MaskSample, options: Mapping[str, Any]) -> Iterator[str]:
    masks = sample.reference, sample.prediction
    result = _scored(convention, *masks, sample, options)
    yield from _sound(convention, result)
    if _scored(convention, *masks, sample, options) != result:
        yield "the same inputs give another number"
    yield from _direction(convention, _scored(convention, masks[0], masks[0], sample, options), result)
    if convention.symmetric:
        other = _scored(convention, *masks[::-1], sample, options)
        if not _equal(other.value, result.value):
            yield f"it is declared symmetric, but gives {result.value} and {other.value} when exchanged"
    if not convention.needs_frame:
        yield from _frame(convention, sample, options)
    if not convention.needs_spacing:
        yield from _without_spacing(convention, sample, options)
    yield from _doors(convention, sample, options)
    yield from _empty(convention, sample, options)


def _scored(
    convention: Convention,
    reference: Mask,
    prediction: Mask,
    sample: MaskSample,
    options: Mapping[str, Any],
) -> Score:
    return score(convention, reference, prediction, spacing=sample.spacing, **options)


def _in_label_map(
    convention: Convention,
    maps: list[npt.NDArray[Any]],
    label: int,
    sample: MaskSample,
    options: Mapping[str, Any],
) -> Score:
    own_options = {convention.id: options}
    scores = evaluate_arrays(maps[0], maps[1], [convention], [label], sample.spacing, options=own_options)
    return scores[str(label)][convention.id]


def _sound(convention: Convention, result: Score) -> Iterator[str]:
    low, high = convention.range
    if result.value is not None and not low - _CLOSE <= result.value <= high + _CLOSE:
        yield f"{result.value:g} is outside its range [{low:g}, {high:g}]"
    if result.status != "ok" and not result.reason.strip():
        yield f"a score that is {result.status} says no reason"


def _direction(convention: Convention, perfect: Score, other: Score) -> Iterator[str]:
    if perfect.value is None or other.value is None:
        return
    is_signed = convention.better == "lower" and convention.range[0] < 0
    best, value = (abs(s.value or 0.0) if is_signed else s.value or 0.0 for s in (perfect, other))
    worse = best - value if convention.better == "lower" else value - best
    if worse > _CLOSE:
        yield f"'{convention.better}' is better, but the reference itself scores {best:g} beside {value:g}"


def _frame(convention: Convention, sample: MaskSample, options: Mapping[str, Any]) -> Iterator[str]:
    """Whether a part of the image gives what the image gives."""
    masks = sample.reference, sample.prediction
    values = [
        _number(convention.rule, pair, options)
        for pair in (MaskPair(*masks, sample.spacing), MaskPair.cut(*masks, sample.spacing))
    ]
    if not _equal(*values):
        yield (
            f"the image gives {values[0]} and the box around the objects {values[1]}: "
            "declare needs_frame=True"
        )


def _without_spacing(convention: Convention, sample: MaskSample, options: Mapping[str, Any]) -> Iterator[str]:
    """Whether a function that is said to need no spacing works where none is given."""
    try:
        convention.rule(MaskPair(sample.reference, sample.prediction), **options)
    except Exception as error:  # noqa: BLE001  (as in _broken)
        yield f"without spacing it raises {type(error).__name__}: declare needs_spacing=True"


def _doors(convention: Convention, sample: MaskSample, options: Mapping[str, Any]) -> Iterator[str]:
    """Whether one mask alone and one label of a label map score the same."""
    maps = [np.where(mask, np.uint8(2), np.uint8(0)) for mask in (sample.reference, sample.prediction)]
    corner = (slice(0, 2),) * maps[0].ndim
    for labels in maps:
        labels[corner][labels[corner] == 0] = 1
    alone = _scored(convention, sample.reference, sample.prediction, sample, options)
    for name, arrays in (("", maps), (" in Fortran's order", [np.asfortranarray(a) for a in maps])):
        within = _in_label_map(convention, arrays, 2, sample, options)
        if (within.status, within.reason) != (alone.status, alone.reason):
            yield f"evaluate_arrays{name} says {within.status}, score says {alone.status}"
        elif not _equal(within.value, alone.value):
            yield f"evaluate_arrays{name} gives {within.value}, score {alone.value}"


def _empty(convention: Convention, sample: MaskSample, options: Mapping[str, Any]) -> Iterator[str]:
    """Whether empty masks score what the table says, by both doors."""
    nothing = np.zeros_like(sample.reference)
    pairs = {
        "both": (nothing, nothing),
        "prediction": (sample.reference, nothing),
        "reference": (nothing, sample.prediction),
    }
    for state in _STATES:
        rule = getattr(convention.empty, state)
        result = _scored(convention, *pairs[state], sample, options)
        yield from _sound(convention, result) if rule is None else ()
        if result.status != "ok" and not result.reason.strip():
            yield f"empty masks ({state}) are {result.status} without a reason"
        due: float | None = None
        if rule == "diagonal":
            due = MaskPair(*pairs[state], sample.spacing).diagonal
        elif isinstance(rule, (int, float)):
            due = float(rule)
        elif rule is None and convention.family != "surface":
            due = _number(convention.rule, MaskPair(*pairs[state], sample.spacing), options)
        if not _equal(result.value, due):
            yield f"empty masks ({state}) score {result.value} instead of {due}"
        label_maps = [mask.view(np.uint8) for mask in pairs[state]]
        within = _in_label_map(convention, label_maps, 1, sample, options)
        if within != result:
            yield f"empty masks ({state}) score {result.value}, but {within.value} in evaluate_arrays"


def _number(rule: Callable[..., Any], pair: MaskPair, options: Mapping[str, Any]) -> float | None:
    value = rule(pair, **options)
    return None if value is None else float(value)


def _equal(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=1e-12, abs_tol=1e-12)


def _contents(value: Any) -> Any:
    """Contents of a value, to see whether they were changed."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, (list, tuple)):
        return tuple(map(_contents, value))
    if is_dataclass(value):
        return tuple(_contents(getattr(value, field.name)) for field in fields(value))
    return repr(value)


@cache
def mask_samples() -> tuple[MaskSample, ...]:
    """Small pairs of masks: near, at the image's edge, apart, ragged, single elements; 2-D and 3-D."""
    samples = []
    for shape, spacing in (((44, 57), (1.0, 0.5)), ((20, 25, 22), (2.5, 0.8, 0.8))):
        side, ndim = np.array(shape), len(shape)
        kinds = {
            "near": (_ball(shape, side * 0.6, 7), _ball(shape, side * 0.6 + 1, 6)),
            "at the edge": (_ball(shape, (0,) * ndim, 8), _ball(shape, (2, *(0,) * (ndim - 1)), 7)),
            "apart": (_ball(shape, side * 0.3, 5), _ball(shape, side * 0.75, 4)),
            "several": (
                _ball(shape, side * 0.2, 4) | _ball(shape, side * 0.7, 6),
                _ball(shape, side * 0.25, 4) | _ball(shape, side - 2, 2),
            ),
            "ragged": (_ball(shape, side * 0.5, 8), _ball(shape, side * 0.5, 9) & _speckle(shape, 0.8)),
            "scattered": (_speckle(shape, 0.03), _ball(shape, side * 0.4, 6)),
            "single elements": (_ball(shape, side // 2, 1), _ball(shape, side // 2 + 3, 1)),
        }
        for name, (reference, prediction) in kinds.items():
            for mask in (reference, prediction):
                mask.flags.writeable = False
            samples.append(MaskSample(f"{name}, {ndim}-D", reference, prediction, spacing))
    return tuple(samples)


def _ball(shape: tuple[int, ...], center: npt.ArrayLike, radius: float) -> Mask:
    grid = np.ogrid[tuple(slice(0, side) for side in shape)]
    squares = sum((axis - at) ** 2 for axis, at in zip(grid, np.asarray(center).tolist(), strict=True))
    return np.asarray(squares < radius**2)


def _speckle(shape: tuple[int, ...], share: float) -> Mask:
    return np.asarray(np.random.default_rng(5).random(shape) < share)
