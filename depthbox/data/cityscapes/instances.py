"""Ground truth of a Cityscapes frame as a map of ids, and the objects in the map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from ...io.images import MAX_PIXELS, image_size
from ...io.untrusted.arrays import PngNumbers, read_png
from ...io.untrusted.json_files import read_json
from .frames import CityscapesFrame

# Names of the label ids 0, 1, 2, ... of the official definition; labels from 24 on have separate objects.
LABELS = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road"),
    *("sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole"),
    *("polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky"),
    *("person", "rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
)
_FIRST_THING = LABELS.index("person")
_LABEL_IDS = {name: label for label, name in enumerate(LABELS)}
_NOT_DRAWN = "license plate"  # its label id is -1
# Value of the pixels of an object: label id * 1000 + number of the object.
_FACTOR = 1000
# Evaluated classes: label id -> name.
CLASSES = {label: LABELS[label] for label in (24, 25, 26, 27, 28, 31, 32, 33)}

IdMap = NDArray[np.int32]


@dataclass(frozen=True)
class Region:
    """Visible pixels of one id.

    Attributes:
        label: Cityscapes' label id.
        instance_id: value of its pixels: label * 1000 + number, or the label itself for a group.
        box: x, y, width, height in pixels.
        area: number of pixels.
        rle: COCO RLE of the mask, counts as str; None if masks were not requested.
    """

    label: int
    instance_id: int
    box: tuple[int, int, int, int]
    area: int
    rle: dict[str, Any] | None

    @property
    def is_group(self) -> bool:
        """Return whether the region is a group of objects that are not separated."""
        return self.instance_id < _FACTOR


def read_id_map(frame: CityscapesFrame) -> tuple[IdMap, bool]:
    """Read the map of ids of a frame from its instanceIds PNG, or else paint it from its polygons.

    Returns:
        (H, W) int32, and whether its classes are those of the labelIds PNG (True without this file).

    Raises:
        ValueError: a file is unreadable, of another kind, or of another size than the image.
    """
    source = frame.instance_ids or frame.polygons
    if source is None:
        raise ValueError(f"{frame.image} has neither instanceIds.png nor polygons.json")
    id_map = read_instance_ids(source) if frame.instance_ids else draw_polygons(source)
    size = image_size(frame.image)
    _check_size(source, id_map.shape, frame.image, size)
    if frame.label_ids is None:
        return id_map, True
    labels = _read_png(frame.label_ids).values
    _check_size(frame.label_ids, labels.shape, frame.image, size)
    return id_map, np.array_equal(_to_labels(id_map), labels)


def read_instance_ids(path: Path) -> IdMap:
    """Read an instanceIds PNG as (H, W) int32.

    Raises:
        ValueError: the file is unreadable, not 16-bit gray, or has values that are not ids.
    """
    png = _read_png(path)
    if not png.header.is_gray_16:
        raise ValueError(
            f"{path}: an instanceIds PNG is 16-bit gray, this has the mode '{png.header.mode}' (8-bit, palette or "
            "color); use the official *_gtFine_instanceIds.png"
        )
    id_map = png.values.astype(np.int32)
    values = np.flatnonzero(np.bincount(id_map.ravel()))
    things = (values >= _FIRST_THING * _FACTOR) & (values < len(LABELS) * _FACTOR)
    strange = values[~(things | (values < len(LABELS)))]
    if strange.size:
        raise ValueError(
            f"{path}: the value {strange[0]} is neither a label id (below {len(LABELS)}) nor label id * {_FACTOR} + "
            "number: use the *_gtFine_instanceIds.png, not a file of train ids"
        )
    return id_map


def draw_polygons(path: Path) -> IdMap:
    """Paint the polygons of a JSON file in their order, as the official preparation tool.

    Later polygons cover earlier ones. Objects of each class are numbered in that order, covered ones included.
    "...group" is a group of objects. Deleted polygons are left out.

    Returns:
        (H, W) int32.

    Raises:
        ValueError: the file is unreadable, is not a JSON file of polygons, or has an unknown class.
    """
    try:
        data = read_json(path)
        width, height = int(data["imgWidth"]), int(data["imgHeight"])
        if not (width > 0 and height > 0 and width * height <= MAX_PIXELS):
            raise ValueError(f"{width} x {height} pixels")
        canvas = Image.new("I", (width, height), 0)  # 32 bits, because ids reach 33,999
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"{path} is not a JSON file of polygons ({type(error).__name__}: {error}): it must have imgHeight, "
            "imgWidth and objects (label, polygon [[x, y], ...]). Use the official *_gtFine_polygons.json"
        ) from error
    return np.asarray(canvas, dtype=np.int32)


def find_regions(id_map: IdMap, masks: bool = True) -> list[Region]:
    """Find all objects and groups with a visible pixel in the order of their ids, including ignored classes.

    Args:
        id_map: (H, W) int32.
        masks: whether to encode the masks.
    """
    areas = np.bincount(id_map.ravel(), minlength=_FIRST_THING)
    ids = np.flatnonzero(areas)
    ids = ids[ids >= _FIRST_THING]
    number = np.zeros(len(areas), np.int32)
    number[ids] = np.arange(1, len(ids) + 1)
    # Column-major for the encoder of masks.
    numbered = np.asfortranarray(number[id_map])
    found = []
    slices = ndimage.find_objects(numbered, max_label=len(ids))
    for index, (value, (rows, columns)) in enumerate(zip(ids.tolist(), slices, strict=True), 1):
        box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        rle = _encode_mask(numbered == index) if masks else None
        label = value if value < _FACTOR else value // _FACTOR
        found.append(Region(label, value, box, int(areas[value]), rle))
    return found


def _encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    code = mask_util.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(length) for length in code["size"]], "counts": code["counts"].decode("ascii")}


def _polygon_label(name: str) -> tuple[int, bool]:
    """Return the label id of a polygon's class (-1 = not drawn), and whether it is a group."""
    if name in _LABEL_IDS:  # first, because "polegroup" is a class
        return _LABEL_IDS[name], False
    single = name.removesuffix("group")
    if single in (_NOT_DRAWN, *_LABEL_IDS):
        return _LABEL_IDS.get(single, -1), single != name
    raise ValueError(f"unknown label '{name}'")


def _to_labels(id_map: IdMap) -> IdMap:
    return np.where(id_map < _FACTOR, id_map, id_map // _FACTOR)


def _read_png(path: Path) -> PngNumbers:
    try:
        return read_png(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a PNG ({error}): unpack it again from the archive") from error


def _check_size(path: Path, shape: tuple[int, ...], image: Path, size: tuple[int, int]) -> None:
    if shape != size:
        raise ValueError(
            f"{path} is {' x '.join(map(str, shape))} (height x width), its image {image} {size[0]} x {size[1]}: both "
            "must have the same size; unpack both again"
        )
