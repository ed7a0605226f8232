"""Writer of training metrics and panels to TensorBoard's event files, without repeated or missing steps."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.utils.events import EventWriter, get_event_storage
from PIL import Image

from ...io.files import atomic_open
from ..image_logging import Panel
from .append import AppendedFile
from .json_lines import collect_values

PATTERN = "events.out.tfevents.*"
_FRAME = 16  # bytes of a record besides its content: length and two checksums


class TensorBoardWriter(EventWriter):
    """Writer of scalars and images to one event file per process, on disk as soon as a call returns.

    torch's ``SummaryWriter`` buffers events in a thread: a process that is killed loses them, and a resumed run cannot
    tell which.
    """

    def __init__(self, folder: str | os.PathLike[str], start_iter: int = 0, first_image: int = 0) -> None:
        """
        Args:
            folder: OUTPUT_DIR. Later steps of an interrupted run in its event files are removed.
            start_iter: first iteration whose scalars are not yet written.
            first_image: first iteration whose images are not yet written.
        """
        from tensorboard.compat.proto import event_pb2, summary_pb2

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._written = start_iter - 1
        newest = cut_events(Path(folder), start_iter, first_image)
        stamp = max(int(time.time()), newest + 1)  # readers sort event files by name
        name = f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = AppendedFile(Path(folder) / name)
        self._append(file_version="brain.Event:2")
        if first_image > 0:  # running viewers forget the steps from here on
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._append(step=max(start_iter, first_image), session_log=start)

    def write(self) -> None:
        """Append the scalars since the last call."""
        for iteration, values in collect_values(get_event_storage(), self._written).items():
            scalars = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
            self._append(step=iteration, summary=self._summary(value=scalars))
            self._written = iteration

    def write_panels(self, panels: Sequence[Panel]) -> None:
        """Append images."""
        for panel in panels:
            encoded = io.BytesIO()
            Image.fromarray(panel.image).save(encoded, "PNG")
            height, width = panel.image.shape[:2]
            image = self._summary.Image(
                height=height, width=width, colorspace=3, encoded_image_string=encoded.getvalue()
            )
            value = self._summary.Value(tag=panel.name, image=image)
            self._append(step=panel.iteration, summary=self._summary(value=[value]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, **fields: Any) -> None:
        event = self._event(wall_time=time.time(), **fields)
        self._file.append(_encode(event.SerializeToString()))


def cut_events(folder: Path, first_scalar: int, first_image: int) -> int:
    """Remove events from an iteration on, and truncated records, from all event files of a folder.

    Args:
        folder: folder of the event files.
        first_scalar: first iteration whose scalars are removed.
        first_image: first iteration whose images are removed.

    Returns:
        The newest time stamp among the names of the files; 0 without a file.
    """
    stamps = [0]
    for path in sorted(folder.glob(PATTERN)):
        stamp = path.name.removeprefix(PATTERN[:-1]).split(".")[0]
        stamps.append(int(stamp) if stamp.isdecimal() else 0)
        _cut_file(path, first_scalar, first_image)
    return max(stamps)


def _cut_file(path: Path, first_scalar: int, first_image: int) -> None:
    """Rewrite one event file if it holds events to remove."""
    from tensorboard.compat.proto import event_pb2

    kept, size = [], 0
    for record in read_records(path):
        event = event_pb2.Event.FromString(record)
        first = first_image if any(value.HasField("image") for value in event.summary.value) else first_scalar
        if event.step >= first and (event.summary.value or event.HasField("session_log")):
            continue
        kept.append(record)
        size += len(record) + _FRAME
    if size != path.stat().st_size:
        with atomic_open(path) as file:
            file.writelines(_encode(record) for record in kept)


def read_records(path: Path) -> Iterator[bytes]:
    """Yield the complete records of an event file."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    if path.stat().st_size:
        yield from RawEventFileLoader(str(path)).Load()


def read_scalars(folder: Path) -> Mapping[tuple[str, int], list[float]]:
    """Return all values of all event files of a folder by metric and step."""
    from tensorboard.compat.proto import event_pb2

    values: dict[tuple[str, int], list[float]] = {}
    for path in sorted(folder.glob(PATTERN)):
        for record in read_records(path):
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    values.setdefault((value.tag, event.step), []).append(value.simple_value)
    return values


def _encode(data: bytes) -> bytes:
    """Return the record of an event as event files hold it."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    RecordWriter(buffer).write(data)
    return buffer.getvalue()
