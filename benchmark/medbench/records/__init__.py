"""What a run leaves on disk: record, rows of cases, phases and page, in a folder named by the run's key."""
