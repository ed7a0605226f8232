"""Training: loop, schedule, checkpoints, processes."""

from .configure import ConfigError, load_config
from .launch import launch
from .run import run
from .schedule import scale_schedule
from .trainer import Trainer

__all__ = ["ConfigError", "Trainer", "launch", "load_config", "run", "scale_schedule"]
