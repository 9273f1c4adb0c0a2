"""Linters of submissions: faults that a platform would refuse, before the upload."""
