"""What a platform would refuse, found before the upload."""
