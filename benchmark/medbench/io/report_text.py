"""Radiology reports: their sections and sentences."""

from __future__ import annotations

import re
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.text import counted_are
from medbench.io import tables

SECTIONS = ("impression", "findings")
LEAST_WORDS = 3
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z /]{2,40}):", re.MULTILINE)
_HINT = "The pair is left out; the others stand."


def read_report(path: Path) -> tuple[str, ...]:
    """Sentences of a report's impression and findings.

    Args:
        path: text, UTF-8.

    Raises:
        MedbenchError: ``report.missing``, ``report.empty``, ``report.short``, or what the gate refuses.
    """
    if not path.is_file():
        raise MedbenchError("report.missing", f"{path}: there is no such report.", _HINT)
    text = tables.plain_text(path)
    sections = report_sections(text)
    own_text = " ".join(sections[name] for name in SECTIONS if name in sections)
    if not own_text.strip():
        words = "is empty" if not text.strip() else "has neither findings nor an impression"
        raise MedbenchError("report.empty", f"{path}: the report {words}.", _HINT)
    sentences = report_sentences(own_text)
    count = sum(len(sentence.split()) for sentence in sentences)
    if count < LEAST_WORDS:
        raise MedbenchError(
            "report.short",
            f"{path}: {counted_are(count, 'word')} left of the report's findings and impression, fewer than "
            f"{LEAST_WORDS}.",
            _HINT,
        )
    return sentences


def report_sections(text: str) -> dict[str, str]:
    """Sections of a report by their headings in lower case; of two with one heading the later.

    >>> report_sections("FINDINGS: Clear lungs.\\n IMPRESSION: Normal.")
    {'findings': 'Clear lungs.', 'impression': 'Normal.'}
    """
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)][: len(headings)]
    return {
        heading[1].strip().lower(): text[heading.end() : end].strip()
        for heading, end in zip(headings, ends, strict=True)
    }


def report_sentences(text: str) -> tuple[str, ...]:
    """Sentences of a text by the rule of the paper's program: no digits of lists, no sentence of one word.

    >>> report_sentences("1. Clear lungs.  2. No pleural effusion. Stable.")
    ('clear lungs', 'no pleural effusion')
    """
    parts = [part for item in re.split(r"[0-9]+\.", text.replace("\n", " ")) for part in item.split(".")]
    sentences = []
    for part in parts:
        ascii_only = (word.encode("ascii", "ignore").decode() for word in re.findall(r"\w+", part.lower()))
        words = [word for word in ascii_only if word]
        if len(words) > 1:
            sentences.append(" ".join(words))
    return tuple(sentences)
