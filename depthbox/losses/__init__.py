"""Losses of the masks: one value per row, the caller reduces."""

from .depth import instance_depth_loss
from .dice import dice_loss
from .pairwise import pairwise_loss, pairwise_losses, pairwise_nll
from .projection import projection_loss, projection_loss_from_logits

__all__ = [
    "dice_loss",
    "instance_depth_loss",
    "pairwise_loss",
    "pairwise_losses",
    "pairwise_nll",
    "projection_loss",
    "projection_loss_from_logits",
]
