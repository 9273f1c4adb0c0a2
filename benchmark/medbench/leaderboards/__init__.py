"""Leaderboards: boards, rankings, paired comparisons and costs."""
