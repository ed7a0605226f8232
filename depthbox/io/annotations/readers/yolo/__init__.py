"""YOLO: text files with one object per line, as Ultralytics, Roboflow, labelImg and darknet write them."""

from .reader import read_yolo, yolo_splits
from .source import find_source_file

__all__ = ["find_source_file", "read_yolo", "yolo_splits"]
