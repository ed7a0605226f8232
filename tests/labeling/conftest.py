"""Fixtures: a small teacher and its batches, and a small dataset of boxes."""

from labeling_toy import folder
from teacher_toy import cfg, sample, teacher

__all__ = ["cfg", "folder", "sample", "teacher"]
