"""Statistics, rankings and tables."""
