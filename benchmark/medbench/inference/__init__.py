"""Inference: predictors for images, volumes, slides and sequences, decoding of outputs, and checkpoints."""
