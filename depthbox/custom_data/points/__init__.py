"""Training in two stages from one point per object: masks of the points, and a network trained on these masks."""
