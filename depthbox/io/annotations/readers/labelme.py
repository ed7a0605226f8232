"""Reader of LabelMe: one JSON file per image."""

from __future__ import annotations

import base64
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...untrusted.arrays import read_png
from ..json_file import load_json
from ..records import AnnotationError, RawAnnotations
from .builder import ContentBuilder, Size
from .documents import parse_number, parse_numbers, parse_points, track
from .image_files import ImageFolder, find_image_folder, is_file, is_folder, list_files, split_folders
from .rules import (
    FILE_UNREADABLE,
    IMAGE_NOT_FOUND,
    IMAGE_WITHOUT_ANNOTATION,
    NOT_LABELME,
    OBJECT_UNREADABLE,
    OBJECT_WITHOUT_CLASS,
    SHAPE_UNSUPPORTED,
)
from .shapes import LabeledShape, ObjectShape, Point, box_shape, ellipse_shape, mask_shape, point_shape, polygon_shape

_OBJECTS = ("rectangle", "polygon", "circle", "mask", "rotation", "point")
_MOST_PIXELS = 2**28


@dataclass(frozen=True)
class _ShapePart:
    """One shape of a file before the shapes of one object are joined."""

    label: str
    group: Any
    shape: ObjectShape
    points: tuple[Point, ...]
    extra: dict[str, Any]


def is_labelme(content: Any) -> bool:
    """Return whether the content of a JSON file is a LabelMe annotation."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def labelme_splits(source: Path) -> tuple[str, ...]:
    """Return the splits of a folder with train, valid and test; () if it has no splits."""
    return tuple(_split_files(source))


def read_labelme(
    source: Path, images: Path | None = None, split: str = "train", progress: bool = True
) -> RawAnnotations | None:
    """Return the annotations of LabelMe files.

    Rectangles, polygons, circles, masks and points are objects; polygons with the same label and ``group_id`` are parts
    of one object. Classes are sorted by name and the same in every split.

    Args:
        source: one JSON file, or a folder of them.
        images: folder of the images; None = search for it.
        split: name of the split, for a folder with splits.
        progress: show a progress bar for thousands of files.

    Returns:
        The annotations; None if the folder has splits, but not this one.

    Raises:
        AnnotationError: there are no annotations that can be used.
    """
    parts = _split_files(source)
    if parts and split not in parts:
        return None
    home = source.parent if is_file(source) else source
    files = parts.get(split) or ([source] if is_file(source) else list_files(source, (".json",)))
    folder = ImageFolder.scan(_find_images(home, images, files))
    builder = ContentBuilder(source, "labelme", folder.root)
    stems = Counter(path.stem for path in files)
    used: set[str] = set()
    names: set[str] = set()
    for path in track(files, "LabelMe", progress):
        label = path.relative_to(home).as_posix()
        content = _load(path, label, builder)
        names |= _class_names(content) if parts else set()
        image = None if content is None else _find_image(content, path, folder, stems[path.stem] == 1)
        if image is not None and content is not None:
            used.add(image)
            _add(content, image, label, builder)
        elif content is not None:
            builder.notes.add(IMAGE_NOT_FOUND, f"{label}: {content['imagePath']}")
    if not parts and not is_file(source):
        for name in folder.files:
            if name not in used and posixpath.splitext(posixpath.basename(name))[0] not in stems:
                builder.notes.add(IMAGE_WITHOUT_ANNOTATION, name)
    others = (path for name, paths in parts.items() if name != split for path in paths)
    return builder.finish(names=sorted(names | _labels(others)))


def _load(path: Path, label: str, builder: ContentBuilder) -> dict[str, Any] | None:
    """Return the content of a file; None and a note if it is not LabelMe."""
    try:
        content = load_json(path)
    except AnnotationError as error:
        builder.notes.add(FILE_UNREADABLE, str(error))
        return None
    if not is_labelme(content):
        builder.notes.add(NOT_LABELME, label)
        return None
    found: dict[str, Any] = content
    return found


def _split_files(source: Path) -> dict[str, list[Path]]:
    if is_file(source) or list_files(source, (".json",), recursive=False):
        return {}
    found = {split: list_files(part, (".json",)) for split, part in split_folders(source).items()}
    return {split: files for split, files in found.items() if files} if found.get("train") else {}


def _find_images(home: Path, images: Path | None, files: Sequence[Path]) -> Path:
    """Return the image folder; images beside the files are preferred to other folders."""
    if images is None and is_folder(home):
        folder = ImageFolder.scan(home)
        if any(folder.find(path.relative_to(home).with_suffix("").as_posix()) for path in files[:20]):
            return home
    return find_image_folder(home, images)


def _find_image(content: Mapping[str, Any], path: Path, folder: ImageFolder, unique: bool) -> str | None:
    """Return the image of a file: at ``imagePath``, relative to the file, otherwise the image of the same stem."""
    named = str(content["imagePath"]).replace("\\", "/")
    resolved = Path(posixpath.normpath(path.parent.resolve().as_posix() + "/" + named))
    root = folder.root.resolve()
    if root in resolved.parents:
        below = folder.find(resolved.relative_to(root).as_posix())
        if below is not None:
            return below
    stem = path.parent.resolve() / path.stem
    if root in stem.parents and (beside := folder.find(stem.relative_to(root).as_posix())):
        return beside
    if not unique:  # another file has the same name, and the image may be that of the other one
        return None
    return next((found for name in (named, posixpath.basename(named), path.stem) if (found := folder.find(name))), None)


def _add(content: Mapping[str, Any], image: str, label: str, builder: ContentBuilder) -> None:
    size = builder.measure(image)
    if size is None:
        return
    sides = parse_numbers([content.get("imageHeight"), content.get("imageWidth")])
    stated = None if sides is None or min(sides) < 1 else (int(sides[0]), int(sides[1]))
    parts: list[_ShapePart] = []
    for number, shape in enumerate(content["shapes"], 1):
        part = _part(shape, stated or size, f"{label}, shape {number}", builder)
        if part is not None:
            parts.append(part)
    builder.add(image, _join(parts), label, stated)


def _part(shape: Any, size: Size, case: str, builder: ContentBuilder) -> _ShapePart | None:
    if not isinstance(shape, dict):
        builder.notes.add(OBJECT_UNREADABLE, case)
        return None
    kind, label = shape.get("shape_type") or "polygon", shape.get("label")
    if kind not in _OBJECTS:
        builder.notes.add(SHAPE_UNSUPPORTED, f"{case}: {kind}")
        return None
    if not _is_label(label):
        builder.notes.add(OBJECT_WITHOUT_CLASS, case)
        return None
    points = parse_points(shape.get("points"))
    outline = None if points is None else _shape(kind, points, shape, size)
    if points is None or outline is None:
        builder.notes.add(OBJECT_UNREADABLE, f"{case} ({kind})")
        return None
    extra: dict[str, Any] = {"ignore": 1} if shape.get("difficult") is True else {}
    corners = tuple(points) if kind in ("polygon", "rotation") else ()
    return _ShapePart(str(label), shape.get("group_id"), outline, corners, extra)


def _shape(kind: str, points: Sequence[Point], shape: Mapping[str, Any], size: Size) -> ObjectShape | None:
    if kind == "mask":
        return _mask(points, shape.get("mask"), size)
    if kind == "point" and len(points) == 1:
        return point_shape(points)
    if kind == "rectangle" and len(points) >= 2:
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return box_shape(min(xs), min(ys), max(xs), max(ys))
    if kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = ((edge_x - x) ** 2 + (edge_y - y) ** 2) ** 0.5
        return ellipse_shape((x, y), (radius, radius))
    return polygon_shape(points) if kind in ("polygon", "rotation") and len(points) >= 3 else None


def _mask(points: Sequence[Point], text: Any, size: Size) -> ObjectShape | None:
    """Return a mask, stored as a PNG file in base64 that begins at the first point."""
    if not isinstance(text, str) or not points or size[0] * size[1] > _MOST_PIXELS:
        return None
    try:
        values = read_png(base64.b64decode(text)).values
    except ValueError:  # neither base64 nor a PNG file
        return None
    mask = np.asarray(values > 0 if values.ndim == 2 else (values[:, :, :3] > 0).any(2))
    return mask_shape(mask, round(points[0][0]), round(points[0][1]), *size)


def _join(parts: Sequence[_ShapePart]) -> list[LabeledShape]:
    """Join the polygons of one object, which have the same label and group."""
    groups: dict[Any, list[_ShapePart]] = {}
    for number, part in enumerate(parts):
        group = parse_number(part.group)
        key = (part.label, group) if group is not None and part.points else number
        groups.setdefault(key, []).append(part)
    objects = []
    for found in groups.values():
        shape = found[0].shape if len(found) == 1 else polygon_shape(*(part.points for part in found))
        objects.append(LabeledShape(found[0].label, shape, found[0].extra))
    return objects


def _labels(files: Iterable[Path]) -> set[str]:
    """Return the class names in files of other splits."""
    found: set[str] = set()
    for path in files:
        try:
            content = load_json(path)
        except AnnotationError:
            continue
        found |= _class_names(content if is_labelme(content) else None)
    return found


def _class_names(content: Mapping[str, Any] | None) -> set[str]:
    """Return the class names of the objects in a file, readable or not."""
    shapes = [] if content is None else [shape for shape in content["shapes"] if isinstance(shape, dict)]
    objects = [shape for shape in shapes if (shape.get("shape_type") or "polygon") in _OBJECTS]
    return {str(label) for shape in objects if _is_label(label := shape.get("label"))}


def _is_label(label: Any) -> bool:
    return isinstance(label, (str, int)) and bool(str(label).strip())
