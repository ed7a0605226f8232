"""Training on a user's own data: preparation, recipe and plan."""
