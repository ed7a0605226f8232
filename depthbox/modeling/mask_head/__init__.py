"""Masks: what is the shape of each instance."""

from .branch import MaskBranch
from .controller import Controller
from .criterion import MaskCriterion
from .dynamic import DynamicMaskHead
from .paste import paste_masks

__all__ = ["Controller", "DynamicMaskHead", "MaskBranch", "MaskCriterion", "paste_masks"]
