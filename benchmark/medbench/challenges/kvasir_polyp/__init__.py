"""The challenge kvasir_polyp."""
