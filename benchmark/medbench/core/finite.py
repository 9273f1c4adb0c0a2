"""Answers of networks that are no numbers."""

from __future__ import annotations

from typing import Any, Protocol

from medbench.core.errors import MedbenchError


class _Tensor(Protocol):
    def isfinite(self) -> Any: ...


def refuse_not_finite(answer: _Tensor) -> None:
    """Refuse an answer that is no number, of which no label map and no list of boxes may be made.

    Raises:
        MedbenchError: ``network.not_finite``.
    """
    if not bool(answer.isfinite().all()):
        raise MedbenchError(
            "network.not_finite",
            "The network's answer holds NaN or infinity.",
            "Use --precision fp32, or other weights.",
        )
