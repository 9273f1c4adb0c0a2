"""The challenge brats."""
