"""Statistics of scores: intervals, paired tests, rankings and summaries."""
