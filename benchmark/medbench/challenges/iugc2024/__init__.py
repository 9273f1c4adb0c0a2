"""The challenge iugc2024."""
