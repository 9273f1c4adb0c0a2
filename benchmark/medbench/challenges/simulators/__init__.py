"""What draws the synthetic samples."""
