"""Synthetic scenes with ground-truth masks and imperfect depth."""

from .write import write_dataset

__all__ = ["write_dataset"]
