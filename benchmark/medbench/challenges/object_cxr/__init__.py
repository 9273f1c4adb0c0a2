"""The challenge object_cxr."""
