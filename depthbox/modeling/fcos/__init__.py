"""FCOS: the object detector and the target assignment."""

from ...losses.focal import focal_loss
from .decode import decode_boxes
from .fcos import FCOS
from .inference import select_detections
from .locations import level_locations
from .losses import fcos_losses
from .targets import assign_targets

__all__ = [
    "FCOS",
    "assign_targets",
    "decode_boxes",
    "fcos_losses",
    "focal_loss",
    "level_locations",
    "select_detections",
]
