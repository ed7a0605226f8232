"""Self-distillation: an EMA teacher generates pseudo masks for the student."""

from .candidates import class_agnostic_candidates, find_candidates
from .class_maps import ClassMapLabeler
from .labelers import Labeler, build_labeler, has_teacher, teacher_start
from .matching import DepthRule, DepthScorer, depth_consistency_score, match_instances, matching_scores
from .pseudo_labels import TeacherLabeler
from .teacher import ema_update, share_statistics

__all__ = [
    "ClassMapLabeler",
    "DepthRule",
    "DepthScorer",
    "Labeler",
    "TeacherLabeler",
    "build_labeler",
    "class_agnostic_candidates",
    "depth_consistency_score",
    "ema_update",
    "find_candidates",
    "has_teacher",
    "match_instances",
    "matching_scores",
    "share_statistics",
    "teacher_start",
]
