"""Supervision of the masks: annotations on the device, targets, and the criterion."""

from .criterion import MaskCriterion

__all__ = ["MaskCriterion"]
