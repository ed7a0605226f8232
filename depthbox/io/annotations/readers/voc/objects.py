"""Objects of one XML file of Pascal VOC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from ...notes import NoteCounter
from ...records import AnnotationError
from ..documents import parse_number, parse_numbers, read_xml, xml_text
from ..rules import COORDINATES_SWAPPED, OBJECT_UNREADABLE, OBJECT_WITHOUT_CLASS
from ..shapes import LabeledShape, ObjectShape, Point, box_shape, polygon_shape, rotated_box_shape

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ROTATED = ("cx", "cy", "w", "h", "angle")
_DEGREES = 57.29577951308232


@dataclass(frozen=True)
class VocFile:
    """Content of one XML file.

    Attributes:
        filename: of the image, as written; "" if it is missing.
        size: (height, width); None if it is missing or 0.
        objects: in pixels from 0.
        names: class names of all objects, readable or not.
    """

    filename: str
    size: tuple[int, int] | None
    objects: tuple[LabeledShape, ...]
    names: frozenset[str] = frozenset()


def read_voc_file(path: Path, notes: NoteCounter, label: str) -> VocFile:
    """Return the content of an XML file.

    Args:
        path: the file.
        notes: receives the findings.
        label: name of the file in the notes.

    Raises:
        AnnotationError: the file cannot be read, or is not Pascal VOC.
    """
    root = _annotation(path)
    objects = []
    for number, element in enumerate(root.findall("object"), 1):
        case = f"{label}, object {number}"
        name = xml_text(element, "name")
        shape = _shape(element, notes, case)
        if not name:
            notes.add(OBJECT_WITHOUT_CLASS, case)
        elif shape is None:
            notes.add(OBJECT_UNREADABLE, f"{case} ({name})")
        else:
            difficult = parse_number(xml_text(element, "difficult"))
            extra: dict[str, Any] = {"ignore": 1} if difficult else {}
            objects.append(LabeledShape(name, shape, extra))
    return VocFile(xml_text(root, "filename"), _size(root), tuple(objects), frozenset(_names(root)))


def voc_class_names(path: Path) -> set[str]:
    """Return the class names in an XML file; none if the file cannot be read."""
    try:
        return _names(_annotation(path))
    except AnnotationError:
        return set()


def voc_box(corners: Sequence[float], notes: NoteCounter, case: str) -> ObjectShape:
    """Return the shape of a box (xmin, ymin, xmax, ymax) whose pixels count from 1 and include the last one.

    Exchanged corners are put in order.
    """
    x0, y0, x1, y1 = corners
    if x0 > x1 or y0 > y1:
        notes.add(COORDINATES_SWAPPED, case)
        x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    # Pascal VOC counts pixels from 1. A minimum of 0 comes from a tool that counts from 0, and is kept.
    return box_shape(x0 - 1 if x0 else 0.0, y0 - 1 if y0 else 0.0, x1, y1)


def _annotation(path: Path) -> Element:
    root = read_xml(path)
    if root.tag != "annotation":
        raise AnnotationError(f"{path} is not Pascal VOC: its root is <{root.tag[:40]}>, not <annotation>")
    return root


def _names(root: Element) -> set[str]:
    return {name for element in root.findall("object") if (name := xml_text(element, "name"))}


def _size(root: Element) -> tuple[int, int] | None:
    element = root.find("size")
    if element is None:
        return None
    sides = parse_numbers([xml_text(element, "height"), xml_text(element, "width")])
    if sides is None or min(sides) < 1:
        return None
    return int(sides[0]), int(sides[1])


def _shape(element: Element, notes: NoteCounter, case: str) -> ObjectShape | None:
    """Return the outline of an object if it has one, otherwise its box; parts of the object are not objects."""
    box = element.find("bndbox")
    corners = None if box is None else parse_numbers([xml_text(box, tag) for tag in _CORNERS])
    if box is not None and corners is None:
        return None
    outline = _polygon(element)
    if corners is None:
        return outline or _rotated_box(element)
    shape = voc_box(corners, notes, case)
    if outline is None:
        return shape
    return ObjectShape(shape.bbox, outline.segmentation, outline.area)


def _polygon(element: Element) -> ObjectShape | None:
    """Return the polygons of an object, written as x1, y1, x2, y2, ..."""
    polygons = []
    for polygon in element.findall("polygon"):
        values = {child.tag: parse_number(child.text) for child in polygon}
        points: list[Point] = []
        while (x := values.get(f"x{len(points) + 1}")) is not None:
            y = values.get(f"y{len(points) + 1}")
            if y is None:
                return None
            points.append((x - 1, y - 1))
        if len(points) >= 3 and 2 * len(points) == len(values):
            polygons.append(points)
    return polygon_shape(*polygons) if polygons else None


def _rotated_box(element: Element) -> ObjectShape | None:
    """Return a rotated box of roLabelImg: center, sides and an angle in radians."""
    box = element.find("robndbox")
    values = None if box is None else parse_numbers([xml_text(box, tag) for tag in _ROTATED])
    if values is None:
        return None
    x, y, width, height, angle = values
    center = (x - 0.5, y - 0.5)
    corner = (center[0] - width / 2, center[1] - height / 2)
    return rotated_box_shape((*corner, width, height), angle * _DEGREES, center)
