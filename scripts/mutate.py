#!/usr/bin/env python3
"""Mutation check: break the source line by line and list the mutations that no quick test notices.

The mutations are listed in scripts/mutations.txt. Each one is applied to a temporary copy of the repository, in which
the quick tests of its folder run until one fails. A mutation that no test notices has survived: a test is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "scripts" / "mutations.txt"
COPIED = ("depthbox", "tests", "configs", "scripts", "tools", "examples", "docs", "pyproject.toml", "setup.py")
PRELOADED = ("torch", "torchvision", "detectron2.config", "detectron2.modeling", "detectron2.engine", "scipy.optimize")
TIMEOUT = 600  # seconds; the tests of a folder take less than a minute


@dataclass(frozen=True)
class Mutation:
    """A change of one piece of a source file.

    Attributes:
        file: source file, relative to the root of the repository.
        tests: folder or file of the tests that must notice the change.
        old: text that occurs once in the file.
        new: its replacement.
        line: number of the line in the table.
    """

    file: str
    tests: str
    old: str
    new: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}: {self.old} -> {self.new}"

    def apply(self, text: str) -> str:
        """Return the source with the change.

        Raises:
            ValueError: the old text does not occur exactly once, or nothing changes.
        """
        count = text.count(self.old)
        if count != 1 or self.old == self.new:
            raise ValueError(
                f"scripts/mutations.txt:{self.line}: {self.old!r} occurs {count} times in {self.file}, not once"
            )
        return text.replace(self.old, self.new)


def read_table(path: Path = TABLE) -> list[Mutation]:
    r"""Read the mutations of a table; ``\n`` in an entry stands for a line break.

    Raises:
        ValueError: a line is not of the format that the head of the table describes.
    """
    mutations, file, tests, old = [], "", "", ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark, _, rest = line.partition(" ")
        if not line.strip() or mark == "#":
            continue
        if mark == "-":
            old = rest.replace("\\n", "\n")
        elif mark == "+" and file and old:
            mutations.append(Mutation(file, tests, old, rest.replace("\\n", "\n"), number))
        elif mark == "=" and len(rest.split()) == 2:
            file, tests = rest.split()
        else:
            raise ValueError(f"{path.name}:{number}: expected '= FILE TESTS', '- OLD' or '+ NEW', got {line!r}")
    return mutations


@contextlib.contextmanager
def copy_repository() -> Iterator[Path]:
    """Copy the parts of the repository that tests read into a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="depthbox-mutate-") as name:
        for part in COPIED:
            source, target = ROOT / part, Path(name) / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.is_file():
                shutil.copy(source, target)
        yield Path(name)


def run_tests(folder: Path, tests: Sequence[str]) -> tuple[str, str]:
    """Run quick tests of a copy of the repository in a forked process, up to the first failure.

    Returns:
        "passed", "failed", "broken" (no test ran) or "timeout"; and the first failed test.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run_pytest, args=(folder, list(tests), sender))
    process.start()
    answer = receiver.recv() if receiver.poll(TIMEOUT) else ("timeout", f"no end after {TIMEOUT} s")
    process.kill()
    process.join()
    return answer


def _run_pytest(folder: Path, tests: list[str], sender: multiprocessing.connection.Connection) -> None:
    import pytest

    os.chdir(folder)
    os.setsid()
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True  # a stale cache would hide a change of equal length
    with (
        open(os.devnull, "w") as null,
        contextlib.redirect_stderr(null),
        contextlib.redirect_stdout(io.StringIO()) as out,
    ):
        code = int(pytest.main(["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]))
    lines = [line for line in out.getvalue().splitlines() if line.startswith(("FAILED", "ERROR"))]
    failed = lines[0].split(" ", 1)[1].split(" - ")[0] if lines else ""
    module = sys.modules.get("depthbox")
    if module is not None and not str(module.__file__).startswith(str(folder)):
        code, failed = -1, f"{module.__file__} was tested instead of the copy"
    sender.send(({0: "passed", 1: "failed"}.get(code, "broken"), failed))


def check(folder: Path, mutation: Mutation) -> tuple[str, str]:
    """Apply a mutation to the copy, run its tests, and undo it; return the result of ``run_tests``."""
    path = folder / mutation.file
    source = path.read_text(encoding="utf-8")
    path.write_text(mutation.apply(source), encoding="utf-8")
    try:
        return run_tests(folder, [mutation.tests])
    finally:
        path.write_text(source, encoding="utf-8")


def preload() -> None:
    """Import the libraries once, on the CPU and with one thread; the forked processes share them."""
    os.environ.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", TRITON_INTERPRET="1")
    for name in PRELOADED:
        importlib.import_module(name)


def main(words: Sequence[str] | None = None) -> int:
    """Run the check; return 0 if every mutation is noticed, 1 if not, 2 for a wrong table or failing tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="mutations whose file or tests contain this text")
    parser.add_argument("--list", action="store_true", help="list the mutations and stop")
    options = parser.parse_args(words)
    mutations = [m for m in read_table() if options.only in f"{m.file} {m.tests}"]
    try:
        for mutation in mutations:
            mutation.apply((ROOT / mutation.file).read_text(encoding="utf-8"))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if options.list or not mutations:
        print("\n".join([*map(str, mutations), f"{len(mutations)} mutations"]))
        return 0
    preload()
    with copy_repository() as folder:
        return _check_all(folder, mutations)


def _check_all(folder: Path, mutations: Sequence[Mutation]) -> int:
    for tests in dict.fromkeys(mutation.tests for mutation in mutations):
        outcome, failed = run_tests(folder, [tests])
        if outcome != "passed":
            print(f"The tests in {tests} do not pass without a mutation ({outcome}): {failed}", file=sys.stderr)
            return 2
    survived, start = [], time.monotonic()
    for number, mutation in enumerate(mutations, 1):
        outcome, failed = check(folder, mutation)
        if outcome not in ("failed", "timeout"):
            survived.append(mutation)
        name = "SURVIVED" if outcome == "passed" else outcome
        print(f"{number:3}/{len(mutations)} {name:8} {mutation}\n             {failed}".rstrip(), flush=True)
    minutes = (time.monotonic() - start) / 60
    print(f"{len(mutations)} mutations in {minutes:.1f} minutes, {len(survived)} not noticed by a quick test")
    for mutation in survived:
        print(f"  {mutation} (tests: {mutation.tests})")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
