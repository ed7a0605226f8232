"""What the teacher says: a moving average of the network turns its own masks into labels."""

from .candidates import find_candidates
from .matching import depth_consistency_score, match_instances, matching_scores
from .pseudo_labels import TeacherLabeler
from .teacher import ema_update

__all__ = [
    "TeacherLabeler",
    "depth_consistency_score",
    "ema_update",
    "find_candidates",
    "match_instances",
    "matching_scores",
]
