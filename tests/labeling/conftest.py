"""Fixtures: a small teacher and its batches, and small datasets of boxes and of points."""

from labeling_toy import folder
from point_labeling_toy import points_folder
from teacher_toy import cfg, sample, teacher

__all__ = ["cfg", "folder", "points_folder", "sample", "teacher"]
