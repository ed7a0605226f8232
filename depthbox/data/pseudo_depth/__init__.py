"""Generation of pseudo depth maps."""
