"""Experiments of the project: demo, ablations and studies."""
