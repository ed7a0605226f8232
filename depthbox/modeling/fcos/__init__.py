"""The detector: where the instances are."""

from ...losses.focal import focal_loss
from .fcos import FCOS
from .inference import select_detections
from .locations import level_locations
from .losses import fcos_losses
from .targets import assign_targets

__all__ = ["FCOS", "assign_targets", "fcos_losses", "focal_loss", "level_locations", "select_detections"]
