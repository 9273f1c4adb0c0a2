"""The challenge hc18."""
