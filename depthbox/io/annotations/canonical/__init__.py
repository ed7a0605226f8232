"""The canonical dataset: numbered ids, names as on disk, sound boxes and outlines."""

from .dataset import canonicalize
from .write import repaired_coco, repaired_ids, write_coco

__all__ = ["canonicalize", "repaired_coco", "repaired_ids", "write_coco"]
