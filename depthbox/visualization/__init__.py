"""Pictures of data sets and predictions, to be looked at by a person."""

from .dataset_sheet import DatasetSheet, choose_records
from .draw import Objects, colorize, draw_objects, instance_color, overlap, resize_objects
from .sheet import MAX_WIDTH, Tile, make_sheet, save_sheet

__all__ = [
    "MAX_WIDTH",
    "DatasetSheet",
    "Objects",
    "Tile",
    "choose_records",
    "colorize",
    "draw_objects",
    "instance_color",
    "make_sheet",
    "overlap",
    "resize_objects",
    "save_sheet",
]
