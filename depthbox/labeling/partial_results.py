"""What is labelled already: a line for each finished image, so that a job that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

_BLOCK = 2**20


def fingerprint(files: list[Path], settings: dict[str, Any]) -> str:
    """A word for some files' contents and some settings: another one where any of them differs."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


class Sidecar:
    """A jsonl file beside the result: its first line tells of what job, each other one holds a finished image.

    Args:
        path: of the file.
        job: a word for the job (``fingerprint``); lines of another job are thrown away.
    """

    def __init__(self, path: Path, job: str) -> None:
        self.path, self.job = path, job
        self.done: dict[Any, dict[str, Any]] = {}
        self.was_other_job = False
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Sidecar:
        """Read what is there, and open the file for more."""
        good = self._read()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "r+b" if good else "wb")
        self._file.truncate(good)  # a line that a crash cut off must not spoil the next one
        self._file.seek(good)
        if not good:
            self._write({"job": self.job})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, image_id: Any, labels: list[dict[str, Any]]) -> None:
        """Keep the labels of a finished image."""
        line = {"image_id": image_id, "labels": labels}
        self.done[image_id] = line
        self._write(line)

    def remove(self) -> None:
        """Delete the file: the result holds all of it."""
        self.__exit__(None, None, None)
        self.path.unlink(missing_ok=True)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> int:
        """Take in the lines of this job; returns how many bytes of the file they are."""
        if not self.path.is_file():
            return 0
        good = 0
        with open(self.path, "rb") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    break
                if not text.endswith(b"\n"):
                    break
                if good == 0 and line.get("job") != self.job:
                    self.was_other_job = True
                    return 0
                if good:
                    self.done[line["image_id"]] = line
                good += len(text)
        return good
