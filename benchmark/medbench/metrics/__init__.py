"""Metrics: pure functions on arrays, each definition named, sourced and documented."""

from medbench.metrics.engine import evaluate_arrays, list_metrics, metric, score

__all__ = ["evaluate_arrays", "list_metrics", "metric", "score"]
