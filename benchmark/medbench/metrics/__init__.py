"""Metrics: pure functions on arrays, each definition named, sourced and documented."""

from medbench.metrics.convention import Convention, EmptyPolicy
from medbench.metrics.engine import evaluate_arrays, list_metrics, metric, register_metric, score
from medbench.metrics.masks.pair import MaskPair

__all__ = [
    "Convention",
    "EmptyPolicy",
    "MaskPair",
    "evaluate_arrays",
    "list_metrics",
    "metric",
    "register_metric",
    "score",
]
