"""Benchmark of DepthBox's operations against the usual formulations, on the same inputs in one process."""

from .comparison import Comparison, DisagreementError, Options, run_comparison
from .run import BENCHMARKS, PARTS, find_devices, run_benchmarks, select
from .summary import Summary

__all__ = [
    "BENCHMARKS",
    "PARTS",
    "Comparison",
    "DisagreementError",
    "Options",
    "Summary",
    "find_devices",
    "run_benchmarks",
    "run_comparison",
    "select",
]
