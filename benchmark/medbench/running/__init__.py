"""Running: the loop over cases, run directories, resuming, records."""
