"""What the teacher says: a moving average of the network turns its own masks into labels."""

from .candidates import find_candidates
from .ema import ema_update
from .labeler import TeacherLabeler
from .matching import depth_consistency_score, match_instances, matching_scores

__all__ = [
    "TeacherLabeler",
    "depth_consistency_score",
    "ema_update",
    "find_candidates",
    "match_instances",
    "matching_scores",
]
