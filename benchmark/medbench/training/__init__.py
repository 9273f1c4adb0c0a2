"""Training: recipes, data, losses and the Lightning module; resumable to the bit."""
