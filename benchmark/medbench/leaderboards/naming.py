"""Names of a table's rows: rows that differ in anything read differently."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medbench.leaderboards.training_budget import missed_budget

Row = Mapping[str, Any]

_MARK = re.compile(r" \[[^\[\]]*\]")
_NOT_SETTINGS = ("cases", "plugins", "substitute")


def entry_names(rows: Sequence[Row]) -> list[str]:
    """Titles of a table's rows, in their order.

    A name is the title with recipe, its changed settings and the model's options, then the marks. Where rows
    would read alike, seeds, settings, weights, code and at last the key are added, as far as they differ.

    Args:
        rows: of one table, as ``results.jsonl`` holds them.
    """
    names = [_title(row) for row in rows]
    ends = ["".join(f" [{mark}]" for mark in marks(row)) for row in rows]
    for fact in (_seeds, _settings, _weights, _plugins, _code, _key):
        names = _apart(names, ends, rows, fact)
    return [name + end for name, end in zip(names, ends, strict=True)]


def without_common_marks(names: Sequence[str]) -> list[str]:
    """The names for a plot, without the marks that all of them have, which its table's title says.

    >>> without_common_marks(["A [subset 2 of 9]", "B [substitute] [subset 2 of 9]"])
    ['A', 'B [substitute]']
    """
    own = [_MARK.findall(name) for name in names]
    common = [mark for mark in dict.fromkeys(own[0]) if all(mark in other for other in own)] if own else []
    if len(names) < 2:
        return list(names)
    shorter = list(names)
    for mark in common:
        shorter = [name.replace(mark, "") for name in shorter]
    return shorter


def marks(row: Row) -> list[str]:
    """Marks of a row that a reader must know before comparing: reference, untrained weights, subset …"""
    own, settings = [], row.get("settings") or {}
    if row.get("mark") or row.get("reference_row"):
        own.append(str(row.get("mark") or "reference"))
    has_own_weights = "model_sha256" in settings
    if row.get("weights") == "none" and row.get("parameters") and not has_own_weights:
        own.append("untrained")
    elif row.get("untrained_parts"):
        own.append("partly untrained")
    if settings.get("substitute"):
        own.append("substitute")
    own += [shortfall] if (shortfall := missed_budget(row)) else []
    if row.get("subset"):
        own.append(f"subset {row['present_cases']} of {row['released_cases']}")
    return own


def without_seed(row: Row) -> str:
    """Key that rows share which differ in nothing but seeds, and so in their weights."""
    names = ("model", "title", "options", "recipe", "recipe_changes", "training_split", "settings", "weights",
             "mark", "reference_row", "untrained_parts", "code_sha256")  # fmt: skip
    facts = {name: row.get(name) for name in names}
    changes = {name: value for name, value in (row.get("recipe_changes") or {}).items() if name != "seed"}
    return json.dumps({**facts, "recipe_changes": changes}, sort_keys=True)


def _title(row: Row) -> str:
    changes = {name: value for name, value in (row.get("recipe_changes") or {}).items() if name != "seed"}
    recipe = [str(row["recipe"])] if row.get("recipe") else []
    parts = ["; ".join([*recipe, *_pairs(changes)])] if recipe or changes else []
    parts += [", ".join(_pairs(row.get("options") or {}))] if row.get("options") else []
    return str(row["title"]) + "".join(f" ({part})" for part in parts)


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()
    ]


def _apart(
    names: Sequence[str], ends: Sequence[str], rows: Sequence[Row], fact: Callable[[Row, Sequence[Row]], str]
) -> list[str]:
    """The names with a fact of each row behind those that read alike, marks included, and differ in it."""
    alike: dict[tuple[str, str], list[Row]] = {}
    for name, end, row in zip(names, ends, rows, strict=True):
        alike.setdefault((name, end), []).append(row)
    longer = []
    for name, end, row in zip(names, ends, rows, strict=True):
        same = alike[name, end]
        words = fact(row, same) if len(same) > 1 else ""
        longer.append(f"{name}, {words}" if words else name)
    return longer


def _seeds(row: Row, same: Sequence[Row]) -> str:
    parts = {"seed": "seed", "training_seed": "training seed"}
    return ", ".join(
        f"{words} {row[name]}"
        for name, words in parts.items()
        if len({other.get(name) for other in same}) > 1 and row.get(name) is not None
    )


def _settings(row: Row, same: Sequence[Row]) -> str:
    own = row.get("settings") or {}
    names = sorted({name for other in same for name in other.get("settings") or {}} - set(_NOT_SETTINGS))
    differing = [
        name
        for name in names
        if len({json.dumps((other.get("settings") or {}).get(name), sort_keys=True) for other in same}) > 1
    ]
    return ", ".join(_pairs({name: own.get(name) for name in differing}))


def _weights(row: Row, same: Sequence[Row]) -> str:
    if len({other.get("weights_sha256") for other in same}) == 1:
        return ""
    return f"weights {str(row.get('weights_sha256') or 'none')[:8]}"


def _plugins(row: Row, same: Sequence[Row]) -> str:
    each = [json.dumps((other.get("settings") or {}).get("plugins"), sort_keys=True) for other in same]
    own = (row.get("settings") or {}).get("plugins") or {}
    words = ", ".join(f"{name} {digest[:8]}" for name, digest in own.items()) or "none"
    return f"plug-ins {words}" if len(set(each)) > 1 else ""


def _code(row: Row, same: Sequence[Row]) -> str:
    if len({other.get("code_sha256") for other in same}) == 1:
        return ""
    return f"code {str(row.get('code_sha256') or 'unknown')[:8]}"


def _key(row: Row, same: Sequence[Row]) -> str:
    return f"run {row['key'][:8]}"
