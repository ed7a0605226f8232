"""Reader of "CVAT for images 1.1", the XML format of CVAT."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ..records import AnnotationError, RawAnnotations
from .builder import ContentBuilder, Size
from .documents import parse_number, parse_numbers, read_xml, track
from .image_files import ImageFolder, canonical_split, find_image_folder, is_file, list_files
from .rules import (
    IMAGE_NOT_FOUND,
    IMAGE_TAGS,
    OBJECT_UNREADABLE,
    OBJECT_WITHOUT_CLASS,
    POINTS_OF_ONE_OBJECT,
    SHAPE_UNSUPPORTED,
)
from .shapes import (
    LabeledShape,
    ObjectShape,
    Point,
    ellipse_shape,
    mask_shape,
    point_shape,
    polygon_shape,
    rotated_box_shape,
)

_OBJECTS = ("box", "polygon", "ellipse", "mask", "points")
_OTHER_SHAPES = ("polyline", "cuboid", "skeleton")
# Masks are decoded in memory; larger ones are errors.
_MOST_PIXELS = 2**28


def find_cvat_file(source: Path) -> Path | None:
    """Return the CVAT file of a folder, or the file itself; None if there is none."""
    if is_file(source):
        return source
    files = list_files(source, (".xml",), recursive=False)
    return next((path for path in files if path.name.lower() == "annotations.xml"), files[0] if files else None)


def cvat_splits(source: Path) -> tuple[str, ...]:
    """Return the splits that the images name as their subset; () unless one of them is "train".

    Raises:
        AnnotationError: the file cannot be read.
    """
    return _subsets(_load(source))


def read_cvat(
    source: Path, images: Path | None = None, split: str = "train", progress: bool = True
) -> RawAnnotations | None:
    """Return the annotations of a CVAT file.

    Boxes, rotated boxes, polygons, ellipses and masks are objects, and so is each element of points, with all of its
    points. Classes are in the order of the project's labels.

    Args:
        source: the XML file, or the folder that holds it.
        images: folder of the images; None = search for it.
        split: which subset, if the images name subsets.
        progress: show a progress bar for thousands of images.

    Returns:
        The annotations; None if no image belongs to the split.

    Raises:
        AnnotationError: the file cannot be read, or holds the tracks of a video.
    """
    root = _load(source)
    splits = _subsets(root)
    if splits and split not in splits:
        return None
    file = find_cvat_file(source) or source
    folder = ImageFolder.scan(find_image_folder(file.parent, images))
    builder = ContentBuilder(source, "cvat", folder.root)
    entries = root.findall("image")
    for entry in track(entries, "CVAT", progress):
        if splits and canonical_split(entry.get("subset", "")) != split:
            continue
        name = entry.get("name", "")
        image = folder.find(name)
        if image is None:
            builder.notes.add(IMAGE_NOT_FOUND, name)
            continue
        size = builder.measure(image)
        if size is not None:
            stated = _size(entry)
            builder.add(image, _objects(entry, name, stated or size, builder), name, stated)
    return builder.finish(*_classes(root, entries))


def _subsets(root: Element) -> tuple[str, ...]:
    found = {canonical_split(image.get("subset", "")) for image in root.findall("image")}
    splits = tuple(split for split in ("train", "val", "test") if split in found)
    return splits if len(splits) > 1 and "train" in splits else ()


def _load(source: Path) -> Element:
    file = find_cvat_file(source)
    if file is None:
        raise AnnotationError(f"{source} has no .xml file; give the annotations.xml of CVAT")
    root = read_xml(file)
    if root.tag != "annotations":
        raise AnnotationError(f"{file} is not CVAT: its root is <{root.tag[:40]}>, not <annotations>")
    if root.find("track") is not None:
        raise AnnotationError(
            f"{file} holds the tracks of 'CVAT for video'; export the job as 'CVAT for images 1.1' or 'COCO 1.0'"
        )
    return root


def _classes(root: Element, entries: list[Element]) -> tuple[dict[str, str] | None, tuple[str, ...]]:
    """Return the classes in the order of the project, or None and the names in the file if it does not list them."""
    used = {(shape.get("label") or "").strip() for entry in entries for shape in entry if shape.tag in _OBJECTS} - {""}
    meta = root.find("meta")
    labels = [] if meta is None else list(meta.iter("label"))
    names = dict.fromkeys((label.findtext("name") or "").strip() for label in labels)
    names.pop("", None)
    if not names:
        return None, tuple(used)
    return {name: name for name in [*names, *sorted(used - set(names))]}, ()


def _size(entry: Element) -> Size | None:
    height, width = (parse_number(entry.get(name, "")) for name in ("height", "width"))
    return (int(height), int(width)) if height and width and min(height, width) >= 1 else None


def _objects(entry: Element, name: str, size: Size, builder: ContentBuilder) -> list[LabeledShape]:
    objects = []
    for element in entry:
        label = (element.get("label") or "").strip()
        case = f"{name}: {element.tag} {label}"
        if element.tag == "tag":
            builder.notes.add(IMAGE_TAGS, case)
        elif element.tag in _OTHER_SHAPES:
            builder.notes.add(SHAPE_UNSUPPORTED, case)
        elif element.tag in _OBJECTS:
            shape = _shape(element, size)
            if shape is None:
                builder.notes.add(OBJECT_UNREADABLE, case)
            elif not label:
                builder.notes.add(OBJECT_WITHOUT_CLASS, case)
            else:
                builder.notes.add(POINTS_OF_ONE_OBJECT, case, int(len(shape.points) > 1))
                objects.append(LabeledShape(label, shape))
    return objects


def _shape(element: Element, size: Size) -> ObjectShape | None:
    if element.tag == "box":
        return _box(element)
    if element.tag == "points":
        points = _points(element.get("points", ""))
        return point_shape(points) if points else None
    if element.tag == "polygon":
        points = _points(element.get("points", ""))
        return polygon_shape(points) if points and len(points) >= 3 else None
    if element.tag == "ellipse":
        values = _attributes(element, "cx", "cy", "rx", "ry")
        angle = parse_number(element.get("rotation", "0"))
        if values is None or angle is None:
            return None
        return ellipse_shape((values[0], values[1]), (values[2], values[3]), angle)
    return _mask(element, size)


def _box(element: Element) -> ObjectShape | None:
    values = _attributes(element, "xtl", "ytl", "xbr", "ybr")
    angle = parse_number(element.get("rotation", "0"))
    if values is None or angle is None:
        return None
    x0, y0, x1, y1 = values
    return rotated_box_shape((x0, y0, x1 - x0, y1 - y0), angle, ((x0 + x1) / 2, (y0 + y1) / 2))


def _mask(element: Element, size: Size) -> ObjectShape | None:
    """Return a mask, whose run lengths go along the lines of its box and begin with the background."""
    numbers = _attributes(element, "left", "top", "width", "height")
    runs = parse_numbers(element.get("rle", "").split(","))
    if numbers is None or runs is None or size[0] * size[1] > _MOST_PIXELS:
        return None
    left, top, width, height = (int(number) for number in numbers)
    if min(width, height) < 1 or width * height > _MOST_PIXELS:
        return None
    if min(runs) < 0 or sum(runs) != width * height or any(run != int(run) for run in runs):
        return None
    lengths = np.array(runs, np.int64)
    mask = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
    return mask_shape(mask, left, top, *size)


def _attributes(element: Element, *names: str) -> list[float] | None:
    return parse_numbers(element.get(name, "") for name in names)


def _points(text: str) -> list[Point] | None:
    points = []
    for pair in text.split(";"):
        values = parse_numbers(pair.split(","))
        if values is None or len(values) != 2:
            return None
        points.append((values[0], values[1]))
    return points
