"""TVSum: summaries of 50 web videos, rated by 20 annotators each."""
