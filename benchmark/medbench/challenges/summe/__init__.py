"""SumMe: summaries of 25 user videos, each made by 15 to 18 people."""
