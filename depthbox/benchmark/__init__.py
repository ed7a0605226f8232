"""The proof of speed: DepthBox's operations against those the field usually writes, in one run on the same inputs."""

from .comparison import Contest, DisagreementError, Options, compete
from .run import BENCHMARKS, PARTS, devices_for, run, select
from .summary import Summary

__all__ = [
    "BENCHMARKS",
    "PARTS",
    "Contest",
    "DisagreementError",
    "Options",
    "Summary",
    "compete",
    "devices_for",
    "run",
    "select",
]
