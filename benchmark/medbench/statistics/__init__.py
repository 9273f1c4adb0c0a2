"""Statistics on rows of scores: intervals, paired tests, rankings."""
