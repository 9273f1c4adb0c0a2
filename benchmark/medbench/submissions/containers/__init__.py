"""Container engines, image archives and what runs in them."""
