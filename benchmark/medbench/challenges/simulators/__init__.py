"""Simulators that draw the images of the synthetic samples."""
