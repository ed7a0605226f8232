"""Masks of prompted objects: labeling of datasets with a trained network."""
