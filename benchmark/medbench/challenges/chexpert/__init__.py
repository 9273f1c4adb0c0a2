"""The challenge chexpert."""
