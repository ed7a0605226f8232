"""Where predictions go: a COCO json written as a stream, pictures and videos with masks, cut-outs."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from detectron2.structures import Instances
from PIL import Image

from ..evaluation.coco_results import instances_to_results
from ..io.files import atomic_open
from ..io.media import Frame
from ..io.video import VideoFile
from ..visualization.draw import Picture
from .classes import ClassList


class CocoStream:
    """Writes the objects of one picture after the other into a COCO json, with none of them kept in memory.

    The file holds ``annotations`` (with ``score``, ``segmentation`` as RLE, ``area``, and ``depth`` where the network
    predicts it), ``images`` and ``categories``.

    Args:
        annotations, images: files open for writing; the second is a temporary one.
        classes: of the network.
    """

    def __init__(self, annotations: IO[bytes], images: IO[bytes], classes: ClassList) -> None:
        self._annotations, self._images, self._classes = annotations, images, classes
        self.num_images = self.num_objects = 0
        annotations.write(b'{"annotations": [')

    def add(self, frame: Frame, instances: Instances) -> None:
        """Write a picture and its objects."""
        self.num_images += 1
        height, width = frame.pixels.shape[:2]
        entry = {"id": self.num_images, "file_name": frame.name, "width": width, "height": height}
        if frame.source.kind != "image":
            entry |= {"video": frame.source.name, "frame_index": frame.index}
        self._write(self._images, entry, first=self.num_images == 1)
        depths = instances.pred_depths.tolist() if instances.has("pred_depths") else []
        for place, row in enumerate(instances_to_results(instances, self.num_images, self._classes.ids)):
            self.num_objects += 1
            row |= {"id": self.num_objects, "iscrowd": 0, "area": _area(row, instances, place)}
            row["score"] = round(row["score"], 5)
            row["bbox"] = [round(value, 2) for value in row["bbox"]]
            if depths:
                row["depth"] = round(depths[place], 5)
            self._write(self._annotations, row, first=self.num_objects == 1)

    def finish(self) -> None:
        """Write what comes after the annotations."""
        self._annotations.write(b'\n], "images": [')
        self._images.seek(0)
        while block := self._images.read(2**20):
            self._annotations.write(block)
        tail = json.dumps(self._classes.categories())
        self._annotations.write(f'\n], "categories": {tail}}}\n'.encode())

    @staticmethod
    def _write(file: IO[bytes], entry: dict, first: bool) -> None:
        file.write(b"\n" if first else b",\n")
        file.write(json.dumps(entry).encode())


@contextmanager
def coco_stream(path: Path, classes: ClassList) -> Iterator[CocoStream]:
    """A ``CocoStream`` whose file appears under its name when the block ends without an error."""
    with atomic_open(path) as file, tempfile.TemporaryFile() as images:
        stream = CocoStream(file, images, classes)
        yield stream
        stream.finish()


class OverlayWriter:
    """Writes pictures with drawn objects: an image for an image, a video for a video.

    Args:
        folder: of the files, which are named as their sources.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Path] = []
        self._video: VideoFile | None = None
        self._source = ""

    def add(self, frame: Frame, picture: Picture) -> None:
        """Write the picture that was made of a frame."""
        if frame.source.kind == "image":
            self._write_image(overlay_path(self.folder, frame), picture)
            return
        size = (picture.shape[0], picture.shape[1])
        if self._video is None or self._source != frame.source.path:
            self.close()
            self._video, self._source = VideoFile(overlay_path(self.folder, frame), size, frame.rate), frame.source.path
        self._video.write(picture)

    def close(self, keep: bool = True) -> None:
        """Finish the open video."""
        if self._video is not None:
            video, self._video = self._video, None
            video.close(keep)
            if keep:
                self.written.append(video.path)

    def _write_image(self, path: Path, picture: Picture) -> None:
        jpeg = path.suffix.lower() in (".jpg", ".jpeg")
        with atomic_open(path) as file:
            if jpeg:
                Image.fromarray(picture).save(file, format="JPEG", quality=92)
            else:
                Image.fromarray(picture).save(file, format="PNG", compress_level=3)
        self.written.append(path)


def overlay_path(folder: Path, frame: Frame) -> Path:
    """Where the picture of an image, or the video of a video's frame, goes."""
    kept = (".jpg", ".jpeg", ".png") if frame.source.kind == "image" else (".mp4", ".avi")
    name = frame.source.name
    return folder / (name if name.lower().endswith(kept) else name + kept[-1 if kept[0] == ".jpg" else 0])


def write_cutouts(folder: Path, frame: Frame, instances: Instances, classes: ClassList) -> list[Path]:
    """Write each object as a PNG of its own: cut to its mask, transparent around it."""
    stem = Path(frame.source.name.replace("#", "_"))
    if frame.source.kind != "image":
        stem = stem.with_name(f"{stem.name}_{frame.index:06d}")
    written = []
    for place, (mask, label) in enumerate(
        zip(instances.pred_masks.numpy(), instances.pred_classes.tolist(), strict=True), start=1
    ):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows) == 0:
            continue
        window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        picture = np.dstack((frame.pixels[window], np.where(mask[window], np.uint8(255), np.uint8(0))))
        name = re.sub(r"[^\w-]+", "_", classes.names[label])
        path = folder / stem.parent / f"{stem.name}_{place:03d}_{name}.png"
        with atomic_open(path) as file:
            Image.fromarray(picture).save(file, format="PNG", compress_level=3)
        written.append(path)
    return written


def _area(row: dict, instances: Instances, place: int) -> int:
    if instances.has("pred_masks"):
        return int(instances.pred_masks[place].sum())
    return round(row["bbox"][2] * row["bbox"][3])
