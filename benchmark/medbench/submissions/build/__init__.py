"""Build contexts of submissions."""
