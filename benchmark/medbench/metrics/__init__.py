"""Metrics: pure functions on arrays, each definition named, sourced and documented."""
