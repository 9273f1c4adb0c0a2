"""Serving in a container: find the inputs, predict as ``medbench run`` does, publish the outputs."""
