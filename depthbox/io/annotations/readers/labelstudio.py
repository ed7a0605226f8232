"""Reader of Label Studio: its exports JSON and JSON-MIN."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ..json_file import load_json
from ..records import AnnotationError, RawAnnotations
from .builder import ContentBuilder, Size
from .documents import parse_number, parse_numbers, parse_points, track
from .image_files import ImageFolder, find_image_folder, is_file, is_image, list_files
from .rules import (
    IMAGE_NOT_FOUND,
    IMAGE_ROTATED,
    OBJECT_UNREADABLE,
    OBJECT_WITHOUT_CLASS,
    SEVERAL_CLASSES,
    SHAPE_UNSUPPORTED,
    TASK_ANNOTATED_TWICE,
    TASK_NOT_ANNOTATED,
)
from .shapes import LabeledShape, ObjectShape, ellipse_shape, point_shape, polygon_shape, rotated_box_shape

_OBJECTS = {"rectangle", "polygon", "ellipse", "keypoint"}
_OTHER_SHAPES = {"brush", "bitmask", "vector", "video", "videorectangle"}
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")


@dataclass(frozen=True)
class _Task:
    """One image: its name as in the export, and its regions; None = it is not annotated."""

    names: tuple[str, ...]
    regions: tuple[Mapping[str, Any], ...] | None
    annotations: int = 1


def is_label_studio(content: Any) -> bool:
    """Return whether the content of a JSON file is an export of Label Studio."""
    if not isinstance(content, list) or not content:
        return False
    return all(isinstance(task, dict) and (_is_task(task) or _minimal_regions(task) is not None) for task in content)


def read_label_studio(source: Path, images: Path | None = None, progress: bool = True) -> RawAnnotations:
    """Return the annotations of an export.

    Rectangles, polygons, ellipses and key points are objects. Images are found by the base name of their URL, with or
    without the prefix that an upload adds. Classes are sorted by name.

    Args:
        source: the JSON file, or the folder that holds it alone.
        images: folder of the images; None = search for it.
        progress: show a progress bar for thousands of images.

    Raises:
        AnnotationError: the file cannot be read, or there are no annotations that can be used.
    """
    file = find_export(source)
    content = load_json(file)
    if not is_label_studio(content):
        raise AnnotationError(f"{file} is not a Label Studio export; export the project as JSON")
    folder = ImageFolder.scan(find_image_folder(file.parent, images))
    builder = ContentBuilder(source, "labelstudio", folder.root)
    for number, item in enumerate(track(content, "Label Studio", progress), 1):
        task = _task(item)
        name = next((found for name in task.names if (found := _find_image(name, folder))), None)
        case = f"task {item.get('id', number)} ({task.names[0] if task.names else 'no image'})"
        if task.regions is None:
            builder.notes.add(TASK_NOT_ANNOTATED, case)
        elif name is None:
            builder.notes.add(IMAGE_NOT_FOUND, case)
        elif any(parse_number(region.get("image_rotation", 0)) for region in task.regions):
            builder.notes.add(IMAGE_ROTATED, case)
        else:
            builder.notes.add(TASK_ANNOTATED_TWICE, case, int(task.annotations > 1))
            size = builder.measure(name)
            if size is not None:
                builder.add(name, _objects(task.regions, size, case, builder), case)
    return builder.finish()


def find_export(source: Path) -> Path:
    """Return the JSON file of an export.

    Raises:
        AnnotationError: a folder does not hold exactly one export.
    """
    if is_file(source):
        return source
    files = list_files(source, (".json",), recursive=False)
    if len(files) > 1:
        files = [path for path in files if is_label_studio(load_json(path))]
    if len(files) != 1:
        raise AnnotationError(f"{source} has {len(files)} Label Studio exports; give the path of one JSON export")
    return files[0]


def _is_task(task: Mapping[str, Any]) -> bool:
    return isinstance(task.get("data"), dict) and any(key in task for key in ("annotations", "completions"))


def _task(item: Mapping[str, Any]) -> _Task:
    if not _is_task(item):
        return _Task(_image_names(item), tuple(_minimal_regions(item) or ()))
    names = _image_names({"file_upload": item.get("file_upload"), **item["data"]})
    entries = item.get("annotations") or item.get("completions")
    found = [
        entry["result"]
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("result"), list) and not entry.get("was_cancelled")
    ]
    if not found:
        return _Task(names, None)
    return _Task(names, tuple(region for region in found[0] if isinstance(region, dict)), len(found))


def _minimal_regions(task: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Return the regions of a JSON-MIN task as those of a JSON task; None if it has no list of regions."""
    if not any(_is_image_name(value) for value in task.values()):
        return None
    regions: list[Mapping[str, Any]] = []
    for value in task.values():
        for entry in value if isinstance(value, list) else []:
            kind = next((key for key in entry if key.endswith("labels")), None) if isinstance(entry, dict) else None
            if kind is not None:
                regions.append({"type": kind, "value": entry, "image_rotation": entry.get("image_rotation", 0)})
    return regions if regions or {"annotator", "annotation_id", "lead_time"} & set(task) else None


def _image_names(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values that name an image, the key ``image`` first and the uploaded file last."""
    keys = sorted(data, key=lambda key: (key == "file_upload", key != "image"))
    return tuple(data[key] for key in keys if _is_image_name(data[key]))


def _is_image_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 4096 and any(is_image(path) for path in _paths(value))


def _paths(url: str) -> Iterator[str]:
    """Yield the paths in a URL: that of the query of local files first."""
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
    except ValueError:
        yield url
        return
    for key in ("d", "filename", "file"):
        yield from query.get(key, ())[:1]
    yield unquote(parts.path)
    yield url


def _find_image(url: str, folder: ImageFolder) -> str | None:
    for path in _paths(url):
        base = path.replace("\\", "/").rpartition("/")[2]
        for name in (path, base, _UPLOAD_PREFIX.sub("", base)):
            if is_image(name) and (found := folder.find(name)) is not None:
                return found
    return None


def _objects(
    regions: Sequence[Mapping[str, Any]], size: Size, case: str, builder: ContentBuilder
) -> list[LabeledShape]:
    labels: dict[str, list[str]] = {}
    for region in regions:
        labels.setdefault(str(region.get("id", "")), []).extend(_labels(region))
    objects = []
    for number, region in enumerate(regions, 1):
        kind = _kind(region)
        where = f"{case}, region {number}"
        if kind in _OTHER_SHAPES:
            builder.notes.add(SHAPE_UNSUPPORTED, f"{where}: {kind}")
        if kind not in _OBJECTS:
            continue
        # The class of a plain rectangle is in another region with the same id.
        found = _labels(region) or (labels[str(region["id"])] if "id" in region else [])
        shape = _shape(kind, region.get("value"), size)
        if shape is None:
            builder.notes.add(OBJECT_UNREADABLE, where)
        elif not found:
            builder.notes.add(OBJECT_WITHOUT_CLASS, where)
        else:
            builder.notes.add(SEVERAL_CLASSES, f"{where}: {', '.join(found)}", int(len(set(found)) > 1))
            objects.append(LabeledShape(found[0], shape))
    return objects


def _kind(region: Mapping[str, Any]) -> str:
    """Return the shape of a region: "rectangle" for rectanglelabels; "" for labels and choices without a shape."""
    kind = str(region.get("type", "")).lower()
    return kind.removesuffix("labels")


def _labels(region: Mapping[str, Any]) -> list[str]:
    value = region.get("value")
    if not isinstance(value, dict):
        return []
    lists = [value[key] for key in value if str(key).endswith("labels") and isinstance(value[key], list)]
    return [label for found in lists for label in found if isinstance(label, str) and label.strip()]


def _shape(kind: str, value: Any, size: Size) -> ObjectShape | None:
    """Return the shape of a region in pixels; its coordinates are percent of the image's sides."""
    if not isinstance(value, dict):
        return None
    across, down = size[1] / 100, size[0] / 100
    if kind == "polygon":
        points = parse_points(value.get("points")) or []
        return polygon_shape([(x * across, y * down) for x, y in points]) if len(points) >= 3 else None
    if kind == "keypoint":
        point = parse_numbers(value.get(key) for key in ("x", "y"))
        return None if point is None else point_shape([(point[0] * across, point[1] * down)])
    angle = parse_number(value.get("rotation") or 0)
    sides = ("width", "height") if kind == "rectangle" else ("radiusX", "radiusY")
    found = parse_numbers(value.get(key) for key in ("x", "y", *sides))
    if found is None or angle is None:
        return None
    x, y, width, height = found[0] * across, found[1] * down, found[2] * across, found[3] * down
    if kind == "ellipse":
        return ellipse_shape((x, y), (width, height), angle)
    return rotated_box_shape((x, y, width, height), angle, (x, y))
