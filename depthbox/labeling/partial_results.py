"""Partial results of a labeling job (one JSON line per image), used to resume it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

_BLOCK = 2**20


@dataclass(frozen=True)
class ObjectLabel:
    """Mask of one annotation.

    Attributes:
        segmentation: compressed RLE of the whole image, counts as str; None if the prompt lies outside the image.
        score: quality of the mask in [0, 1].
        area: number of pixels.
    """

    segmentation: dict[str, Any] | None
    score: float = 0.0
    area: int = 0


def fingerprint(files: Sequence[Path], settings: Mapping[str, Any]) -> str:
    """Hash the contents of files and settings; the hash differs if any of them differs.

    Args:
        files: are read completely.
        settings: values that JSON or ``str`` can write.
    """
    digest = hashlib.sha256()
    for text in _encode(settings):
        digest.update(text.encode() + b"\0")
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _encode(value: Any) -> Iterator[str]:
    """Encode a value as JSON in parts: the whole text of a large dataset would need much memory."""
    if isinstance(value, Mapping):
        yield f"dict {len(value)}"
        for key in sorted(value, key=str):
            yield f"key {key}"
            yield from _encode(value[key])
    elif isinstance(value, list):
        yield f"list {len(value)}"
        yield from (json.dumps(entry, sort_keys=True, default=str) for entry in value)
    else:
        yield json.dumps(value, default=str)


class PartialResults:
    """A JSON Lines file beside the output: the fingerprint of the job, then one line per labeled image.

    Args:
        path: the file.
        job: fingerprint of the job. The results of another job are discarded.

    Attributes:
        labels: index of the annotation in the user's file -> its label.
        was_other_job: whether results of another job were discarded.
    """

    def __init__(self, path: Path, job: str) -> None:
        self.path, self.job = path, job
        self.labels: dict[int, ObjectLabel] = {}
        self.was_other_job = False
        self._file: IO[bytes] | None = None

    def __enter__(self) -> PartialResults:
        """Load the results of the job and open the file for appending."""
        good = self._load()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "r+b" if good else "wb")
        self._file.truncate(good)  # removes a line that was cut off by a crash
        self._file.seek(good)
        if not good:
            self._write({"job": self.job})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, labels: Mapping[int, ObjectLabel]) -> None:
        """Append the labels of an image."""
        self.labels.update(labels)
        self._write({"labels": [{"index": index, **asdict(label)} for index, label in labels.items()]})

    def remove(self) -> None:
        """Delete the file, after the output is written."""
        self.__exit__(None, None, None)
        self.path.unlink(missing_ok=True)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _load(self) -> int:
        """Load the lines of this job; return the number of bytes that they take."""
        if not self.path.is_file():
            return 0
        good = 0
        with open(self.path, "rb") as file:
            for text in file:
                line = _parse(text)
                if line is None:
                    break
                if good == 0 and line.get("job") != self.job:
                    self.was_other_job = True
                    return 0
                for label in line.get("labels", ()):
                    index = label.pop("index")
                    self.labels[index] = ObjectLabel(**label)
                good += len(text)
        return good


def _parse(text: bytes) -> dict[str, Any] | None:
    """Parse a complete line; None for a line that was cut off."""
    try:
        return json.loads(text) if text.endswith(b"\n") else None
    except ValueError:
        return None
