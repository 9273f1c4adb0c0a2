"""Running a submission as its platform does, and comparing what comes out."""
