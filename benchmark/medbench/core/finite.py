"""Answers of networks that are no numbers."""

from __future__ import annotations

from typing import Any, Protocol

from medbench.core.errors import MedbenchError


class _Tensor(Protocol):
    def numel(self) -> int: ...
    def is_complex(self) -> bool: ...
    def isfinite(self) -> Any: ...
    def aminmax(self) -> Any: ...


def is_finite(tensor: _Tensor) -> bool:
    """Whether no value is NaN or infinite, by the least and the largest, which needs no further memory."""
    if tensor.is_complex() or not tensor.numel():
        return bool(tensor.isfinite().all())
    least, largest = tensor.aminmax()
    return bool(least.isfinite()) and bool(largest.isfinite())


def refuse_not_finite(answer: _Tensor) -> None:
    """Refuse an answer that is no number, of which no label map and no list of boxes may be made.

    Raises:
        MedbenchError: ``network.not_finite``.
    """
    if not is_finite(answer):
        raise MedbenchError(
            "network.not_finite",
            "The network's answer holds NaN or infinity.",
            "Use --precision fp32, or other weights.",
        )
