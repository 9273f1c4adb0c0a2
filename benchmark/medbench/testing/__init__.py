"""The contract that our models, challenges, metrics and platforms pass in the suite, and anybody's can."""

from medbench.testing.metrics import check_metric

__all__ = ["check_metric"]
