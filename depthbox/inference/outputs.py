"""Files of predictions: a COCO JSON file written as a stream, overlays of images and videos, and cut-outs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from detectron2.structures import Instances
from PIL import Image

from ..evaluation.coco_results import instances_to_results
from ..io.files import atomic_open, open_scratch
from ..io.images import RGBImage
from ..io.media import MediaFrame
from ..io.video import VideoFile
from .classes import ClassList

_LONGEST_NAME = 60  # characters of a class name in the name of a file


class CocoStream:
    """A COCO JSON file that is written image by image; no objects are kept in memory.

    It has ``annotations`` (with ``score``, ``segmentation`` as RLE, ``area``, and ``depth`` if the network predicts
    it), ``images`` and ``categories``.

    Args:
        annotations, images: files open for writing; the second one is temporary.
        classes: classes of the network.
    """

    def __init__(self, annotations: IO[bytes], images: IO[bytes], classes: ClassList) -> None:
        self._annotations, self._images, self._classes = annotations, images, classes
        self.num_images = self.num_objects = 0
        annotations.write(b'{"annotations": [')

    def add(self, frame: MediaFrame, instances: Instances) -> None:
        """Write a frame and its N instances."""
        self.num_images += 1
        height, width = frame.pixels.shape[:2]
        entry = {"id": self.num_images, "file_name": frame.name, "width": width, "height": height}
        if frame.source.kind != "image":
            entry |= {"video": frame.source.name, "frame_index": frame.index}
        self._write(self._images, entry, first=self.num_images == 1)
        depths = instances.pred_depths.tolist() if instances.has("pred_depths") else []
        for index, result in enumerate(instances_to_results(instances, self.num_images, self._classes.ids)):
            self.num_objects += 1
            result |= {"id": self.num_objects, "iscrowd": 0, "area": _area(result, instances, index)}
            result["score"] = round(result["score"], 5)
            result["bbox"] = [round(value, 2) for value in result["bbox"]]
            if depths:
                result["depth"] = round(depths[index], 5)
            self._write(self._annotations, result, first=self.num_objects == 1)

    def finish(self) -> None:
        """Write the images and categories after the annotations."""
        self._annotations.write(b'\n], "images": [')
        self._images.seek(0)
        while block := self._images.read(2**20):
            self._annotations.write(block)
        tail = json.dumps(self._classes.categories())
        self._annotations.write(f'\n], "categories": {tail}}}\n'.encode())

    @staticmethod
    def _write(file: IO[bytes], entry: dict[str, Any], first: bool) -> None:
        file.write(b"\n" if first else b",\n")
        file.write(json.dumps(entry).encode())


@contextmanager
def open_coco_stream(path: Path, classes: ClassList) -> Iterator[CocoStream]:
    """Open a ``CocoStream`` whose file appears under its name when the block ends without an error."""
    with atomic_open(path) as file, open_scratch(path) as images:
        stream = CocoStream(file, images, classes)
        yield stream
        stream.finish()


class OverlayWriter:
    """Images and videos with drawn objects: an image file for an image, a video file for a video or camera.

    Args:
        folder: folder of the files, which are named after their sources.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Path] = []
        self._video: VideoFile | None = None
        self._source = ""

    def add(self, frame: MediaFrame, overlay: RGBImage) -> None:
        """Write the overlay (H, W, 3) uint8, RGB, of a frame."""
        if frame.source.kind == "image":
            self._write_image(overlay_path(self.folder, frame), overlay)
            return
        size = (overlay.shape[0], overlay.shape[1])
        if self._video is None or self._source != frame.source.path:
            self.close()
            self._source = frame.source.path
            self._video = VideoFile(overlay_path(self.folder, frame), size, frame.rate)
        self._video.write(overlay)

    def close(self, keep: bool = True) -> None:
        """Finish the open video, or remove it if ``keep`` is False."""
        if self._video is not None:
            video, self._video = self._video, None
            video.close(keep)
            if keep:
                self.written.append(video.path)

    def _write_image(self, path: Path, overlay: RGBImage) -> None:
        jpeg = path.suffix.lower() in (".jpg", ".jpeg")
        with atomic_open(path) as file:
            if jpeg:
                Image.fromarray(overlay).save(file, format="JPEG", quality=92)
            else:
                Image.fromarray(overlay).save(file, format="PNG", compress_level=3)
        self.written.append(path)


def overlay_path(folder: Path, frame: MediaFrame) -> Path:
    """Return the overlay file of the source of a frame."""
    kept = (".jpg", ".jpeg", ".png") if frame.source.kind == "image" else (".mp4", ".avi")
    name = frame.source.name
    return folder / (name if name.lower().endswith(kept) else name + kept[-1 if kept[0] == ".jpg" else 0])


def write_cutouts(folder: Path, frame: MediaFrame, instances: Instances, classes: ClassList) -> list[Path]:
    """Write each instance as a PNG file cropped to its mask, with a transparent background; empty masks are skipped.

    Returns:
        The files.
    """
    stem = Path(frame.source.name.replace("#", "_"))
    if frame.source.kind != "image":
        stem = stem.with_name(f"{stem.name}_{frame.index:06d}")
    written = []
    pairs = zip(instances.pred_masks.numpy(), instances.pred_classes.tolist(), strict=True)
    for number, (mask, label) in enumerate(pairs, start=1):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows) == 0:
            continue
        window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        cutout = np.dstack((frame.pixels[window], np.where(mask[window], np.uint8(255), np.uint8(0))))
        name = re.sub(r"[^\w-]+", "_", classes.names[label])[:_LONGEST_NAME]
        path = folder / stem.parent / f"{stem.name}_{number:03d}_{name}.png"
        with atomic_open(path) as file:
            Image.fromarray(cutout).save(file, format="PNG", compress_level=3)
        written.append(path)
    return written


def _area(result: dict[str, Any], instances: Instances, index: int) -> int:
    """Return the pixels of a mask, or the area of the box without masks."""
    if instances.has("pred_masks"):
        return int(instances.pred_masks[index].sum())
    return round(result["bbox"][2] * result["bbox"][3])
