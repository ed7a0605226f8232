"""The embedded data set: ray-cast scenes with exact masks and imperfect depth, written as ordinary COCO data.

Seed, index, size and the generator's version determine a scene; each split draws from a stream of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from tqdm import tqdm

from ...io.files import atomic_open
from ..depth_io import DEPTH_SUFFIXES, write_depth
from .scene import GENERATOR_VERSION, Scene, render_scene
from .world import CLASS_NAMES

# Seconds between two drawings of the progress bar: many in a terminal, few in a log file.
_BAR_INTERVAL = 0.1 if sys.stderr.isatty() else 15.0

__all__ = ["CLASS_NAMES", "GENERATOR_VERSION", "Scene", "render_scene", "split_seed", "write_dataset"]

Record = dict[str, Any]


def split_seed(seed: int, split: str) -> int:
    """The seed of a split's scenes, so that no two splits share a scene."""
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
) -> Path:
    """Write `count` scenes as COCO data and return the path of the json, which is written last.

    Makes OUTPUT/{split}/000000.png (RGB), OUTPUT/depth_{split}/000000.png (16 bits, 65535 = near; or .npy,
    float32 in [0, 1]) and OUTPUT/instances_{split}.json. Scenes that an earlier, interrupted call finished
    are kept; the result has the same bytes for any number of workers.

    Args:
        output: folder, made if missing.
        count: number of scenes; a larger count than before adds scenes.
        seed: any integer >= 0; one seed gives different scenes for different splits.
        height, width: image size in pixels, at least 32.
        split: name of the split, as "train" or "val".
        workers: processes; 0 and 1 render in this process.
        depth_format: "png" or "npy".
        progress: show a progress bar.

    Raises:
        ValueError: an argument is out of range, or the folder holds other scenes under this split's name.
    """
    if count < 1 or seed < 0 or workers < 0:
        raise ValueError(f"count must be >= 1, seed and workers >= 0, got {count}, {seed} and {workers}")
    if f".{depth_format}" not in DEPTH_SUFFIXES:
        raise ValueError(f"depth_format must be 'png' or 'npy', got '{depth_format}'")
    output = Path(output)
    info: Record = {"description": "DepthBox synthetic scenes", "version": str(GENERATOR_VERSION)}
    info |= {"seed": seed, "split": split, "height": height, "width": width}
    # A scene's note is written after its files; the notes make way for the json of the whole.
    target, notes = output / f"instances_{split}.json", output / f".unfinished_{split}"
    records = _finished(target, notes, info)
    files = {i: _paths(output, split, i, depth_format) for i in range(count)}
    todo = [i for i in range(count) if i not in records or not all(path.is_file() for path in files[i])]
    write = partial(_write_scene, output=output, notes=notes, info=info, depth_format=depth_format)
    with _parallel_map(min(workers, len(todo))) as run:
        done = run(write, todo)
        for index, record in tqdm(
            done, split, len(todo), unit="image", disable=not progress, mininterval=_BAR_INTERVAL
        ):
            records[index] = record
    with atomic_open(target) as file:
        file.write(_coco_json(info, [records[i] for i in range(count)], width, height))
    shutil.rmtree(notes, ignore_errors=True)
    return target


def _paths(output: Path, split: str, index: int, depth_format: str) -> tuple[Path, Path]:
    return output / split / f"{index:06d}.png", output / f"depth_{split}" / f"{index:06d}.{depth_format}"


@contextmanager
def _parallel_map(workers: int) -> Iterator[Callable[..., Any]]:
    """A map over `workers` processes that yields in order of completion; the plain map for fewer than two."""
    if workers < 2:
        yield map
        return
    # Workers only run numpy, so forking is safe and spares each the start of a new interpreter.
    with multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn").Pool(workers) as pool:
        yield partial(pool.imap_unordered, chunksize=4)


def _write_scene(index: int, output: Path, notes: Path, info: Record, depth_format: str) -> tuple[int, Record]:
    """Render one scene and write its files, the record that tells that they are complete last."""
    scene = render_scene(index, split_seed(info["seed"], info["split"]), info["height"], info["width"])
    image_path, depth_path = _paths(output, info["split"], index, depth_format)
    with atomic_open(image_path) as file:
        Image.fromarray(scene.image).save(file, format="PNG", compress_level=1)
    write_depth(depth_path, scene.pseudo_depth)
    record = {
        "file_name": image_path.name,
        "annotations": [
            _annotation(scene.instance_map == number, int(label)) for number, label in enumerate(scene.classes, 1)
        ],
    }
    with atomic_open(notes / f"{index:06d}.json") as file:
        file.write(json.dumps({"info": info, "index": index, "record": record}).encode())
    return index, record


def _annotation(mask: np.ndarray, label: int) -> Record:
    """The COCO annotation, less its ids, of a visible mask (H, W) bool."""
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


def _finished(target: Path, notes: Path, info: Record) -> dict[int, Record]:
    """Records of scenes that earlier calls finished: from the json of the whole or the notes of a part."""
    records: dict[int, Record] = {}
    for path in [target] * target.is_file() + sorted(notes.glob("*.json")):
        content = json.loads(path.read_bytes())
        if content["info"] != info:
            raise ValueError(
                f"{path} belongs to another data set ({content['info']}, wanted {info}): choose another "
                "output folder or delete that one"
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


def _coco_json(info: Record, records: list[Record], width: int, height: int) -> bytes:
    images: list[Record] = []
    annotations: list[Record] = []
    for image_id, record in enumerate(records, 1):
        images.append({"id": image_id, "file_name": record["file_name"], "width": width, "height": height})
        for annotation in record["annotations"]:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
    categories = [{"id": label, "name": name, "supercategory": "shape"} for label, name in enumerate(CLASS_NAMES, 1)]
    content = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    return json.dumps(content).encode()
