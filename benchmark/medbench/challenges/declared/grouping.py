"""Findings of one kind on many files, told once: their number and the first five."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medbench.challenges.declared.items import MOST_NAMED
from medbench.challenges.stray import Finding

_FIGURES = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True, slots=True)
class _Part:
    """What is said of one file."""

    name: str
    words: str


def grouped(findings: Sequence[Finding], files: Collection[Path]) -> list[Finding]:
    """The findings with those that say the same of several files in one, at the place of the first.

    Args:
        findings: each begins with the file that it is of, or is of the whole folder.
        files: of the data set.
    """
    known = {str(path): path.name for path in files}
    groups: dict[tuple[str, ...], list[_Part]] = {}
    order: list[tuple[Finding, tuple[str, ...] | None]] = []
    for finding in findings:
        head, colon, words = finding.message.partition(": ")
        key = (finding.severity, _kind(words, known), finding.advice) if colon and head in known else None
        if key is None or key not in groups:
            order.append((finding, key))
        if key is not None:
            groups.setdefault(key, []).append(_Part(known[head], words))
    return [
        finding if key is None or len(groups[key]) == 1 else replace(finding, message=_together(groups[key]))
        for finding, key in order
    ]


def _kind(words: str, known: Collection[str]) -> str:
    """Words without the numbers and files that differ from one finding to the next."""
    plain = ("#" if word.rstrip(".,") in known else word for word in words.split(" "))
    return _FIGURES.sub("#", " ".join(plain))


def _together(parts: Sequence[_Part]) -> str:
    more = ", …" if len(parts) > MOST_NAMED else ""
    shown = parts[:MOST_NAMED]
    if len({part.words for part in parts}) == 1:
        names = ", ".join(part.name for part in shown)
        return f"{len(parts)} files: {parts[0].words.removesuffix('.')}: {names}{more}."
    each = "; ".join(f"{part.name}: {part.words.removesuffix('.')}" for part in shown)
    return f"{len(parts)} files: {each}{more.replace(',', ';')}."
