"""Synthetic dataset: ray-cast scenes with exact masks and imperfect depth, written as COCO data.

Seed, index, size and the version of the generator determine a scene; each split has a separate stream.
"""

from __future__ import annotations

import json
import shutil
import sys
import zlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from tqdm import tqdm

from ...io.files import atomic_open, remove_stale
from ...io.folder_lock import lock_folder
from ...io.untrusted.json_files import read_json
from ...io.write_errors import describe_shortage
from ..coco_content import build_coco_content
from ..depth_io import DEPTH_SUFFIXES, write_depth
from ..derived_points.sampling import POINT_KINDS, PointKind, choose_point
from ..process_pool import map_in_processes
from .scene import GENERATOR_VERSION, Scene, render_scene
from .world import CLASS_NAMES

# Seconds between two updates of the progress bar: often in a terminal, rarely in a log file.
_BAR_INTERVAL = 0.1 if sys.stderr.isatty() else 15.0

# Last word of the seeds of the points, so that the scenes do not depend on them.
_POINT_STREAM = zlib.crc32(b"points")
_SCENE_BYTES = 3.0  # of a pixel, image and depth together

__all__ = ["CLASS_NAMES", "GENERATOR_VERSION", "Scene", "render_scene", "split_seed", "write_dataset"]

Record = dict[str, Any]


def split_seed(seed: int, split: str) -> int:
    """Return the seed of the scenes of a split, so that no two splits share a scene."""
    return zlib.crc32(f"{split}:{seed}".encode())


def write_dataset(
    output: str | Path,
    count: int,
    seed: int = 0,
    height: int = 240,
    width: int = 320,
    split: str = "train",
    workers: int = 1,
    depth_format: str = "png",
    progress: bool = False,
    points: PointKind | None = None,
) -> Path:
    """Write ``count`` scenes as COCO data and return the path of the JSON file, which is written last.

    The files are OUTPUT/{split}/000000.png (RGB), OUTPUT/depth_{split}/000000.png (16 bits, 65535 = near; or .npy,
    float32 in [0, 1]) and OUTPUT/instances_{split}.json. Scenes that an interrupted call finished are kept. The files
    have the same bytes for any number of workers.

    Args:
        output: folder, created if missing.
        count: number of scenes; a larger count than before adds scenes.
        seed: any integer >= 0; equal seeds give different scenes for different splits.
        height, width: image size in pixels, at least 32.
        split: name of the split, such as "train" or "val".
        workers: number of processes; 0 and 1 use this process.
        depth_format: "png" or "npy".
        progress: show a progress bar.
        points: kind of the point that each object gets in the JSON file: "random" (any pixel of the visible mask is
            equally likely), "center" (the pixel farthest from the border) or "biased" (by the squared distance to the
            border); None = no points. The images, the depth and the other entries do not depend on it.

    Raises:
        ValueError: an argument is out of range, the folder holds other scenes of a split of this name, or another
            process writes this split.
        WriteError: a file cannot be written. The finished scenes are kept.
    """
    if count < 1 or seed < 0 or workers < 0:
        raise ValueError(f"count must be >= 1, seed and workers >= 0, got {count}, {seed} and {workers}")
    if f".{depth_format}" not in DEPTH_SUFFIXES:
        raise ValueError(f"depth_format must be 'png' or 'npy', got '{depth_format}'")
    if points is not None and points not in POINT_KINDS:
        raise ValueError(f"points must be one of {', '.join(POINT_KINDS)}, got {points!r}")
    output = Path(output)
    info: Record = {"description": "DepthBox synthetic scenes", "version": str(GENERATOR_VERSION)}
    info |= {"seed": seed, "split": split, "height": height, "width": width}
    info |= {"points": points} if points else {}
    target = output / f"instances_{split}.json"
    folders = (output / split, output / f"depth_{split}", _notes_folder(output, split), output)
    with lock_folder(output, "generation of scenes", target.name):
        try:
            _remove_temporary(folders)
            _write_split(output, count, info, workers, depth_format, progress)
        finally:
            _remove_temporary(folders)  # those of worker processes that were killed
    return target


def _write_split(output: Path, count: int, info: Record, workers: int, depth_format: str, progress: bool) -> None:
    """Write the missing scenes of a split and its JSON file.

    The note of a scene is written after its files; the JSON file of the split replaces all notes.
    """
    split, notes = info["split"], _notes_folder(output, info["split"])
    target = output / f"instances_{split}.json"
    records = _read_finished(target, notes, info)
    files = {i: _paths(output, split, i, depth_format) for i in range(count)}
    todo = [i for i in range(count) if i not in records or not all(path.is_file() for path in files[i])]
    if warning := describe_shortage(output, len(todo) * _SCENE_BYTES * info["height"] * info["width"]):
        print(f"warning: {warning}", file=sys.stderr)
    write = partial(_write_scene, output=output, notes=notes, info=info, depth_format=depth_format)
    with map_in_processes(write, todo, workers) as done:
        bar = tqdm(done, split, len(todo), unit="image", disable=not progress, mininterval=_BAR_INTERVAL)
        records.update(bar)
    with atomic_open(target) as file:
        file.write(_format_coco(info, [records[i] for i in range(count)], info["width"], info["height"]))
    shutil.rmtree(notes, ignore_errors=True)


def _notes_folder(output: Path, split: str) -> Path:
    return output / f".unfinished_{split}"


def _remove_temporary(folders: Iterable[Path]) -> None:
    for folder in folders:
        remove_stale(folder)


def _paths(output: Path, split: str, index: int, depth_format: str) -> tuple[Path, Path]:
    return output / split / f"{index:06d}.png", output / f"depth_{split}" / f"{index:06d}.{depth_format}"


def _write_scene(index: int, output: Path, notes: Path, info: Record, depth_format: str) -> tuple[int, Record]:
    """Render one scene and write its files; the record, which marks them as complete, is written last."""
    scene = render_scene(index, split_seed(info["seed"], info["split"]), info["height"], info["width"])
    image_path, depth_path = _paths(output, info["split"], index, depth_format)
    with atomic_open(image_path) as file:
        Image.fromarray(scene.image).save(file, format="PNG", compress_level=1)
    write_depth(depth_path, scene.pseudo_depth)
    record = {"file_name": image_path.name, "annotations": _make_annotations(scene, index, info)}
    with atomic_open(notes / f"{index:06d}.json") as file:
        file.write(json.dumps({"info": info, "index": index, "record": record}).encode())
    return index, record


def _make_annotations(scene: Scene, index: int, info: Record) -> list[Record]:
    """Return the COCO annotations of a scene, with points if the dataset has them."""
    generator = np.random.default_rng(
        [split_seed(info["seed"], info["split"]), index, GENERATOR_VERSION, _POINT_STREAM]
    )
    annotations = []
    for number, label in enumerate(scene.classes, 1):
        mask = scene.instance_map == number
        annotation = _make_annotation(mask, int(label))
        if "points" in info:
            point = choose_point(mask, info["points"], generator)
            annotation |= {"point_coords": [list(point)], "point_labels": [1]}
        annotations.append(annotation)
    return annotations


def _make_annotation(mask: np.ndarray, label: int) -> Record:
    """Return the COCO annotation, without ids, of a visible mask (H, W) bool."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [int(v) for v in (columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0])]
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    segmentation = {"size": [int(v) for v in code["size"]], "counts": code["counts"].decode()}
    return {
        "category_id": label + 1,
        "bbox": box,
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": segmentation,
    }


def _read_finished(target: Path, notes: Path, info: Record) -> dict[int, Record]:
    """Read the records of finished scenes from the JSON file of the split or the notes of a part."""
    records: dict[int, Record] = {}
    for path in [target] * target.is_file() + sorted(notes.glob("*.json")):
        content = read_json(path)
        if content["info"] != info:
            raise ValueError(
                f"{path} belongs to another dataset ({content['info']}, not {info}): choose another "
                "output folder or delete this one"
            )
        if path != target:
            records[content["index"]] = content["record"]
            continue
        for image in content["images"]:
            records[image["id"] - 1] = {"file_name": image["file_name"], "annotations": []}
        for annotation in content["annotations"]:
            bare = {key: value for key, value in annotation.items() if key not in ("id", "image_id")}
            records[annotation["image_id"] - 1]["annotations"].append(bare)
    return records


def _format_coco(info: Record, records: list[Record], width: int, height: int) -> bytes:
    images = ({"file_name": record["file_name"], "width": width, "height": height} for record in records)
    objects = (record["annotations"] for record in records)
    categories = [{"id": label, "name": name, "supercategory": "shape"} for label, name in enumerate(CLASS_NAMES, 1)]
    return json.dumps(build_coco_content(info, images, objects, categories)).encode()
