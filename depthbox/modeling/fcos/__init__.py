"""The detector: where the instances are."""

from .fcos import FCOS
from .inference import select_detections
from .losses import fcos_losses
from .targets import assign_targets, level_locations

__all__ = ["FCOS", "assign_targets", "fcos_losses", "level_locations", "select_detections"]
