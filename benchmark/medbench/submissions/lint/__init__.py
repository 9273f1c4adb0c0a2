"""Linters of submissions: they report before the upload what a platform would refuse."""
