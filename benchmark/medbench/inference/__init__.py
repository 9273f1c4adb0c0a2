"""From pictures to predictions: preprocessing, forward passes, postprocessing."""
