"""The challenge iugc2025."""
