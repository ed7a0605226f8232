import os
import signal
import subprocess
import sys
import time

import pytest

from depthbox.data.process_pool import WorkerKilledError, map_in_processes


def double(number: int) -> int:
    return 2 * number


def fail_at_five(number: int) -> int:
    if number == 5:
        raise ValueError("item 5")
    return number


def die_at_five(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_have_the_order_of_the_items(workers):
    with map_in_processes(double, list(range(25)), workers) as results:
        assert list(results) == list(range(0, 50, 2))
    with map_in_processes(double, [], workers) as results:
        assert list(results) == []


def test_an_error_of_a_worker_ends_all():
    with pytest.raises(ValueError, match="item 5"), map_in_processes(fail_at_five, list(range(25)), 2) as results:
        list(results)


def test_a_killed_worker_is_told_with_a_remedy():
    pattern = "a worker process was killed.*fewer --workers"
    with pytest.raises(WorkerKilledError, match=pattern), map_in_processes(die_at_five, list(range(25)), 2) as results:
        list(results)


def test_workers_die_with_a_killed_parent():
    code = """
import os, sys, time
from depthbox.data.process_pool import map_in_processes
def wait(number):
    print(os.getpid(), flush=True)
    time.sleep(60)
with map_in_processes(wait, list(range(8)), 2) as results:
    list(results)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(is_running(pid) for pid in workers):
        time.sleep(0.02)
    parent.stdout.close()
    assert not any(is_running(pid) for pid in workers)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
