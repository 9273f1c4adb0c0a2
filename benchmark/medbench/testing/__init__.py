"""The contract that our models, challenges, metrics and platforms pass in the suite, and anybody's can."""
