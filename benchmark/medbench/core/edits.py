"""Which cell of a JSON text was edited, where its hash is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LONGEST = 200_000
"""Longer texts are not searched."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A cell of a JSON text that was edited.

    Attributes:
        place: such as ``metrics.dice.value``.
        stands: what the text says.
        original: what the text said when it was hashed.
    """

    place: str
    stands: Any
    original: Any


def find_edit(text: str, sha256: str) -> Edit | None:
    """The cell with the one digit whose change explains that a text does not have its hash.

    Args:
        text: a JSON document.
        sha256: of the text as it was.

    Returns:
        ``None`` where no single digit explains it.
    """
    if len(text) > LONGEST:
        return None
    for before in _other_digits(text.encode(), sha256):
        try:
            cells = list(_differences(json.loads(text), json.loads(before)))
        except ValueError:
            continue
        if cells:
            return cells[0]
    return None


def _other_digits(content: bytes, sha256: str) -> Iterator[bytes]:
    """The content with one digit changed, wherever that has the hash."""
    prefix = hashlib.sha256()
    for place, letter in enumerate(content):
        if letter in b"0123456789":
            rest = content[place + 1 :]
            for digit in b"0123456789":
                if digit != letter:
                    digest = prefix.copy()
                    digest.update(bytes([digit]) + rest)
                    if digest.hexdigest() == sha256:
                        yield content[:place] + bytes([digit]) + rest
        prefix.update(bytes([letter]))


def _differences(stands: Any, original: Any, place: str = "") -> Iterator[Edit]:
    if isinstance(stands, dict) and isinstance(original, dict):
        for name in dict.fromkeys((*stands, *original)):
            below = f"{place}.{name}" if place else name
            if name in stands and name in original:
                yield from _differences(stands[name], original[name], below)
            else:
                yield Edit(below, stands.get(name, "nothing"), original.get(name, "nothing"))
    elif isinstance(stands, list) and isinstance(original, list) and len(stands) == len(original):
        for index, (one, other) in enumerate(zip(stands, original, strict=True)):
            yield from _differences(one, other, f"{place}[{index}]")
    elif stands != original:
        yield Edit(place, stands, original)
