"""Identities that hold between metrics of one comparison; a record that breaks one is not published.

They catch faults of a harness, not of a model: a swapped argument, a stale cache, a value in the wrong
column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.core.text import counted
from medbench.metrics.engine import metric

_TOLERANCE = 1e-9
_NOT_ABOVE = (
    ("hd95.pooled", "hd"),
    ("hd95.max", "hd"),
    ("hd95.nearest_rank", "hd"),
    ("hd95.area", "hd.area"),
    ("assd.pooled", "hd"),
    ("assd.mean_of_directed", "hd"),
    ("assd.area", "hd.area"),
    ("asd.prediction_to_reference", "hd"),
    ("asd.reference_to_prediction", "hd"),
    ("ahd.set", "hd.set"),
    ("iou", "dice"),
    ("dice", "dice.plus_one"),
)
_PERFECT = ("dice", "iou")
_ZERO_WHEN_PERFECT = (
    "hd", "hd.set", "hd.area", "hd95.pooled", "hd95.max", "hd95.nearest_rank", "hd95.area",
    "assd.pooled", "assd.mean_of_directed", "assd.area", "ahd.set", "asd.edge8",
    "asd.prediction_to_reference", "asd.reference_to_prediction",
)  # fmt: skip


def _measured(scores: Mapping[str, Score]) -> dict[str, float]:
    return {
        id: score.value for id, score in scores.items() if score.status == "ok" and score.value is not None
    }


def violations(scores: Mapping[str, Score]) -> Iterator[str]:
    """Broken identities between the scores of one structure of one case, each as a sentence.

    Only scores with status ``ok`` take part: a value that a rule assigned to an empty mask or a failed case
    obeys that rule, not these identities.

    Args:
        scores: metric id -> score, all of the same pair of masks and in the same unit.

    >>> list(violations({"dice": Score(0.5), "iou": Score(0.5)}))
    ['iou 0.5 is not dice/(2 - dice) = 0.333333']
    """
    values = _measured(scores)
    for id, value in values.items():
        low, high = metric(id).range
        if not low - _TOLERANCE <= value <= high + _TOLERANCE:
            yield f"{id} {value:g} is outside its range [{low:g}, {high:g}]"
    yield from _identities(values)
    for smaller, larger in _NOT_ABOVE:
        if smaller in values and larger in values and values[smaller] > values[larger] + _TOLERANCE:
            yield f"{smaller} {values[smaller]:g} is larger than {larger} {values[larger]:g}"
    for perfect in _PERFECT:
        if values.get(perfect) == 1:
            yield from (
                f"{perfect} is 1, but {id} is {values[id]:g} instead of 0"
                for id in _ZERO_WHEN_PERFECT
                if values.get(id, 0) > _TOLERANCE
            )


def _identities(values: Mapping[str, float]) -> Iterator[str]:
    dice = values.get("dice")
    if dice is None:
        return
    if "iou" in values and abs(values["iou"] - dice / (2 - dice)) > _TOLERANCE:
        yield f"iou {values['iou']:g} is not dice/(2 - dice) = {dice / (2 - dice):g}"
    if "precision" in values and "sensitivity" in values:
        total = values["precision"] + values["sensitivity"]
        mean = 2 * values["precision"] * values["sensitivity"] / total if total else 0.0
        if abs(dice - mean) > _TOLERANCE:
            yield f"dice {dice:g} is not the harmonic mean {mean:g} of precision and sensitivity"


def _structures(columns: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Columns by structure, the part after the last underscore: ``dice_ps`` and ``hd_ps`` belong together."""
    structures: dict[str, dict[str, str]] = {}
    for column, id in columns.items():
        structure = column.rpartition("_")[2] if "_" in column else ""
        structures.setdefault(structure, {})[id] = column
    return structures


def check_case(case: str, scores: Mapping[str, Score], conventions: Mapping[str, str]) -> None:
    """Refuse a case whose scores contradict one another.

    Args:
        case: id of the case, for the message.
        scores: column -> score.
        conventions: column -> metric id; columns whose id is not registered are left out.

    Raises:
        MedbenchError: ``record.invariant``, naming the case and every identity that is broken.
    """
    from medbench.metrics.catalogue import METRICS

    ids = {column: id for column, id in conventions.items() if column in scores and id in METRICS}
    structures = {
        structure: {id: scores[column] for id, column in columns.items()}
        for structure, columns in _structures(ids).items()
    }
    check_structures(case, structures)


def check_structures(case: str, structures: Mapping[str, Mapping[str, Score]]) -> None:
    """Refuse a case whose scores of one structure contradict one another.

    Args:
        case: id of the case, for the message.
        structures: structure -> metric id -> score.

    Raises:
        MedbenchError: ``record.invariant``, naming the case and every identity that is broken.
    """
    faults = [
        f"{structure}: {violation}" if structure else violation
        for structure, scores in structures.items()
        for violation in violations(scores)
    ]
    if faults:
        raise MedbenchError(
            "record.invariant",
            f"Case {case}: {'; '.join(faults)}.",
            "The scores of this case cannot all be right; nothing was published.",
        )


def check_counts(what: str, total: int, **parts: int) -> None:
    """Refuse denominators that do not add up.

    Raises:
        MedbenchError: ``record.invariant``.

    >>> check_counts("dice", 5, scored=3, failed=1, missing=1)
    """
    if sum(parts.values()) != total or min(parts.values(), default=0) < 0:
        counts = ", ".join(f"{count} {name}" for name, count in parts.items())
        raise MedbenchError(
            "record.invariant",
            f"{what}: {counts} do not add up to {counted(total, 'case')}.",
            "Nothing was published.",
        )
