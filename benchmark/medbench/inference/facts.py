"""Facts in medbench's own checkpoints, checked before they are used."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError

GREATEST_SIDE, GREATEST_NUMBER, GREATEST_DEPTH = 1 << 14, 1 << 20, 6


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 1000


def _is_count(greatest: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= greatest


def _is_optional(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _is_plain(value: Any, depth: int = GREATEST_DEPTH) -> bool:
    """A JSON value whose numbers a network could have for sizes."""
    if isinstance(value, Mapping):
        return depth > 0 and all(_is_plain(inner, depth - 1) for inner in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(inner, depth - 1) for inner in value)
    if isinstance(value, int | float):
        return math.isfinite(value) and abs(value) <= GREATEST_NUMBER
    return value is None or _is_text(value)


def _is_options(value: Any) -> bool:
    return isinstance(value, dict) and _is_plain(value)


def _is_recipe(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(value.get("name"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_input(value: Any) -> bool:
    """What of an input's preparation is not as by default; colours are scaled by numbers, never by 0."""
    if not _is_options(value) or value.get("channel_order", "RGB") not in ("RGB", "BGR"):
        return False
    mean, std = (value.get(name, [1.0]) for name in ("mean", "std"))
    if not all(isinstance(numbers, list) and 1 <= len(numbers) <= 4 for numbers in (mean, std)):
        return False
    divisors = [value.get("scale", 1.0), *std]
    return all(map(_is_number, [*mean, *divisors])) and all(divisors)


def _is_names(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(names, list) and all(map(_is_text, names)) for names in value.values()
    )


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "model": _is_text,
    "options": _is_options,
    "challenge": _is_text,
    "split": _is_text,
    "data": _is_text,
    "manifest_sha256": _is_text,
    "image_size": _is_optional(_is_count(GREATEST_SIDE)),
    "num_classes": _is_count(1000),
    "num_image_classes": _is_optional(_is_count(1000)),
    "recipe": _is_recipe,
    "classes": _is_names,
    "input": _is_input,
}
"""Entry -> whether its value can be true; entries that are not here are only kept for the record."""


def read_facts(text: str, path: Path) -> dict[str, Any]:
    """The facts of a checkpoint of ours.

    Args:
        text: JSON, as the checkpoint holds it.
        path: names the file in errors.

    Raises:
        MedbenchError: ``weights.facts`` naming the entry that cannot be true.
    """
    try:
        facts = json.loads(text, parse_constant=float)
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise _wrong(path, "are no JSON object")
    for name, is_right in _CHECKS.items():
        if name in facts and not is_right(facts[name]):
            raise _wrong(path, f"give {name} as {str(facts[name])[:80]}")
    if ("challenge" in facts) != ("split" in facts):
        raise _wrong(path, "name a challenge or a split without the other")
    return facts


def _wrong(path: Path, what: str) -> MedbenchError:
    return MedbenchError(
        "weights.facts",
        f"{path}: the facts that medbench keeps with weights {what}.",
        "Use the file that medbench train left, unchanged.",
    )
