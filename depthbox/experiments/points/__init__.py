"""Masks from points without learning, the baselines of P2Seg, and their comparison with labels."""
