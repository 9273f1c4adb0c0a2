"""Training: recipes, batches, losses and Lightning modules; a resumed training gives the same weights."""
