"""Pascal VOC: XML files of boxes, and tables of boxes in CSV."""

from .layout import voc_splits
from .reader import read_voc
from .table import is_voc_table, read_voc_table, voc_table_splits

__all__ = ["is_voc_table", "read_voc", "read_voc_table", "voc_splits", "voc_table_splits"]
