"""Losses per instance, without reduction over the batch, and the focal loss of the detector.

Each mask loss has a readable definition on scores or dense pairs (``projection_loss``, ``pairwise_nll``,
``instance_depth_loss``, ``dice_loss``) and an equal form on logits that is faster and saves less for the backward pass
(``box_losses``, ``instance_depth_loss_from_logits``, ``dice_loss_from_logits``).
"""

from .box import box_losses
from .depth import instance_depth_loss, instance_depth_loss_from_logits
from .dice import dice_loss, dice_loss_from_logits
from .focal import focal_loss
from .pairwise import pairwise_loss, pairwise_losses, pairwise_nll
from .projection import projection_loss, projection_loss_from_logits

__all__ = [
    "box_losses",
    "dice_loss",
    "dice_loss_from_logits",
    "focal_loss",
    "instance_depth_loss",
    "instance_depth_loss_from_logits",
    "pairwise_loss",
    "pairwise_losses",
    "pairwise_nll",
    "projection_loss",
    "projection_loss_from_logits",
]
