"""Drawings of datasets and predictions for visual inspection."""

from .dataset_sheet import DatasetSheet, choose_records
from .draw import DrawnObjects, colorize, compute_iou, draw_objects, instance_color, resize_objects
from .sheet import MAX_WIDTH, Tile, make_sheet, save_sheet

__all__ = [
    "MAX_WIDTH",
    "DatasetSheet",
    "DrawnObjects",
    "Tile",
    "choose_records",
    "colorize",
    "compute_iou",
    "draw_objects",
    "instance_color",
    "make_sheet",
    "resize_objects",
    "save_sheet",
]
