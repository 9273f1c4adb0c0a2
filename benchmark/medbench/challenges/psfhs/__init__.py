"""The challenge psfhs."""
