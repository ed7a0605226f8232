"""Images of a data set with what is known and predicted about them, side by side."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog, detection_utils
from detectron2.data import transforms as T
from detectron2.structures import BoxMode, Instances
from fvcore.transforms.transform import NoOpTransform

from ..data.annotations import transform_mask
from ..data.depth_io import read_depth, resize_depth
from .draw import Objects, Picture, colorize, draw_objects, instance_color, overlap, resize_image, resize_objects
from .edges import color_edge_share
from .sheet import Tile, tile_width

Record = Mapping[str, Any]
Predict = Callable[[Record], Instances]


def choose_records(records: Sequence[Record], count: int = 16, ids: Sequence[str] = (), seed: int = 0) -> list[Record]:
    """Choose images of a data set: those named, else ``count`` at random, in the data set's order.

    Args:
        records: Detectron2's dicts.
        count: how many at most, where none is named.
        ids: image ids as text.
        seed: equal seeds choose equal images.

    Raises:
        ValueError: an id that the data set does not have, or a count below 1.
    """
    if ids:
        by_id = {str(record["image_id"]): record for record in records}
        missing = [image_id for image_id in ids if image_id not in by_id]
        if missing:
            known = ", ".join(list(by_id)[:5])
            raise ValueError(f"the data set has no image with the id {', '.join(missing)}; its ids: {known}, ...")
        return [by_id[image_id] for image_id in ids]
    if count < 1:
        raise ValueError(f"the number of images must be at least 1, got {count}")
    chosen = random.Random(seed).sample(range(len(records)), min(count, len(records)))
    return [records[i] for i in sorted(chosen)]


class DatasetSheet:
    """Makes the tiles of an image: truth, prediction, colour edges and pseudo depth."""

    def __init__(
        self,
        cfg: CfgNode,
        dataset_name: str,
        predict: Predict | None = None,
        *,
        columns: int = 2,
        score_threshold: float = 0.4,
        inputs: bool = True,
    ) -> None:
        """
        Args:
            cfg: its INPUT and MODEL.BOXINST say how colour edges are made.
            dataset_name: a data set that is loaded already.
            predict: from a data set dict to Instances at the original image's size; None = no prediction.
            columns: images side by side.
            score_threshold: predictions below are not drawn.
            inputs: whether to show colour edges and, where a record names it, depth.
        """
        self._cfg = cfg
        self._classes: Sequence[str] = MetadataCatalog.get(dataset_name).get("thing_classes") or ()
        self._predict = predict
        self._threshold = score_threshold
        self._inputs = inputs
        self._depth = inputs and bool(MetadataCatalog.get(dataset_name).get("depth_root"))
        self.tiles_per_image = 1 + (predict is not None) + inputs + self._depth
        self.columns = columns * self.tiles_per_image
        self._width = tile_width(self.columns)

    def tiles(self, record: Record) -> list[Tile]:
        """All tiles of one image, ``tiles_per_image`` of them.

        Raises:
            OSError: the image is missing or broken.
            DepthFileError: its depth file is.
        """
        image = _read_image(record)
        size = (image.shape[0], image.shape[1])
        scale = self._width / max(size)
        shown = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        picture = resize_image(image, shown)
        truth = self._truth(record, size)
        moved = resize_objects(truth, size, shown)
        caption = f"{record['image_id']}: truth, {len(truth.boxes)} objects"
        tiles = [Tile(draw_objects(picture, moved, fill=0.0), caption)]
        if self._predict is not None:
            found = self._found(self._predict(record), truth)
            moved = resize_objects(found, size, shown)
            caption = f"predicted, {len(found.boxes)} with score >= {self._threshold:g}"
            tiles.append(Tile(draw_objects(picture, moved, boxes=False), caption))
        if self._inputs:
            tiles.append(self._edges(image, shown))
        if self._depth:
            depth = resize_depth(read_depth(record["depth_file_name"], size), shown)
            tiles.append(Tile(colorize(depth), "pseudo depth, bright = near"))
        return tiles

    def _edges(self, image: Picture, shown: tuple[int, int]) -> Tile:
        resize = T.ResizeShortestEdge(self._cfg.INPUT.MIN_SIZE_TEST, self._cfg.INPUT.MAX_SIZE_TEST)
        resized = resize.get_transform(image).apply_image(image)
        share = color_edge_share(self._cfg, resized, image.shape[0])
        caption = f"alike in colour, bright = yes; mean {share.mean():.2f}"
        return Tile(resize_image(colorize(share), shown, smooth=False), caption)

    def _truth(self, record: Record, size: tuple[int, int]) -> Objects:
        objects = [a for a in record.get("annotations", ()) if not a.get("iscrowd", 0)]
        boxes = [BoxMode.convert(list(a["bbox"]), a["bbox_mode"], BoxMode.XYXY_ABS) for a in objects]
        labels = [self._class_name(a["category_id"]) for a in objects]
        masks = None
        if any(a.get("segmentation") for a in objects):
            masks = np.array([_true_mask(a, size, record["file_name"]) for a in objects])
        return Objects(np.array(boxes), labels, masks)

    def _found(self, instances: Instances, truth: Objects) -> Objects:
        """Predictions above the threshold, best first, each in the colour of the true object it lies on."""
        instances = instances.to("cpu")
        instances = instances[instances.scores >= self._threshold]
        instances = instances[instances.scores.argsort(descending=True)]
        boxes = instances.pred_boxes.tensor.double().numpy()
        named = zip(instances.pred_classes.tolist(), instances.scores.tolist(), strict=True)
        labels = [f"{self._class_name(number)} {score:.2f}" for number, score in named]
        masks = instances.pred_masks.numpy().astype(bool) if instances.has("pred_masks") else None
        return Objects(boxes, labels, masks, [instance_color(i) for i in _match(boxes, truth.boxes)])

    def _class_name(self, number: int) -> str:
        return self._classes[number] if number < len(self._classes) else f"class {number}"


def _match(boxes: np.ndarray, truth: np.ndarray) -> list[int]:
    """For each predicted box the true one it covers (IoU >= 0.5, each at most once), else a new number."""
    numbers, fresh, taken = [], len(truth), set()
    ious = overlap(boxes, truth)
    for row in ious:
        best = int(row.argmax()) if len(row) else -1
        if best >= 0 and row[best] >= 0.5 and best not in taken:
            taken.add(best)
            numbers.append(best)
        else:
            numbers.append(fresh)
            fresh += 1
    return numbers


def _true_mask(annotation: Record, size: tuple[int, int], file_name: str) -> np.ndarray:
    if not annotation.get("segmentation"):
        return np.zeros(size, dtype=bool)
    try:
        return transform_mask(annotation["segmentation"], NoOpTransform(), size, size)
    except (ValueError, KeyError, TypeError) as error:
        where = f"annotation {annotation.get('id', '(no id)')} of {file_name}"
        raise ValueError(f"{where} has a broken segmentation: {error}") from error


def _read_image(record: Record) -> Picture:
    file_name = record["file_name"]
    try:
        image = detection_utils.read_image(file_name, format="RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise OSError(
            f"the image {file_name} is missing or cannot be read ({error}); correct the image folder of "
            "its data set, or replace the file"
        ) from error
    detection_utils.check_image_size(dict(record), image)
    return np.ascontiguousarray(image)
