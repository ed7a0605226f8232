"""Losses per instance, without reduction over the batch, the focal loss of the detector, and the losses of P2Seg.

Each mask loss has a readable definition on scores or dense pairs (``projection_loss``, ``pairwise_nll``,
``instance_depth_loss``, ``dice_loss``) and an equal form on logits that is faster and saves less for the backward pass
(``box_losses``, ``instance_depth_loss_from_logits``, ``dice_loss_from_logits``).
"""

from .affinity import affinity_loss, affinity_losses
from .box import box_losses
from .center import center_loss, center_map
from .class_pairwise import class_pairwise_loss, class_pairwise_sums
from .depth import instance_depth_loss, instance_depth_loss_from_logits
from .dice import dice_loss, dice_loss_from_logits
from .focal import focal_loss
from .hard_pixels import find_threshold, hard_cross_entropy, pixel_cross_entropy, selected_count, sum_hard
from .offset import offset_loss, sum_offset_errors
from .pairwise import pairwise_loss, pairwise_losses, pairwise_nll
from .projection import projection_loss, projection_loss_from_logits

__all__ = [
    "affinity_loss",
    "affinity_losses",
    "box_losses",
    "center_loss",
    "center_map",
    "class_pairwise_loss",
    "class_pairwise_sums",
    "dice_loss",
    "dice_loss_from_logits",
    "find_threshold",
    "focal_loss",
    "hard_cross_entropy",
    "instance_depth_loss",
    "instance_depth_loss_from_logits",
    "offset_loss",
    "pairwise_loss",
    "pairwise_losses",
    "pairwise_nll",
    "pixel_cross_entropy",
    "projection_loss",
    "projection_loss_from_logits",
    "selected_count",
    "sum_hard",
    "sum_offset_errors",
]
