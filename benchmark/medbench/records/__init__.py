"""What a run leaves on disk: record, journal, page, and the identity that names them."""
