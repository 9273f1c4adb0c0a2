"""The nouns: cases, volumes, scores, run records, registries, errors and safe file writing."""
