"""Python interface: ``depthbox.load``, ``depthbox.train`` and ``depthbox.check``."""

from .commands import check, train
from .network import Network, load
from .result import Result

__all__ = ["Network", "Result", "check", "load", "train"]
