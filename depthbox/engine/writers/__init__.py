"""Writers of training metrics: console, metrics.json, TensorBoard, Weights & Biases, and log.txt."""

from .console import ConsoleWriter
from .hook import LOG_PERIOD, MetricsState, MetricsWriting, build_writers
from .json_lines import JsonLinesWriter
from .tensorboard import TensorBoardWriter

__all__ = [
    "LOG_PERIOD",
    "ConsoleWriter",
    "JsonLinesWriter",
    "MetricsState",
    "MetricsWriting",
    "TensorBoardWriter",
    "build_writers",
]
