"""Metrics of masks: overlap, surface distances, components."""
