"""Training: loop, schedule, checkpoints, processes."""

from .launch import launch
from .run import run
from .schedule import scale_schedule
from .trainer import Trainer

__all__ = ["Trainer", "launch", "run", "scale_schedule"]
