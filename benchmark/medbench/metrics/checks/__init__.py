"""Checks of metrics: one pair under all conventions, invariants, other libraries."""
