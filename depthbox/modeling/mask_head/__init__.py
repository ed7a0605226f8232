"""Masks: what is the shape of each instance."""

from .branch import MaskBranch
from .controller import Controller
from .criterion import MaskCriterion
from .dynamic import DynamicMaskHead
from .paste import mean_depth, paste_masks, paste_rles

__all__ = ["Controller", "DynamicMaskHead", "MaskBranch", "MaskCriterion", "mean_depth", "paste_masks", "paste_rles"]
