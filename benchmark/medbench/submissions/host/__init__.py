"""The organisers' evaluation programs."""
