"""Registration of datasets, with or without masks and depth, in Detectron2's catalog."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from ..io.annotations.canonical import canonicalize, repaired_ids
from ..io.annotations.detect import read_annotation_file
from ..io.annotations.json_file import without_garbage_collection
from ..io.annotations.records import AnnotationSet, OriginalIds, format_note
from .depth_io import DEPTH_COMMAND, DEPTH_SUFFIXES, DepthFileError

DatasetDict = dict[str, Any]
_COPIED = ("segmentation", "point_coords", "point_labels")  # there only where valid

# name -> (JSON file, image root, depth root, class map root) of the datasets registered in this process.
_registered: dict[str, tuple[str, str, str, str]] = {}


def register_coco_style(
    name: str,
    json_file: str | os.PathLike[str],
    image_root: str | os.PathLike[str],
    depth_root: str | os.PathLike[str] | None = None,
    class_map_root: str | os.PathLike[str] | None = None,
) -> None:
    """Register a dataset for ``DATASETS.TRAIN`` and ``DATASETS.TEST``; no file is read before it is used.

    Args:
        name: name of the dataset. Registering the same data twice under one name has no effect.
        json_file: COCO JSON file of masks, boxes or points, or other annotations that DepthBox reads.
        image_root: image folder.
        depth_root: folder of the depth files, named as the images but ending in .png or .npy; None or "" = no
            depth.
        class_map_root: folder of the class maps, named as the images but ending in .png; None or "" = no class maps.

    Raises:
        ValueError: the name is registered for other data.
    """
    folders = [os.fspath(folder or "") for folder in (image_root, depth_root, class_map_root)]
    source = (os.fspath(json_file), folders[0], folders[1], folders[2])
    if _registered.get(name) == source:
        return
    if name in DatasetCatalog:
        known = _registered.get(name, "a dataset of Detectron2 or other code")
        raise ValueError(f"the dataset name '{name}' is already used by {known}: give {source} another name")
    _registered[name] = source
    DatasetCatalog.register(name, lambda: load_coco_style(name, *source))
    MetadataCatalog.get(name).set(
        json_file=source[0],
        image_root=source[1],
        depth_root=source[2],
        class_map_root=source[3],
        evaluator_type="coco",
    )


def register_from_config(cfg: CfgNode) -> None:
    """Register each dataset of ``DATASETS.COCO_STYLE``.

    An entry is ``[name, JSON file, image folder, depth folder or "", folder of class maps or ""]``; the last two may be
    missing. ``~`` and environment variables in the paths are expanded. Calling it again has no effect.

    Raises:
        ValueError: an entry of another form, an unset variable, or a name registered for other data.
    """
    for entry in cfg.DATASETS.COCO_STYLE:
        if isinstance(entry, str) or len(entry) not in (3, 4, 5) or not all(isinstance(part, str) for part in entry):
            raise ValueError(
                "an entry of DATASETS.COCO_STYLE is [name, JSON file, image folder, depth folder or '', "
                f"folder of class maps or ''], not {entry!r}"
            )
        name, *paths = entry
        register_coco_style(name, *(_expand(path) for path in paths))


def register_builtin(root: str | None = None) -> None:
    """Register COCO 2017 with depth: ``coco_2017_train_depth`` and ``coco_2017_val_depth``.

    Args:
        root: folder that holds ``coco/annotations``, ``coco/train2017``, ``coco/depth_train2017`` and so on;
            default the environment variable DETECTRON2_DATASETS, else ``./datasets``.
    """
    coco = Path(root or os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser() / "coco"
    for split in ("train", "val"):
        register_coco_style(
            f"coco_2017_{split}_depth",
            coco / "annotations" / f"instances_{split}2017.json",
            coco / f"{split}2017",
            coco / f"depth_{split}2017",
        )


def is_coco_style(name: str) -> bool:
    """Return whether a dataset was registered by ``register_coco_style``, so that ``load_coco_style`` loads it."""
    return name in _registered


def read_coco_style(name: str, json_file: str, image_root: str) -> AnnotationSet:
    """Read the annotations of a dataset in canonical form; images that do not exist are left out.

    Args:
        name: name of the dataset, for messages.
        json_file: COCO JSON file, or any other annotations that ``io.annotations`` reads.
        image_root: image folder.

    Raises:
        FileNotFoundError: the annotations or the image folder do not exist, or no image does.
        AnnotationError: the annotations cannot be read.
    """
    if not os.path.exists(json_file):
        raise FileNotFoundError(f"dataset '{name}': {json_file} does not exist; {_format_remedy(name)}")
    if not os.path.isdir(image_root):
        raise FileNotFoundError(
            f"dataset '{name}': the image folder {image_root} does not exist; {_format_remedy(name)}"
        )
    annotations = canonicalize(read_annotation_file(json_file, image_root), check_files=True)
    listed = annotations.content["images"]
    if len(annotations.missing) == len(listed):
        example = os.path.join(image_root, listed[0]["file_name"])
        raise FileNotFoundError(
            f"dataset '{name}': none of the {len(listed)} images exists in {image_root} (such as {example}); "
            f"{_format_remedy(name)}"
        )
    return annotations.without_missing()


def load_coco_style(
    name: str, json_file: str, image_root: str, depth_root: str = "", class_map_root: str = ""
) -> list[DatasetDict]:
    """Load annotations into Detectron2's dicts.

    Args:
        name: name of the dataset, whose metadata are set: ``thing_classes``, ``thing_dataset_id_to_contiguous_id``,
            ``has_masks``.
        json_file, image_root, depth_root, class_map_root: as in ``register_coco_style``.

    Returns:
        One dict per image, in the order of image ids. Annotations keep their ``id``, categories are contiguous from 0.
        With ``depth_root``, each dict has ``depth_file_name``; with ``class_map_root``, ``sem_seg_file_name``. An
        object of points alone has ``point_coords`` and ``point_labels``, but neither ``bbox`` nor ``bbox_mode``. Ids
        that are not integers are numbered from 1.

    Raises:
        FileNotFoundError: the annotations or the image folder do not exist, no image does, or class maps are missing.
        AnnotationError: the annotations cannot be read.
        DepthFileError: depth files are missing.
    """
    annotations = read_coco_style(name, json_file, image_root)
    logger = logging.getLogger(__name__)
    for note in annotations.notes:
        if note.kind != "repaired":
            logger.log(logging.WARNING if note.remedy else logging.INFO, "%s: %s", name, format_note(note))
    ids = repaired_ids(annotations)
    with without_garbage_collection():
        dicts = _build_dicts(annotations, ids, image_root)
    if depth_root and (missing := _add_files(dicts, image_root, depth_root, "depth_file_name", DEPTH_SUFFIXES)):
        raise DepthFileError(
            f"{_list_missing(name, missing, len(dicts), 'depth files (.png or .npy)')}. Generate them with "
            f"{DEPTH_COMMAND}, or register the dataset without a depth folder."
        )
    if class_map_root and (missing := _add_files(dicts, image_root, class_map_root, "sem_seg_file_name", (".png",))):
        raise FileNotFoundError(
            f"{_list_missing(name, missing, len(dicts), f'class maps in {class_map_root}')}. Add these files, or leave "
            "out the folder of class maps: --class-maps, or the fifth entry of DATASETS.COCO_STYLE"
        )
    categories = annotations.content["categories"]
    has_masks = any("segmentation" in annotation for annotation in annotations.content["annotations"])
    MetadataCatalog.get(name).set(
        thing_classes=[category["name"] for category in categories],
        thing_dataset_id_to_contiguous_id={ids.categories[c["id"]]: index for index, c in enumerate(categories)},
        has_masks=has_masks,
    )
    contents = ("with" if part else "without" for part in (has_masks, depth_root))
    logger.info("%s: %d images, %s masks, %s depth", name, len(dicts), *contents)
    return dicts


def _build_dicts(annotations: AnnotationSet, ids: OriginalIds, image_root: str) -> list[DatasetDict]:
    """Convert canonical annotations to Detectron2's dicts; canonical images and categories are in the order of ids."""
    records: dict[int, DatasetDict] = {
        image["id"]: {
            "file_name": os.path.join(image_root, image["file_name"]),
            "height": image["height"],
            "width": image["width"],
            "image_id": ids.images[image["id"]],
            "annotations": [],
            **({"background_points": image["background_points"]} if "background_points" in image else {}),
        }
        for image in annotations.content["images"]
    }
    numbers = ids.annotations
    for entry in annotations.content["annotations"]:
        annotation = {"id": numbers[entry["id"]], "iscrowd": entry["iscrowd"]}
        if "bbox" in entry:
            annotation |= {"bbox": entry["bbox"], "bbox_mode": BoxMode.XYWH_ABS}
        annotation["category_id"] = entry["category_id"] - 1
        annotation |= {key: entry[key] for key in _COPIED if key in entry}
        score = entry.get("score")
        if type(score) in (int, float) and abs(score) < float("inf"):  # not NaN
            annotation["score"] = score
        if isinstance(entry.get("fallback"), bool):
            annotation["fallback"] = entry["fallback"]
        records[entry["image_id"]]["annotations"].append(annotation)
    return list(records.values())


def _add_files(
    dicts: Sequence[DatasetDict], image_root: str, root: str, key: str, suffixes: Sequence[str]
) -> list[str]:
    """Set under a key the file in a folder that is named as the image; return the paths of missing files."""
    missing = []
    for record in dicts:
        stem = Path(root) / Path(os.path.relpath(record["file_name"], image_root)).with_suffix("")
        found = [path for suffix in suffixes if os.path.isfile(path := f"{stem}{suffix}")]
        if found:
            record[key] = found[0]
        else:
            missing.append(f"{stem}{suffixes[0]}")
    return missing


def _list_missing(name: str, missing: Sequence[str], images: int, kind: str) -> str:
    shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    return f"dataset '{name}': {len(missing)} of {images} {kind} are missing ({shown})"


def _format_remedy(name: str) -> str:
    return (
        f"correct the paths of '{name}' (DATASETS.COCO_STYLE in the config, the registering code, or the "
        "environment variable DETECTRON2_DATASETS for the built-in names)"
    )


def _expand(path: str) -> str:
    expanded = os.path.expanduser(os.path.expandvars(path))
    if "$" in expanded:
        raise ValueError(f"the path '{path}' in DATASETS.COCO_STYLE contains an environment variable that is not set")
    return expanded


register_builtin()
