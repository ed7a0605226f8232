"""Purity of the pixel pairs that the color and depth rules link."""
