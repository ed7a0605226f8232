"""Experiments of the project: demo, ablations, studies."""
