"""The challenge colonpath."""
