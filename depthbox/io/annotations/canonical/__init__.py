"""The canonical dataset: numbered ids, names as on disk, sound boxes and outlines."""

from ..notes import RULES, NoteCounter, NoteRule
from .dataset import canonicalize
from .write import repaired_coco, write_coco

__all__ = ["RULES", "NoteCounter", "NoteRule", "canonicalize", "repaired_coco", "write_coco"]
