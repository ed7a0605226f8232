"""Processes that die at a chosen call of the operating system, or may not write large files."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

CALLS = ("replace", "fsync", "unlink", "rmdir")


def die_at(job: Callable[[], Any], name: str, number: int) -> bool:
    """Run a job in a forked process that dies right before its ``number``-th call of ``os.name``, as by SIGKILL.

    Returns:
        Whether it died; False if the job ended with fewer calls.
    """
    child = os.fork()
    if child == 0:
        _die_before(name, number)
        try:
            job()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), f"the job failed with {status}"
    return status == 9


def each_death(job: Callable[[], Any], prepare: Callable[[], Any]) -> Iterator[str]:
    """Prepare and kill a job at each of its calls in turn; yield a description after each death."""
    for name in CALLS:
        for number in range(1, 100):
            prepare()
            if not die_at(job, name, number):
                break
            yield f"before {name} {number}"


def fail_with_limit(job: Callable[[], Any], size: int) -> str:
    """Run a job in a forked process whose files may hold ``size`` bytes; return its error, "" without one."""

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        job()

    return _find_error(run)


def expect_refusal(lock: Callable[[], AbstractContextManager[Any]], job: Callable[[], Any]) -> str:
    """Run a job while another process, which is not its parent, holds a lock; return its error, "" without one."""
    locked, done = os.pipe(), os.pipe()
    holder = os.fork()
    if holder == 0:
        with lock():
            os.write(locked[1], b"x")
            os.read(done[0], 1)
        os._exit(0)
    os.read(locked[0], 1)
    try:
        return _find_error(job)
    finally:
        os.write(done[1], b"x")
        os.waitpid(holder, 0)
        for descriptor in (*locked, *done):
            os.close(descriptor)


def _find_error(job: Callable[[], Any]) -> str:
    """Run a job in a forked process and return its error as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        text = ""
        try:
            job()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, text.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, "rb") as file:
        return file.read().decode()


def _die_before(name: str, number: int) -> None:
    original, count = getattr(os, name), 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            os._exit(9)
        return original(*arguments, **options)

    setattr(os, name, call)
