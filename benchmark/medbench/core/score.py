"""Scores: a value with a status, so that an undefined or failed score is never mistaken for a number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["ok", "undefined", "failed", "missing"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Score:
    """One metric on one case.

    Attributes:
        value: a finite number; ``None`` when there is none. A status other than ``ok`` may carry the
            value that the challenge's declared rule assigns (``reason`` then names the rule).
        status: ``ok``; ``undefined`` (the definition has no answer, e.g. a distance to an empty mask);
            ``failed`` (the prediction cannot be scored); ``missing`` (there is no prediction).
        reason: why the status is not ``ok``.
    """

    value: float | None
    status: Status = "ok"
    reason: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a score must be finite or None, got {self.value!r}")
        if self.status == "ok" and self.value is None:
            raise ValueError("a score with status 'ok' needs a value")

    @classmethod
    def undefined(cls, reason: str, value: float | None = None) -> Score:
        """A score where the metric's definition has no answer."""
        return cls(value, "undefined", reason)

    @classmethod
    def failed(cls, reason: str, value: float | None = None) -> Score:
        """A score of a prediction that cannot be scored."""
        return cls(value, "failed", reason)

    @classmethod
    def missing(cls, reason: str, value: float | None = None) -> Score:
        """A score of a case without a prediction."""
        return cls(value, "missing", reason)

    def as_json(self) -> dict[str, Any]:
        """``{"value": …, "status": …, "reason": …}`` without empty fields."""
        entry: dict[str, Any] = {"value": self.value, "status": self.status}
        if self.reason:
            entry["reason"] = self.reason
        return entry

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Score:
        """Inverse of :meth:`as_json`."""
        return cls(entry["value"], entry["status"], entry.get("reason", ""))
