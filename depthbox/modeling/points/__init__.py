"""P2Seg: labels and masks of objects that are given by one point each.

``initial_labels`` and ``refine_owners`` assign pixels to points in training, ``point_masks`` after it.
"""

from .grouping import offset_targets, present_probabilities, refine_owners
from .initial import OwnerLabels, initial_labels
from .masks import PointMasks, fallback_box, point_masks

__all__ = [
    "OwnerLabels",
    "PointMasks",
    "fallback_box",
    "initial_labels",
    "offset_targets",
    "point_masks",
    "present_probabilities",
    "refine_owners",
]
