"""Training: loop, schedule, resuming, processes."""

from .launch import launch
from .schedule import scale_schedule
from .trainer import Trainer

__all__ = ["Trainer", "launch", "scale_schedule"]
