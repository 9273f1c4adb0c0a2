"""Frames of CVC-ClinicDB, which the challenges of its masks and of its boxes share."""
