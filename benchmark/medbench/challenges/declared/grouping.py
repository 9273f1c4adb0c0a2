"""Findings of one kind on many files, told once: their number and the first five."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medbench.challenges.stray import Finding
from medbench.core.text import named

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
    names = {str(path): path.name for path in files}
    groups: dict[tuple[str, ...], list[_Part]] = {}
    order: list[tuple[Finding, tuple[str, ...] | None]] = []
    for finding in findings:
        head, colon, words = finding.message.partition(": ")
        kind = _kind(words, names), _kind(finding.advice, names)
        key = (finding.severity, *kind) if colon and head in names else None
        if key is None or key not in groups:
            order.append((finding, key))
        if key is not None:
            groups.setdefault(key, []).append(_Part(names[head], words))
    return [
        finding if key is None or len(groups[key]) == 1 else replace(finding, message=_together(groups[key]))
        for finding, key in order
    ]


def _kind(words: str, names: Collection[str]) -> str:
    """Words without the numbers and files that differ from one finding to the next."""
    plain = ("#" if word.rstrip(".,") in names else word for word in words.split(" "))
    return _FIGURES.sub("#", " ".join(plain))


def _together(parts: Sequence[_Part]) -> str:
    """What all files share, and in place of ``…`` what each of the first has of its own."""
    words = [part.words.removesuffix(".").split(" ") for part in parts]
    before = _shared(words)
    after = _shared([own[len(before) :][::-1] for own in words])[::-1]
    own = [" ".join(one[len(before) : len(one) - len(after)]).strip(",") for one in words]
    gap = ["…" if any(own) else ""]
    message = " ".join(word for word in (*before, *gap, *after) if word)
    names = [f"{part.name} ({text})" if text else part.name for part, text in zip(parts, own, strict=True)]
    return f"{len(parts)} files: {message}: {named(names)}."


def _shared(rows: Sequence[Sequence[str]]) -> list[str]:
    """The words that all rows begin with."""
    columns = zip(*rows, strict=False)
    return [column[0] for column in itertools.takewhile(lambda column: len({*column}) == 1, columns)]
