"""Quality of the detections in single images of an evaluated dataset."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import MetadataCatalog
from numpy.typing import NDArray

from ..io.annotations.canonical import canonicalize
from ..io.annotations.canonical.ids import is_id
from ..io.annotations.detect import read_annotation_file
from ..io.coco_masks import segmentation_to_rle
from ..io.untrusted.json_files import read_json

CocoRecord = Mapping[str, Any]

MATCH = 0.5  # minimum IoU of a detection with the object that it finds
MAX_IMAGES = 2000  # more images are sampled evenly
MAX_DETECTIONS = 100  # per image
_LARGEST = 1e9  # magnitude of a coordinate; products of two stay finite


@dataclass(frozen=True)
class EvaluatedDataset:
    """Ground truth of an evaluated dataset, with its image folder.

    Attributes:
        images: id -> COCO image record.
        objects: image id -> COCO annotations.
        classes: category id -> name.
        folder: folder of the images.
        has_masks: whether any object that is not a crowd has a mask.
    """

    images: Mapping[Any, CocoRecord]
    objects: Mapping[Any, list[CocoRecord]]
    classes: Mapping[Any, str]
    folder: Path
    has_masks: bool


@dataclass(frozen=True)
class ImageMatch:
    """Assignment of the detections of one image to its objects at one score threshold.

    Attributes:
        matched: index of a detection -> index of the object that it finds.
        iou_sum: sum of the IoUs of the matched pairs.
        false_detections: number of detections that find nothing and do not lie in a crowd.
        objects: number of objects in the image.
    """

    matched: Mapping[int, int]
    iou_sum: float
    false_detections: int
    objects: int

    @property
    def quality(self) -> float:
        """Panoptic quality in [0, 1]: sum of the IoUs over the mean number of objects and detections."""
        found = len(self.matched)
        size = found + (self.false_detections + self.objects - found) / 2
        return self.iou_sum / size if size else 0.0


@dataclass(frozen=True)
class ImageDetections:
    """Detections of one image, best first, compared with its objects.

    Attributes:
        image: image id.
        detections: detections in COCO's result format.
        overlaps: (detections, objects) IoU, 0 for different classes.
        objects: annotations other than crowds.
        ignored: (detections,) whether a detection lies in a crowd.
        masks: whether masks are compared; otherwise boxes are.
    """

    image: Any
    detections: list[CocoRecord]
    overlaps: NDArray[np.float64]
    objects: list[CocoRecord]
    ignored: NDArray[np.bool_]
    masks: bool

    def match(self, threshold: float) -> ImageMatch:
        """Assign detections to objects greedily in the order of scores, using scores of at least ``threshold``."""
        matched: dict[int, int] = {}
        taken: set[int] = set()
        iou_sum, false_detections = 0.0, 0
        for number, detection in enumerate(self.detections):
            if detection["score"] < threshold:
                break
            free = [(iou, o) for o, iou in enumerate(self.overlaps[number]) if o not in taken and iou >= MATCH]
            if free:
                iou, chosen = max(free)
                taken.add(chosen)
                matched[number] = chosen
                iou_sum += iou
            elif not self.ignored[number]:
                false_detections += 1
        return ImageMatch(matched, iou_sum, false_detections, len(self.objects))


def load_evaluated_dataset(name: str, coco_style: Sequence[Sequence[str]], near: Path) -> EvaluatedDataset:
    """Load the ground truth of a dataset of a run.

    Args:
        name: name of the dataset.
        coco_style: DATASETS.COCO_STYLE of the run; other datasets are looked up in Detectron2's catalog.
        near: folder of the run. A relative path is searched in the working directory, then in the parent folders of
            ``near``.

    Raises:
        OSError, ValueError, AttributeError: the dataset cannot be found or read.
    """
    entry = next((entry for entry in coco_style if entry[0] == name), None)
    if entry is not None:
        json_file, folder = entry[1], entry[2]
    else:
        metadata = MetadataCatalog.get(name)
        json_file, folder = metadata.json_file, metadata.image_root
    path, root = _find_path(json_file, near), _find_path(folder, near)
    if not path.exists():
        raise FileNotFoundError(f"the annotations {path} of {name} do not exist")
    annotations = canonicalize(read_annotation_file(str(path), str(root)), check_files=False)
    content, ids = annotations.content, annotations.ids
    objects: dict[Any, list[CocoRecord]] = defaultdict(list)
    for annotation in content["annotations"]:
        category = ids.categories[annotation["category_id"]]
        objects[ids.images[annotation["image_id"]]].append({**annotation, "category_id": category})
    return EvaluatedDataset(
        images={ids.images[image["id"]]: image for image in content["images"]},
        objects=objects,
        classes={ids.categories[category["id"]]: category["name"] for category in content["categories"]},
        folder=root,
        has_masks=any(a.get("segmentation") and not _is_crowd(a) for a in content["annotations"]),
    )


def read_predictions(path: str | os.PathLike[str]) -> list[CocoRecord]:
    """Read detections in COCO's result format.

    Args:
        path: JSON file, such as the one that an evaluation writes.

    Raises:
        ValueError: the file is not such a file; the message names it and the first faulty detection.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise ValueError(f"{path} is not a list of detections: evaluate again with `depthbox eval`")
    for number, entry in enumerate(content):
        if not _is_sound_result(entry):
            raise ValueError(
                f"{path}: detection {number} lacks image_id, category_id, a finite score or a bbox of four finite "
                "numbers: evaluate again with `depthbox eval`"
            )
    return content


def read_candidates(predictions: Sequence[CocoRecord], dataset: EvaluatedDataset) -> list[ImageDetections]:
    """Compare predictions with the ground truth of up to ``MAX_IMAGES`` images that have objects.

    Args:
        predictions: detections in COCO's result format.
        dataset: ground truth of the same dataset.

    Returns:
        One record per image, in the order of the dataset.
    """
    masks = dataset.has_masks and any("segmentation" in detection for detection in predictions)
    by_image: dict[Any, list[CocoRecord]] = defaultdict(list)
    for detection in predictions:
        by_image[detection["image_id"]].append(detection)
    chosen = [number for number in dataset.images if any(not _is_crowd(o) for o in dataset.objects.get(number, ()))]
    chosen = chosen[:: max(1, -(-len(chosen) // MAX_IMAGES))]
    return [_compare_image(number, by_image.get(number, []), dataset, masks) for number in chosen]


def best_threshold(candidates: Sequence[ImageDetections]) -> float:
    """Return the score threshold of 0.05, 0.1, ..., 0.9 with the highest F1 score over all images."""
    objects = sum(len(candidate.objects) for candidate in candidates)

    def f1(threshold: float) -> float:
        matches = [candidate.match(threshold) for candidate in candidates]
        found = sum(len(match.matched) for match in matches)
        false_detections = sum(match.false_detections for match in matches)
        return 2 * found / max(objects + found + false_detections, 1)

    return max((round(0.05 * step, 2) for step in range(1, 19)), key=f1)


def _compare_image(
    number: Any, detections: Sequence[CocoRecord], dataset: EvaluatedDataset, masks: bool
) -> ImageDetections:
    image = dataset.images[number]
    size = (image["height"], image["width"])
    detections = sorted(detections, key=lambda detection: -detection["score"])[:MAX_DETECTIONS]
    given = dataset.objects.get(number, [])
    if masks:
        given = [o for o in given if o.get("segmentation")]
    objects, crowds = ([o for o in given if _is_crowd(o) is crowd] for crowd in (False, True))
    shapes = [_to_shape(detection, size, masks) for detection in detections]
    overlaps = _compute_iou(shapes, [_to_shape(o, size, masks) for o in objects], crowd=False)
    for index, detection in enumerate(detections):
        overlaps[index, [o["category_id"] != detection["category_id"] for o in objects]] = 0
    inside = _compute_iou(shapes, [_to_shape(o, size, masks) for o in crowds], crowd=True)
    return ImageDetections(number, detections, overlaps, objects, np.asarray((inside >= MATCH).any(1)), masks)


def _compute_iou(first: list[Any], second: list[Any], crowd: bool) -> NDArray[np.float64]:
    if not first or not second:
        return np.zeros((len(first), len(second)))
    return np.array(mask_util.iou(first, second, [int(crowd)] * len(second)), dtype=np.float64)


def _to_shape(record: CocoRecord, size: tuple[int, int], masks: bool) -> Any:
    """Return the box or RLE of a record in the form that pycocotools compares."""
    if masks:
        return segmentation_to_rle(record["segmentation"], size)
    return [float(value) for value in record["bbox"]]


def _is_sound_result(entry: Any) -> bool:
    if not isinstance(entry, dict) or not (is_id(entry.get("image_id")) and is_id(entry.get("category_id"))):
        return False
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        return False
    return all(type(value) in (int, float) and abs(value) < _LARGEST for value in [*box, entry.get("score")])


def _is_crowd(annotation: CocoRecord) -> bool:
    return bool(annotation.get("iscrowd", 0))


def _find_path(name: str, near: Path) -> Path:
    path = Path(os.path.expanduser(os.path.expandvars(name)))
    candidates = [path, *(parent / path for parent in near.resolve().parents)]
    return next((candidate for candidate in candidates if candidate.exists()), path)
