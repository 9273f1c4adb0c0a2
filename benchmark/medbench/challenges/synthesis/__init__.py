"""Synthetic samples: simulators, and the writers that put them into each challenge's layout."""
