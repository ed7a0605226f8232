"""COCO-style data sets, with or without masks, with or without depth, in Detectron2's catalog."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json

from .depth_io import DEPTH_SUFFIXES, DEPTH_TOOL, DepthFileError

DatasetDict = dict[str, Any]

# name -> (json file, image root, depth root), what each name stands for in this process.
_registered: dict[str, tuple[str, str, str]] = {}


def register_coco_style(
    name: str,
    json_file: str | os.PathLike[str],
    image_root: str | os.PathLike[str],
    depth_root: str | os.PathLike[str] | None = None,
) -> None:
    """Register a data set for ``DATASETS.TRAIN`` and ``DATASETS.TEST``; no file is touched before use.

    Args:
        name: the data set's name. Registering the same data twice under one name changes nothing.
        json_file: COCO instances json; ``segmentation`` may be missing, category ids may have gaps.
        image_root: folder of the images.
        depth_root: folder of the depth files, named as the images but ending in .png or .npy; None or "" = no
            depth.

    Raises:
        ValueError: the name already stands for other data.
    """
    source = (os.fspath(json_file), os.fspath(image_root), os.fspath(depth_root or ""))
    if _registered.get(name) == source:
        return
    if name in DatasetCatalog:
        known = _registered.get(name, "a data set of Detectron2 or of other code")
        raise ValueError(f"the data set name '{name}' is taken by {known}; give {source} another name")
    _registered[name] = source
    DatasetCatalog.register(name, lambda: load_coco_style(name, *source))
    MetadataCatalog.get(name).set(
        json_file=source[0], image_root=source[1], depth_root=source[2], evaluator_type="coco"
    )


def register_from_config(cfg: CfgNode) -> None:
    """Register each ``[name, json file, image folder, depth folder or ""]`` of ``DATASETS.COCO_STYLE``.

    ``~`` and environment variables in the paths are filled in. Calling it again changes nothing.

    Raises:
        ValueError: an entry of another form, an unset variable, or a name that stands for other data.
    """
    for entry in cfg.DATASETS.COCO_STYLE:
        if isinstance(entry, str) or len(entry) not in (3, 4) or not all(isinstance(part, str) for part in entry):
            raise ValueError(
                f"an entry of DATASETS.COCO_STYLE is [name, json file, image folder, depth folder or ''], not {entry!r}"
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


def load_coco_style(name: str, json_file: str, image_root: str, depth_root: str = "") -> list[DatasetDict]:
    """Load a COCO-style json into Detectron2's dicts.

    Args:
        name: where the metadata go: ``thing_classes``, ``thing_dataset_id_to_contiguous_id``, ``has_masks``.
        json_file, image_root, depth_root: as in ``register_coco_style``.

    Returns:
        One dict an image; annotations keep their ``id``, categories are contiguous from 0; with
        ``depth_root`` each dict has ``depth_file_name``.

    Raises:
        FileNotFoundError: the json or the image folder is missing.
        ValueError: the json is malformed.
        DepthFileError: depth files are missing.
    """
    if not os.path.isfile(json_file):
        raise FileNotFoundError(f"data set '{name}': the json file {json_file} does not exist; {_where_to_say(name)}")
    if not os.path.isdir(image_root):
        raise FileNotFoundError(f"data set '{name}': there is no image folder {image_root}; {_where_to_say(name)}")
    try:
        dicts = load_coco_json(json_file, image_root, name, extra_annotation_keys=["id"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError) as error:
        kind = "no valid JSON" if isinstance(error, json.JSONDecodeError) else "no COCO instances file"
        raise _malformed(name, json_file, f"{kind} ({type(error).__name__}: {error})") from error
    if not dicts:
        raise _malformed(name, json_file, "a file without images")
    _check_boxes(name, json_file, dicts)
    if depth_root:
        _add_depth_files(name, dicts, image_root, depth_root)
    has_masks = any("segmentation" in annotation for record in dicts for annotation in record["annotations"])
    MetadataCatalog.get(name).set(has_masks=has_masks)
    logging.getLogger(__name__).info(
        "%s: %d images, %s masks, %s depth",
        name,
        len(dicts),
        *("with" if x else "no" for x in (has_masks, depth_root)),
    )
    return dicts


def _check_boxes(name: str, json_file: str, dicts: Sequence[DatasetDict]) -> None:
    for record in dicts:
        for annotation in record["annotations"]:
            box = annotation.get("bbox")
            if not (isinstance(box, list) and len(box) == 4 and all(_is_finite(value) for value in box)):
                where = f"annotation {annotation.get('id')} of {record['file_name']}"
                raise _malformed(name, json_file, f"broken: {where} has the bbox {box}, not four finite numbers")


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _add_depth_files(name: str, dicts: Sequence[DatasetDict], image_root: str, depth_root: str) -> None:
    missing = []
    for record in dicts:
        stem = Path(depth_root) / Path(os.path.relpath(record["file_name"], image_root)).with_suffix("")
        candidates = [f"{stem}{suffix}" for suffix in DEPTH_SUFFIXES]
        found = [path for path in candidates if os.path.isfile(path)]
        if found:
            record["depth_file_name"] = found[0]
        else:
            missing.append(candidates[0])
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DepthFileError(
            f"data set '{name}': {len(missing)} of {len(dicts)} depth files are missing (.png or .npy): "
            f"{shown}. Make them with {DEPTH_TOOL} (--help tells how), or register the data set without a "
            "depth folder."
        )


def _malformed(name: str, json_file: str, problem: str) -> ValueError:
    return ValueError(
        f"data set '{name}': {json_file} is {problem}. It must hold images (id, file_name, height, width), "
        "categories (id, name) and annotations (unique id, image_id, category_id, bbox [x, y, width, "
        "height]; segmentation is optional)."
    )


def _where_to_say(name: str) -> str:
    return (
        f"correct the paths of '{name}' (DATASETS.COCO_STYLE in the config, the registering code, or the "
        "environment variable DETECTRON2_DATASETS for the built-in names)"
    )


def _expand(path: str) -> str:
    expanded = os.path.expanduser(os.path.expandvars(path))
    if "$" in expanded:
        raise ValueError(f"the path '{path}' in DATASETS.COCO_STYLE holds an environment variable that is not set")
    return expanded


register_builtin()
