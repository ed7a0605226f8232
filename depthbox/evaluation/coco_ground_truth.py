"""COCO ground truth: the objects of a dataset in the form that COCOeval reads."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.data import MetadataCatalog

from ..data.datasets import is_coco_style, read_coco_style
from ..io.annotations.canonical import canonicalize, repaired_ids
from ..io.annotations.detect import read_annotation_file
from ..io.annotations.json_file import without_garbage_collection
from ..io.annotations.records import AnnotationSet, OriginalIds
from .average_precision import AveragePrecision, compute_average_precision, convert_detections
from .coco_results import Result


@dataclass(frozen=True)
class EvaluatedAnnotations:
    """Annotations of a dataset with the ids that its dataset dicts have.

    Attributes:
        annotations: canonical annotations, without images that do not exist.
        ids: canonical id -> id in the dataset dicts, of images and categories.
    """

    annotations: AnnotationSet
    ids: OriginalIds


def read_evaluated_annotations(dataset_name: str) -> EvaluatedAnnotations:
    """Read the annotations of a registered dataset as its dataset dicts were read.

    Datasets of ``register_coco_style`` have the ids of ``load_coco_style``. Other datasets, such as the built-in ones
    of Detectron2, have the ids of their file, and images that do not exist count as missed.

    Raises:
        ValueError: the dataset has no ``json_file``, or the file cannot be used.
        FileNotFoundError: the file does not exist.
    """
    metadata = MetadataCatalog.get(dataset_name)
    json_file, image_root = metadata.get("json_file"), metadata.get("image_root")
    if not json_file:
        raise ValueError(f"dataset '{dataset_name}' has no json_file; register it with register_coco_style")
    if is_coco_style(dataset_name):
        annotations = read_coco_style(dataset_name, json_file, image_root)
        return EvaluatedAnnotations(annotations, repaired_ids(annotations))
    return read_annotations_alone(json_file, image_root)


def read_annotations_alone(
    json_file: str | os.PathLike[str], image_root: str | os.PathLike[str] | None = None
) -> EvaluatedAnnotations:
    """Read annotations with the ids of their file, without a search for the images.

    Args:
        json_file: annotation file.
        image_root: image folder, whose files are read only if the annotations lack their sizes.

    Raises:
        ValueError: the file cannot be used.
        FileNotFoundError: the file does not exist.
    """
    if not os.path.exists(json_file):
        raise FileNotFoundError(f"the ground truth {json_file} does not exist; correct the path of the dataset")
    root = os.fspath(image_root) if image_root and os.path.isdir(image_root) else None
    annotations = canonicalize(read_annotation_file(os.fspath(json_file), root), check_files=False)
    return EvaluatedAnnotations(annotations, annotations.ids)


class GroundTruth:
    """Objects of a dataset; ``segmentation`` may be missing.

    Ids may be any numbers or text. COCOeval marks unmatched detections by the annotation id 0, so an object with
    that id could never be found. Images, annotations and categories are therefore numbered from 1 internally.

    Args:
        evaluated: annotations of the dataset.
        fast: use faster-coco-eval if it is installed.

    Attributes:
        source: path of the annotations.
        image_sizes: image id -> (height, width), in the order of ids.
        categories: category id -> name, in the order of ids.
        original_images, original_categories: id in the dataset -> id in the user's file.
        has_annotations: False for a test set without them.
        has_objects: whether any object is not a crowd.
        has_masks: whether any object that is not a crowd has a mask.
    """

    def __init__(self, evaluated: EvaluatedAnnotations, fast: bool = True) -> None:
        annotations, ids = evaluated.annotations, evaluated.ids
        content = annotations.content
        self.source = annotations.source
        self.image_sizes = {ids.images[image["id"]]: (image["height"], image["width"]) for image in content["images"]}
        self.categories = {ids.categories[category["id"]]: category["name"] for category in content["categories"]}
        self._image_numbers = {ids.images[image["id"]]: image["id"] for image in content["images"]}
        self._category_numbers = {ids.categories[category["id"]]: category["id"] for category in content["categories"]}
        self.original_images = _map_values(self._image_numbers, annotations.ids.images)
        self.original_categories = _map_values(self._category_numbers, annotations.ids.categories)
        self.has_annotations = annotations.original.get("annotations") is not None
        self._annotations: list[dict[str, Any]] = content["annotations"]
        objects = [annotation for annotation in self._annotations if not annotation["iscrowd"]]
        self.has_objects = bool(objects)
        self.has_masks = any("segmentation" in annotation for annotation in objects)
        self._fast = fast and importlib.util.find_spec("faster_coco_eval") is not None
        logger = logging.getLogger(__name__)
        if fast and not self._fast:
            logger.info("faster-coco-eval is not installed: AP is computed with pycocotools.")
        if dropped := len(annotations.original.get("annotations") or ()) - len(self._annotations):
            logger.warning(
                "%s: %d annotations are not evaluated, because they cannot be used or their image does not exist; "
                "`depthbox check` names them.", self.source, dropped,
            )  # fmt: skip

    def average_precision(self, results: Sequence[Result], task: str) -> AveragePrecision:
        """Compute AP at up to 100 detections per image.

        Args:
            results: detections in COCO's result format, with the ids of the dataset; may be empty. Detections without
                the field of the task (``bbox`` or ``segmentation``), and those of images or categories that the dataset
                does not have, are not evaluated.
            task: "bbox" or "segm".

        Returns:
            The AP values.
        """
        names = list(self.categories.values())
        if not self.has_objects:
            return AveragePrecision([float("nan")] * 6, dict.fromkeys(names, float("nan")))
        with without_garbage_collection():
            # Images that do not exist leave gaps in the numbers.
            places = {number: place for place, number in enumerate(self._image_numbers.values(), 1)}
            objects = [
                {**_complete(annotation, task), "id": number, "image_id": places[annotation["image_id"]]}
                for number, annotation in enumerate(self._annotations, 1)
            ]
            pairs = {(entry["image_id"], entry["category_id"]) for entry in objects}
            images = _map_values(self._image_numbers, places)
            detections = convert_detections(results, task, images, self._category_numbers, pairs)
            return compute_average_precision(
                list(self.image_sizes.values()), names, objects, detections, task, self._fast
            )


def sort_ids(ids: Iterable[Any]) -> list[Any]:
    """Return ids in ascending order, numbers before text."""
    return sorted(ids, key=lambda value: (isinstance(value, str), value))


def _complete(annotation: dict[str, Any], task: str) -> dict[str, Any]:
    """Return an annotation with all keys that COCOeval reads.

    For the mask AP, an object without a mask becomes an ignored region.
    """
    if task != "segm" or "segmentation" in annotation:
        return annotation
    x, y, w, h = annotation["bbox"]
    return {**annotation, "iscrowd": 1, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}


def _map_values(numbers: Mapping[Any, int], values: Mapping[int, Any]) -> dict[Any, Any]:
    return {key: values[number] for key, number in numbers.items()}
