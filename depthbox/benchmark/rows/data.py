"""Throughput of the data mapper on one core, and the shares of its steps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from PIL import Image

from ...data.depth_io import write_depth
from ...data.mapper import BoxDepthMapper
from .. import inputs
from ..comparison import Options, Row, describe
from ..inputs import Setting
from ..measure import Measurement, measure

_COUNT, _SIZE, _SHORT, _LONG = 32, (480, 640), 800, 1333
_QUICK_COUNT, _QUICK_SIZE, _QUICK_SHORT = 3, (48, 64), 80


def data(options: Options) -> Iterator[Row]:
    """Measure JPEG images of 480 x 640 with 16-bit depth PNG, resized to a short side of 800, flipped, with boxes.

    Each share is measured by omitting a step: without resizing; without reading (and resizing) depth; the remaining
    time without both is the decoding of image and objects.
    """
    count, size, short = (_QUICK_COUNT, _QUICK_SIZE, _QUICK_SHORT) if options.quick else (_COUNT, _SIZE, _SHORT)
    resize, flip = T.ResizeShortestEdge(short, _LONG), T.RandomFlip()
    with tempfile.TemporaryDirectory() as folder:
        records = write_records(Path(folder), count, size)

        def seconds(augmentations: list[T.Augmentation], depth: bool) -> Measurement:
            fields = ("depth",) if depth else ()
            mapper = BoxDepthMapper(True, augmentations=augmentations, image_format="BGR", fields=fields)
            mapper(records[0])
            cpu = torch.device("cpu")
            return measure(lambda: [mapper(r) for r in records], cpu, repeat=options.repeat, budget=options.budget / 4)

        whole, no_depth = seconds([resize, flip], True), seconds([resize, flip], False)
        unresized, decode = seconds([flip], True), seconds([flip], False)
    yield {
        "op": "data",
        "device": "cpu",
        "speedup": None,
        "memory_ratio": None,
        "input": f"JPEG {size[0]} x {size[1]} and depth, to short side {short}",
        **describe("ours", whole),
        "images_per_s": count / whole.median,
        "images_per_s_without_depth": count / no_depth.median,
        "share_resize": 1 - unresized.median / whole.median,
        "share_depth": 1 - no_depth.median / whole.median,
        "share_decode_image": decode.median / whole.median,
    }


def write_records(folder: Path, count: int, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Write images and depth files; returns Detectron2's dataset dicts."""
    setting = Setting(images=count, height=size[0], width=size[1])
    images = inputs.make_images(setting, torch.device("cpu"))
    depth = inputs.make_depth(setting, torch.device("cpu"), size)
    boxes = inputs.make_boxes(setting, torch.device("cpu"))
    records = []
    for index in range(count):
        image_file, depth_file = folder / f"{index}.jpg", folder / f"{index}.png"
        Image.fromarray(np.ascontiguousarray(images[index].permute(1, 2, 0).numpy())).save(image_file, quality=90)
        write_depth(depth_file, depth[index].numpy())
        annotations = [
            {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 0}
            for box in boxes[index].tolist()
        ]
        record = {"file_name": str(image_file), "depth_file_name": str(depth_file), "image_id": index}
        records.append(record | {"height": size[0], "width": size[1], "annotations": annotations})
    return records
