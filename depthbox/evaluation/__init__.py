"""Evaluation of detectors: COCO, Cityscapes and VOC AP, and the quality of pseudo masks and of single images."""

from .coco import CocoEvaluator
from .voc_masks import VocMaskEvaluator

__all__ = ["CocoEvaluator", "VocMaskEvaluator"]
