"""The detector: where the instances are."""

from .fcos import FCOS
from .focal import focal_loss
from .inference import select_detections
from .losses import fcos_losses
from .positions import level_locations
from .targets import assign_targets

__all__ = ["FCOS", "assign_targets", "fcos_losses", "focal_loss", "level_locations", "select_detections"]
