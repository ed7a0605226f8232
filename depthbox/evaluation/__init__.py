"""Evaluation of detectors: COCO box and mask AP, Cityscapes AP and the quality of single images."""

from .coco import CocoEvaluator

__all__ = ["CocoEvaluator"]
