"""What challenges of one kind share."""
