"""Basic types: cases, samples, tasks, scores, result tables, plug-ins, errors and atomic files."""
