"""Checkpoints of a training run, and pretrained weights."""
