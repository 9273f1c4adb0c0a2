"""Container engines, archives of images, and ways to run a container."""
