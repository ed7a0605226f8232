"""Fixtures of a small teacher and its batches."""

from teacher_toy import cfg, sample, teacher

__all__ = ["cfg", "sample", "teacher"]
