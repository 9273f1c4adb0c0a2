"""Columns of declared label maps: metrics by id, structure by structure, and the rules for empty masks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medbench.challenges.declared.declaration import Declaration
from medbench.core.errors import MedbenchError
from medbench.core.result_table import MetricSpec
from medbench.core.score import Score, Status
from medbench.metrics.convention import Convention, empty_policy
from medbench.metrics.engine import evaluate_arrays, list_metrics, metric

DEFAULTS = {2: ("dice", "iou", "hd95.pooled"), 3: ("dice", "hd95.pooled")}
"""Metrics where a declaration names none, by number of axes."""

EMPTY = {"overlap": "definition", "nsd": "zero_if_one", "surface": "diagonal_if_one"}
"""Rule for empty masks where a declaration names none, by family of metrics."""

_TOLERANCE = re.compile(r"(?P<id>[^@]+)(?:@(?P<number>\d+(?:\.\d+)?)(?P<unit>mm|px))?")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a declared challenge.

    Attributes:
        spec: the column.
        convention: its metric.
        structure: name of the label; empty for the mean over all.
        tolerance: distance that counts as none, of surface shares.
        empty: rule for empty masks.
    """

    spec: MetricSpec
    convention: Convention
    structure: str = ""
    tolerance: float | None = None
    empty: str = "definition"


def columns_of(declaration: Declaration, structures: Mapping[str, int], axes: int) -> tuple[Column, ...]:
    """Columns of a declaration: each metric's mean over the structures, then by structure.

    Raises:
        MedbenchError: ``declaration.entry`` for unknown metrics, rules and tolerances.
    """
    columns = []
    entries = declaration.metrics or DEFAULTS[axes]
    rules = dict(declaration.empty)
    for entry in entries:
        columns += _of_metric(declaration, entry, structures, rules, first=entry == entries[0])
    strange = [key for key in rules if key != "*" and all(key != one.convention.id for one in columns)]
    if strange:
        raise declaration.error("empty", f"names '{strange[0]}', which is no metric of it", "Remove it.")
    return tuple(columns)


def _of_metric(
    declaration: Declaration,
    entry: str,
    structures: Mapping[str, int],
    rules: Mapping[str, str],
    *,
    first: bool,
) -> list[Column]:
    convention, tolerance = _parsed(declaration, entry)
    rule = rules.get(convention.id) or rules.get("*") or _empty_rule(convention)
    try:
        empty_policy(rule)
    except MedbenchError as error:
        raise declaration.error("empty", f"gives {convention.id} the rule '{rule}'", error.hint) from error
    length = "px" if declaration.spacing == "pixel" else "mm"
    unit = {"1": "", "mm": length}.get(convention.unit, convention.unit)
    low, high = convention.range
    if declaration.missing == "worst" and convention.better == "lower" and np.isinf(high) and unit != length:
        raise declaration.error(
            "missing", f"is 'worst', and {convention.id} has no worst value", 'Set missing = "undefined".'
        )
    bounds = (None if np.isinf(low) else low, None if np.isinf(high) else high)
    title = entry.replace("hd95", "HD95").replace("dice", "Dice").replace("iou", "IoU")
    name = _slug(entry)
    specs = [("", name, title)]
    if len(structures) > 1:
        specs += [(label, f"{name}_{_slug(label)}", f"{title} {label}") for label in structures]
    return [
        Column(
            MetricSpec(
                column, heading, unit, convention.better, convention.id, bounds, headline=not label or first
            ),
            convention, label, tolerance, rule,
        )
        for label, column, heading in specs
    ]  # fmt: skip


def _parsed(declaration: Declaration, entry: str) -> tuple[Convention, float | None]:
    match = _TOLERANCE.fullmatch(entry)
    id = match["id"] if match else entry
    try:
        convention = metric(id)
    except MedbenchError as error:
        named_after = list_metrics(f"{id}.*")
        hint = f"Name its convention: {', '.join(named_after)}." if named_after else error.hint
        raise declaration.error("metrics", f"names '{entry}'", hint) from error
    if not convention.compares_masks:
        raise declaration.error("metrics", f"names {id}, which compares no masks", "See 'medbench metrics'.")
    needs = "tolerance" in convention.options
    length = "px" if declaration.spacing == "pixel" else "mm"
    if match is None or needs != (match["number"] is not None) or (needs and match["unit"] != length):
        form = f"{id}@2{length}" if needs else id
        raise declaration.error("metrics", f"names '{entry}'", f"With these spacings write {form}.")
    return convention, float(match["number"]) if needs else None


def _empty_rule(convention: Convention) -> str:
    if convention.family != "surface":
        return EMPTY["overlap"]
    return EMPTY["nsd"] if convention.better == "higher" else EMPTY["surface"]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def score_columns(
    columns: Sequence[Column],
    structures: Mapping[str, int],
    pair: tuple[Any, Any],
    spacing: tuple[float, ...] | str | None,
) -> dict[str, Score]:
    """Scores of a pair of label maps by column; distances are undefined without spacing."""
    scores: dict[str, Score] = {}
    for key in dict.fromkeys((column.convention.id, column.tolerance) for column in columns):
        own = [column for column in columns if (column.convention.id, column.tolerance) == key]
        convention, tolerance, rule = own[0].convention, own[0].tolerance, own[0].empty
        if convention.needs_spacing and spacing is None:
            scores |= {one.spec.name: Score.undefined("the file states no voxel size") for one in own}
            continue
        values = evaluate_arrays(
            *pair,
            [convention.id],
            structures,
            spacing,  # type: ignore[arg-type]
            empty=rule,
            options={} if tolerance is None else {convention.id: {"tolerance": tolerance}},
        )
        by_name = {name: entry[convention.id] for name, entry in values.items()}
        for one in own:
            scores[one.spec.name] = by_name[one.structure] if one.structure else _mean(by_name)
    return scores


def _mean(by_name: Mapping[str, Score]) -> Score:
    """Mean over the structures that have a value."""
    if len(by_name) == 1:
        return next(iter(by_name.values()))
    values = [score.value for score in by_name.values() if score.value is not None]
    if not values:
        return Score.undefined(next(iter(by_name.values())).reason or "no structure has a value")
    return Score(float(np.mean(values)))


def worst_scores(
    columns: Sequence[Column],
    shape: Sequence[int],
    spacing: tuple[float, ...] | str | None,
    status: Status,
    reason: str,
    missing: str = "worst",
) -> dict[str, Score]:
    """Scores of a failed or missing prediction: the least share, the image's diagonal; or none."""
    steps = (
        None if spacing is None else np.ones(len(shape)) if isinstance(spacing, str) else np.array(spacing)
    )
    diagonal = None if steps is None else float(np.linalg.norm(np.array(shape) * steps[-len(shape) :]))
    scores = {}
    for column in columns:
        low, high = column.spec.bounds
        worst = low if column.spec.better == "higher" else high if high is not None else diagonal
        if missing == "undefined" or worst is None:
            scores[column.spec.name] = Score.undefined(f"{status}: {reason}")
        else:
            scores[column.spec.name] = Score(float(worst), status, reason)
    return scores


def failure_rule(declaration: Declaration) -> str:
    """The declared rule for failed and missing cases in words."""
    if declaration.missing == "undefined":
        return "Failed and missing cases have no score and enter no mean (declared)."
    length = "pixels" if declaration.spacing == "pixel" else "mm"
    return f"The least share, and for distances the image's diagonal in {length} (declared: worst)."
