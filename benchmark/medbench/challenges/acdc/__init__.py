"""The challenge acdc."""
