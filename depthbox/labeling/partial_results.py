"""Partial results of a labeling job (one JSON line per image), used to resume it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ..io.write_errors import explain_write_errors, make_folder


@dataclass(frozen=True)
class ObjectLabel:
    """Mask of one annotation.

    Attributes:
        segmentation: compressed RLE of the whole image, counts as str; None if the prompt lies outside the image, or
            for a fallback whose square is drawn at the end of the job.
        score: quality of the mask in [0, 1].
        area: number of pixels.
        fallback: whether the mask is a square around a point, because no pixel belongs to the point.
    """

    segmentation: dict[str, Any] | None
    score: float = 0.0
    area: int = 0
    fallback: bool = False


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
        self._size = 0  # bytes of the complete lines
        self._file: Any = None  # an unbuffered file

    def __enter__(self) -> PartialResults:
        """Load the results of the job and open the file for appending.

        Raises:
            WriteError: the file cannot be written.
        """
        self._size = self._load()
        make_folder(self.path.parent)
        with explain_write_errors(self.path):
            # Unbuffered: what a full disk did not take must not be written again at the end.
            self._file = open(self.path, "r+b" if self._size else "wb", buffering=0)
            self._file.truncate(self._size)  # removes a line that was cut off by a crash
        try:
            if not self._size:
                self._write({"job": self.job})
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file. A file without labels is removed if an error ends the job."""
        if self._file is not None:
            self._file.close()
        if kind is not None and not self.labels:
            self.path.unlink(missing_ok=True)

    def add(self, labels: Mapping[int, ObjectLabel]) -> None:
        """Append the labels of an image.

        Raises:
            WriteError: the file cannot be written, for instance because the disk is full. It keeps the earlier labels.
        """
        self._write({"labels": [{"index": index, **asdict(label)} for index, label in labels.items()]})
        self.labels.update(labels)

    def remove(self) -> None:
        """Delete the file, after the output is written."""
        self.__exit__(None, None, None)
        self.path.unlink(missing_ok=True)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        data = json.dumps(line).encode() + b"\n"
        try:
            with explain_write_errors(self.path, self._size + len(data)):
                self._file.seek(self._size)
                written = 0
                while written < len(data):
                    written += self._file.write(data[written:])
                os.fsync(self._file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
                if not self._size:
                    self.path.unlink()
            raise
        self._size += len(data)

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
                try:
                    labels = {int(label.pop("index")): ObjectLabel(**label) for label in line.get("labels", ())}
                except (AttributeError, KeyError, TypeError, ValueError):  # not a line of this program
                    break
                self.labels.update(labels)
                good += len(text)
        return good


def _parse(text: bytes) -> dict[str, Any] | None:
    """Parse a complete line; None for a line that was cut off or is damaged."""
    try:
        line = json.loads(text) if text.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None
