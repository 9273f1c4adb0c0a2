"""From a submission to its build context."""
