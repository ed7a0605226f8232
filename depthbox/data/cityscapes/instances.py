"""Cityscapes' ground truth of one frame as a map of ids, and the objects in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from .frames import Frame

# Label ids 0, 1, 2, ... of the official definition; those from 24 on tell objects apart.
LABELS = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road"),
    *("sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole"),
    *("polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky"),
    *("person", "rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
)
_FIRST_THING = LABELS.index("person")
_LABEL_IDS = {name: label for label, name in enumerate(LABELS)}
_NOT_DRAWN = "license plate"  # it has the id -1
# An object's pixels hold label id * 1000 + its number.
_FACTOR = 1000
# The classes that are evaluated: label id -> name.
CLASSES = {label: LABELS[label] for label in (24, 25, 26, 27, 28, 31, 32, 33)}

IdMap = NDArray[np.int32]


@dataclass(frozen=True)
class Region:
    """The visible pixels of one id.

    Attributes:
        label: Cityscapes' label id.
        instance_id: value of its pixels: label * 1000 + number, or the label itself for a group.
        box: x, y, width, height in pixels.
        area: number of pixels.
        rle: COCO RLE of the mask, counts as str; None where it was not asked for.
    """

    label: int
    instance_id: int
    box: tuple[int, int, int, int]
    area: int
    rle: dict[str, Any] | None

    @property
    def is_group(self) -> bool:
        """Whether it is a group of objects that were not told apart."""
        return self.instance_id < _FACTOR


def read_id_map(frame: Frame) -> tuple[IdMap, bool]:
    """The map of ids of a frame: its instanceIds PNG, else its polygons painted one over the other.

    Returns:
        (H, W) int32, and whether its classes are those of the labelIds PNG (True where there is none).

    Raises:
        ValueError: a file is unreadable, of another kind, or of another size than the image.
    """
    source = frame.instance_ids or frame.polygons
    if source is None:
        raise ValueError(f"{frame.image} has neither instanceIds.png nor polygons.json")
    id_map = read_instance_ids(source) if frame.instance_ids else draw_polygons(source)
    size = _image_size(frame.image)
    _check_size(source, id_map.shape, frame.image, size)
    if frame.label_ids is None:
        return id_map, True
    labels, _ = _read_png(frame.label_ids)
    _check_size(frame.label_ids, labels.shape, frame.image, size)
    return id_map, np.array_equal(_labels_of(id_map), labels)


def read_instance_ids(path: Path) -> IdMap:
    """Read an instanceIds PNG as (H, W) int32.

    Raises:
        ValueError: the file is unreadable, not 16-bit grey, or holds values that are no ids.
    """
    pixels, mode = _read_png(path)
    # Pillow calls a 16-bit grey PNG "I;16", older versions "I".
    if not (mode == "I" or mode.startswith("I;16")):
        raise ValueError(
            f"{path}: an instanceIds PNG is 16-bit grey, this has the mode '{mode}' (8-bit, palette or colour); take "
            "the official *_gtFine_instanceIds.png"
        )
    id_map = pixels.astype(np.int32)
    values = np.flatnonzero(np.bincount(id_map.ravel()))
    things = (values >= _FIRST_THING * _FACTOR) & (values < len(LABELS) * _FACTOR)
    strange = values[~(things | (values < len(LABELS)))]
    if strange.size:
        raise ValueError(
            f"{path}: the value {strange[0]} is neither a label id (below {len(LABELS)}) nor label id * {_FACTOR} + "
            "number; take the *_gtFine_instanceIds.png, not one of train ids"
        )
    return id_map


def draw_polygons(path: Path) -> IdMap:
    """Paint the polygons of a json in their order, as Cityscapes' own preparation tool does.

    Later polygons cover earlier ones; objects are numbered class by class in that order, also those that are
    covered later; "...group" is a group of objects; deleted polygons are left out.

    Returns:
        (H, W) int32.

    Raises:
        ValueError: the file is unreadable or no json of polygons, or names an unknown class.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        # 32 bits, because ids reach 33,999.
        canvas = Image.new("I", (int(data["imgWidth"]), int(data["imgHeight"])), 0)
        draw = ImageDraw.Draw(canvas)
        counts = dict.fromkeys(LABELS, 0)
        for thing in data["objects"]:
            label, is_group = _polygon_label(thing["label"])
            if thing.get("deleted", 0) or label < 0:
                continue
            value = label
            if label >= _FIRST_THING and not is_group:
                value = label * _FACTOR + counts[LABELS[label]]
                counts[LABELS[label]] += 1
            draw.polygon([(x, y) for x, y in thing["polygon"]], fill=value)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no readable json of polygons ({type(error).__name__}: {error}); it must hold imgHeight, "
            "imgWidth and objects (label, polygon [[x, y], ...]). Take the official *_gtFine_polygons.json"
        ) from error
    return np.asarray(canvas, dtype=np.int32)


def regions(id_map: IdMap, masks: bool = True) -> list[Region]:
    """All objects and groups with a visible pixel, in the order of their ids; also of classes not evaluated.

    Args:
        id_map: (H, W) int32.
        masks: whether to code their masks.
    """
    areas = np.bincount(id_map.ravel(), minlength=_FIRST_THING)
    ids = np.flatnonzero(areas)
    ids = ids[ids >= _FIRST_THING]
    number = np.zeros(len(areas), np.int32)
    number[ids] = np.arange(1, len(ids) + 1)
    # Column-major, as the coding of the masks wants it.
    numbered = np.asfortranarray(number[id_map])
    found = []
    slices = ndimage.find_objects(numbered, max_label=len(ids))
    for index, (value, (rows, columns)) in enumerate(zip(ids.tolist(), slices, strict=True), 1):
        box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        rle = _rle(numbered == index) if masks else None
        label = value if value < _FACTOR else value // _FACTOR
        found.append(Region(label, value, box, int(areas[value]), rle))
    return found


def _rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    code = mask_util.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(length) for length in code["size"]], "counts": code["counts"].decode("ascii")}


def _polygon_label(name: str) -> tuple[int, bool]:
    """Label id of a polygon's class (-1 = not drawn), and whether it is a group."""
    if name in _LABEL_IDS:  # first, because "polegroup" is a class of its own
        return _LABEL_IDS[name], False
    single = name.removesuffix("group")
    if single in (_NOT_DRAWN, *_LABEL_IDS):
        return _LABEL_IDS.get(single, -1), single != name
    raise ValueError(f"unknown label '{name}'")


def _labels_of(id_map: IdMap) -> IdMap:
    return np.where(id_map < _FACTOR, id_map, id_map // _FACTOR)


def _image_size(path: Path) -> tuple[int, int]:
    """(height, width), from the head of the file."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_png(path: Path) -> tuple[NDArray, str]:
    """Pixels and Pillow's mode."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return np.asarray(image), image.mode
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} cannot be read as a PNG ({error}); unpack it again from the archive")


def _check_size(path: Path, shape: tuple[int, ...], image: Path, size: tuple[int, int]) -> None:
    if shape != size:
        raise ValueError(
            f"{path} is {' x '.join(map(str, shape))} (height x width), its image {image} {size[0]} x {size[1]}: they "
            "belong together and must be scaled together; unpack both again"
        )
