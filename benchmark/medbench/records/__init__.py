"""Run directories: record, rows of cases, phases and page, in a folder named by the run's key."""
