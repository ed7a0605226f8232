"""How good a detector is."""

from .coco import CocoEvaluator

__all__ = ["CocoEvaluator"]
