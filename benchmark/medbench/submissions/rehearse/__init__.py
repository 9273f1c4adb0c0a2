"""Rehearsals: a submission is run as its platform runs it and its outputs are compared."""
