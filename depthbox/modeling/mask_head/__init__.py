"""Mask head: mask branch, controller, dynamic convolutions and pasting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .branch import MaskBranch
from .controller import Controller
from .dynamic import DynamicMaskHead
from .paste import mean_depth, paste_masks
from .rle import paste_rles

if TYPE_CHECKING:
    from ..supervision import MaskCriterion

__all__ = ["Controller", "DynamicMaskHead", "MaskBranch", "MaskCriterion", "mean_depth", "paste_masks", "paste_rles"]


def __getattr__(name: str) -> Any:
    """Return ``MaskCriterion``, which belongs to ``modeling.supervision``."""
    if name != "MaskCriterion":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from ..supervision import MaskCriterion

    return MaskCriterion
