"""Reading and writing image files, one file a format family."""
