"""Findings of checks and rehearsals: rule, fault and advice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from medbench.core.errors import MedbenchError

Severity = Literal["error", "warning", "note"]
_ORDER = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of a check or rehearsal.

    Attributes:
        rule: stable dotted identifier, e.g. ``image.user``.
        severity: ``error`` where the platform refuses or the result would be wrong, ``warning`` where it may,
            ``note`` for information.
        message: what is wrong, and where.
        advice: what to do about it.
    """

    rule: str
    severity: Severity
    message: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def error(rule: str, message: str, advice: str = "") -> Finding:
    """A finding that stops a submission."""
    return Finding(rule, "error", message, advice)


def warning(rule: str, message: str, advice: str = "") -> Finding:
    """A finding that may stop a submission."""
    return Finding(rule, "warning", message, advice)


def note(rule: str, message: str, advice: str = "") -> Finding:
    """A finding for information."""
    return Finding(rule, "note", message, advice)


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Findings sorted by severity, errors first, without repetitions."""
    return sorted(dict.fromkeys(findings), key=lambda finding: _ORDER[finding.severity])


def failed(findings: Iterable[Finding]) -> bool:
    """Whether any of them is an error."""
    return any(finding.severity == "error" for finding in findings)


def refuse(findings: Sequence[Finding]) -> None:
    """Raise an error for the first finding that is one.

    Raises:
        MedbenchError: ``submission.unfit``.
    """
    if failed(findings):
        first = next(finding for finding in findings if finding.severity == "error")
        raise MedbenchError("submission.unfit", f"{first.message} ({first.rule})", first.advice)
