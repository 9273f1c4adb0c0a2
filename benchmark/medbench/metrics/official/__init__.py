"""Metrics as the organisers' own programs compute them."""
