"""Challenges that a project file declares: own images with label maps, own volumes, own classes."""
