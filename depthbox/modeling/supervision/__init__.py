"""Supervision of the masks: annotations on the device, one class per kind of supervision, and the criterion."""

from .base import Supervision, WeightedSupervision
from .builder import build_supervision
from .criterion import MaskCriterion

__all__ = ["MaskCriterion", "Supervision", "WeightedSupervision", "build_supervision"]
