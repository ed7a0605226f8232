"""Objects of one image of PASCAL VOC or SBD."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...io.coco_masks import crop_to_rle
from ...io.images import image_size
from ...io.untrusted.arrays import read_png
from .folder import VocImage

# Names of the class values 1, 2, ..., 20, in the official order.
CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
VOID = 255  # border of objects and pixels that are not annotated
_MAX_MATLAB_BYTES = 1 << 27

ValueMap = NDArray[np.uint8]


@dataclass(frozen=True)
class VocObject:
    """One object.

    Attributes:
        value: value of its pixels in the map of objects.
        label: class from 1 to 20.
        box: x, y, width, height in pixels, the extent of the mask.
        area: number of pixels.
        rle: COCO RLE of the mask, counts as str; None if masks were not requested.
        mixed: whether some of its pixels have another class, void left out.
    """

    value: int
    label: int
    box: tuple[int, int, int, int]
    area: int
    rle: dict[str, Any] | None
    mixed: bool


@dataclass(frozen=True, eq=False)
class ObjectMap:
    """Map of the objects of an image.

    Attributes:
        values: (H, W) uint8: number of the object of each pixel; 0 background, 255 void.
        labels: number of an object -> its pixels of each class, (256,) int64.
    """

    values: ValueMap
    labels: dict[int, NDArray[np.int64]]


def read_objects(image: VocImage, masks: bool = True) -> tuple[tuple[int, int], list[VocObject]]:
    """Read the objects of an image in the order of their values.

    Args:
        image: the files.
        masks: whether to encode the masks.

    Returns:
        (height, width) of the image, and its objects.

    Raises:
        ValueError: a file is unreadable, of another kind, of another size than the image, or has an object without a
            class.
    """
    size = image_size(image.image)
    found = _read_pngs(image, size) if image.objects is not None else _read_sbd(image, size)
    source = image.objects or image.sbd
    objects = []
    for value, place in enumerate(ndimage.find_objects(np.where(found.values == VOID, 0, found.values)), 1):
        if place is None:
            continue
        counts = found.labels[value]
        known = counts[1 : len(CLASSES) + 1]
        if not known.any():
            raise ValueError(
                f"{source}: the object {value} has no pixel of a class in the map of classes: unpack the maps of "
                "objects and classes from the same archive again"
            )
        rows, columns = place
        mask = found.values[place] == value
        box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        rle = crop_to_rle(mask, columns.start, rows.start, size) if masks else None
        mixed = bool(counts[:VOID].sum() > known.max())
        objects.append(VocObject(value, int(known.argmax()) + 1, box, int(mask.sum()), rle, mixed))
    return size, objects


def read_value_map(path: Path) -> ValueMap:
    """Read a PNG of objects or classes as (H, W) uint8 numbers.

    Raises:
        ValueError: the file is unreadable, or has colors instead of a palette or gray values of 8 bits.
    """
    try:
        png = read_png(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a PNG ({error}): unpack it again from the archive") from error
    if png.header.mode not in ("P", "L"):
        raise ValueError(
            f"{path}: a map of objects or classes has a palette or 8-bit gray values, this has the mode "
            f"'{png.header.mode}': use the official PNG, not a copy that was converted to colors"
        )
    return np.asarray(png.values, dtype=np.uint8)


def _read_pngs(image: VocImage, size: tuple[int, int]) -> ObjectMap:
    assert image.objects is not None and image.classes is not None  # ``find_images`` requires both
    values, classes = read_value_map(image.objects), read_value_map(image.classes)
    for path, found in ((image.objects, values), (image.classes, classes)):
        _check_size(path, found.shape, image.image, size)
    strange = np.setdiff1d(np.unique(classes), [*range(len(CLASSES) + 1), VOID])
    if strange.size:
        raise ValueError(
            f"{image.classes}: the value {strange[0]} is not a class of VOC (1 to {len(CLASSES)}; 0 background, {VOID} "
            "void): use the official PNG"
        )
    pairs = np.bincount((values.astype(np.int64) << 8 | classes).ravel(), minlength=1 << 16).reshape(256, 256)
    return ObjectMap(values, {value: pairs[value] for value in (np.flatnonzero(pairs[1:VOID].sum(1)) + 1).tolist()})


def _read_sbd(image: VocImage, size: tuple[int, int]) -> ObjectMap:
    """Read a MATLAB file of SBD: a map of objects, and the class of each."""
    import scipy.io

    path = image.sbd
    assert path is not None  # ``find_images`` requires it
    try:
        if path.stat().st_size > _MAX_MATLAB_BYTES:
            raise ValueError("it is too large")
        content = scipy.io.loadmat(path, variable_names=["GTinst"])["GTinst"][0, 0]
        values = np.asarray(content["Segmentation"])
        classes = np.asarray(content["Categories"]).ravel().astype(np.int64)
        if values.ndim != 2 or values.min() < 0 or values.max() > len(classes) or len(classes) >= VOID:
            raise ValueError(f"its map has values beyond its {len(classes)} objects")
        if classes.size and not 1 <= classes.min() <= classes.max() <= len(CLASSES):
            raise ValueError(f"its classes are not all from 1 to {len(CLASSES)}")
    except Exception as error:  # readers of damaged files raise nearly anything
        raise ValueError(
            f"{path} is not a MATLAB file of SBD with GTinst ({error or type(error).__name__}): unpack benchmark.tgz "
            "of SBD again, and name its folder that contains inst/*.mat"
        ) from error
    _check_size(path, values.shape, image.image, size)
    counts = np.bincount(values.ravel().astype(np.int64), minlength=len(classes) + 1)
    labels = {number: np.zeros(256, np.int64) for number in range(1, len(classes) + 1)}
    for number, label in enumerate(classes.tolist(), 1):
        labels[number][label] = counts[number]
    return ObjectMap(values.astype(np.uint8), labels)


def _check_size(path: Path, shape: tuple[int, ...], image: Path, size: tuple[int, int]) -> None:
    if shape != size:
        raise ValueError(
            f"{path} is {' x '.join(map(str, shape))} (height x width), its image {image} {size[0]} x {size[1]}: both "
            "must have the same size; unpack both again"
        )
