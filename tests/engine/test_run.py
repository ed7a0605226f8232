"""Freed memory is used again without page faults; in a process of its own, for the setting stays."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from depthbox.engine.run import keep_freed_memory
assert keep_freed_memory() if sys.argv[1] == "keep" else True
def faults():
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(20, 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_tensors_come_without_page_faults() -> None:
    def faults(mode: str) -> int:
        done = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") < faults("default") / 10
