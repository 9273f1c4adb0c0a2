"""Shared parts of challenges of one kind."""
