"""Reading and writing of images, volumes, slides, videos, tables and arrays."""
