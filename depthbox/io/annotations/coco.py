"""COCO instances: one JSON file, or a folder that holds one for each split."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .json_file import load_json
from .notes import shorten
from .readers.coco_files import find_coco_files, split_of
from .readers.image_files import SPLIT_NAMES, list_files
from .records import AnnotationError, RawAnnotations

_LISTS = ("images", "categories")  # a file without annotations lists images without objects
_PROBED = 8  # images by which the image folder is recognized
_AS_COCO = "Export the annotations as COCO instances"
_DETECTED = "pass it to `depthbox train --data`, which reads this format"


def read_coco(
    path: str | os.PathLike[str], images: str | os.PathLike[str] | None = None, split: str | None = None
) -> RawAnnotations:
    """Read COCO instances.

    Args:
        path: a JSON file, or a folder: with one JSON file, with the folders train, valid and test of Roboflow, or with
            annotations/instances_*.json.
        images: the image folder; None = found beside the JSON file by the names of its images.
        split: "train", "val" or "test" of a folder; None = the only JSON file.

    Raises:
        AnnotationError: the file or the split does not exist, or the file does not contain COCO instances.
    """
    path = Path(path)
    file = _choose_file(path, split) if path.is_dir() else path
    content = load_json(file)
    require_coco(content, file)
    root = Path(images) if images is not None else _find_image_folder(file, content)
    return RawAnnotations(file, "coco", root, content)


def require_coco(content: Any, source: Path) -> None:
    """Check that content is that of COCO instances.

    Raises:
        AnnotationError: the content is of another kind. The message names the kind and the remedy.
    """
    other = _describe_list(content) if isinstance(content, list) else _describe_other(content)
    if other:
        raise AnnotationError(f"{source} is {other}")
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else shorten(content)
        raise AnnotationError(f"{source} is not a COCO JSON file: it holds {kind}, not an object. {_AS_COCO}")
    missing = [key for key in _LISTS if key not in content]
    if missing == ["categories"]:
        missing = []  # the categories may be those of the annotations
    if missing:
        keys = ", ".join(shorten(key) for key in list(content)[:8]) or "none"
        lists = ", ".join([*missing, *(["annotations"] if "annotations" not in content else [])])
        raise AnnotationError(
            f"{source} is not a COCO JSON file: missing list(s): {lists} (its keys: {keys}). {_AS_COCO}"
        )


def _choose_file(folder: Path, split: str | None) -> Path:
    files = find_coco_files(folder)
    if not files:
        names = [path.name for path in list_files(folder, (".json",))][:4]
        wanted = f"several JSON files ({', '.join(names)})" if len(names) > 1 else "no COCO JSON file"
        raise AnnotationError(f"the folder {folder} holds {wanted}: name the JSON file")
    if split is None and len(files) == 1:
        return next(iter(files.values()))
    file = files.get(split or "") or (files.get("") if split == "train" else None)
    if file is None:
        names = [str(file.relative_to(folder)) for file in files.values()]
        wanted = f"no COCO JSON file of the split {split}" if split else "several COCO JSON files"
        raise AnnotationError(f"the folder {folder} holds {wanted} ({', '.join(names)}): name one JSON file")
    return file


def _find_image_folder(file: Path, content: Any) -> Path:
    """Return the folder near a JSON file that holds its images; the images folder or its own if none does."""
    near, above = file.parent, file.parent.parent
    word = file.stem.removeprefix("instances_")
    split = split_of(file)
    names = [name for name in dict.fromkeys((word, *SPLIT_NAMES.get(split, ()))) if name]
    folders = [near, near / "images", above, above / "images"]
    folders += [top / name for top in (near, near / "images", above, above / "images") for name in names]
    images = content["images"] if isinstance(content["images"], list) else []
    step = max(1, len(images) // _PROBED)
    probes = [str(image.get("file_name")) for image in images[::step][:_PROBED] if isinstance(image, dict)]
    probes = [name.replace("\\", "/") for name in probes if name.isprintable() and not os.path.isabs(name)]
    hits = {folder: sum(os.path.isfile(folder / name) for name in probes) for folder in folders}
    best = max(folders, key=lambda folder: hits[folder])
    if hits[best]:
        return best
    return near / "images" if (near / "images").is_dir() else near


def _describe_list(content: list[Any]) -> str:
    """Describe the kind of a JSON list and the remedy; "" if the kind is unknown."""
    first = next((entry for entry in content if isinstance(entry, dict)), {})
    if "image_id" in first:
        return (
            "a list of detections (COCO results), not annotations: name the file of annotations that the detections "
            "were made for"
        )
    if "data" in first and not first.keys().isdisjoint(("annotations", "completions", "predictions")):
        return f"a Label Studio export, not a COCO JSON file: {_DETECTED}"
    if "image" in first and "annotations" in first:
        return f"a CreateML JSON file, not a COCO JSON file. {_AS_COCO}"
    return ""


def _describe_other(content: Any) -> str:
    """Describe a JSON object of another format and the remedy; "" if it may be COCO instances."""
    if not isinstance(content, dict):
        return ""
    if "shapes" in content and ("imagePath" in content or "imageData" in content or "images" not in content):
        return (
            "a LabelMe JSON file of one image, not a COCO JSON file: pass the folder of all such files to "
            "`depthbox train --data`"
        )
    if content.get("type") in ("FeatureCollection", "Feature") and "images" not in content:
        return f"a GeoJSON file, not a COCO JSON file: cut the map into images. {_AS_COCO}"
    if "_via_img_metadata" in content or any(isinstance(part, dict) and "regions" in part for part in content.values()):
        return f"a file of VGG Image Annotator (VIA), not a COCO JSON file. {_AS_COCO}"
    if "data" in content and not content.keys().isdisjoint(("completions", "predictions", "annotations")):
        return f"a Label Studio task, not a COCO JSON file: {_DETECTED}"
    if isinstance(content.get("image"), dict) and "annotations" in content:
        return f"an SA-1B file of one image, not a COCO JSON file. {_AS_COCO}"
    annotations = content.get("annotations")
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    if isinstance(first, dict) and "bbox" not in first and "segmentation" not in first:
        if "segments_info" in first:
            return f"a COCO panoptic file, not COCO instances: name the file instances_*.json. {_AS_COCO}"
        if "caption" in first:
            return "a COCO captions file, not COCO instances: name the file instances_*.json"
    return ""
