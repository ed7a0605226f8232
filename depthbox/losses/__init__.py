"""Losses of the masks: one value per row, the caller reduces."""

from .dice import dice_loss
from .pairwise import pairwise_loss, pairwise_nll
from .projection import projection_loss, projection_loss_from_logits

__all__ = ["dice_loss", "pairwise_loss", "pairwise_nll", "projection_loss", "projection_loss_from_logits"]
