"""Models in one file or program of one's own: a Python class, an exported network, an image, a command."""
