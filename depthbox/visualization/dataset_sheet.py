"""Contact sheet of a dataset: ground truth, predictions, color edges and pseudo depth of each image, side by side."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.data import transforms as T
from detectron2.structures import BoxMode, Instances
from fvcore.transforms.transform import NoOpTransform
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from ..data.annotations import transform_mask
from ..data.depth_io import read_depth, resize_depth
from ..data.samples import require_same_size
from ..io.images import ImageError, RGBImage, read_image
from ..ops import color_similarity, rgb_to_lab
from .draw import (
    DrawnObjects,
    colorize,
    compute_iou,
    draw_objects,
    instance_color,
    resize_image,
    resize_objects,
)
from .point_marks import DrawnPoint, choose_radius, draw_points
from .sheet import Tile, tile_width

Record = Mapping[str, Any]
Predict = Callable[[Record], Instances]
_MOST_TEXTS = 30  # objects of an image up to which the classes of points are written
_WHITE = (255, 255, 255)
_NO_BOX = [np.nan] * 4
_MATCH = 0.5  # IoU from which a prediction gets the color of a ground-truth object


def choose_records(records: Sequence[Record], count: int = 16, ids: Sequence[str] = (), seed: int = 0) -> list[Record]:
    """Choose images of a dataset: those named, else ``count`` at random, in the order of the dataset.

    Args:
        records: Detectron2's dataset dicts.
        count: maximum number of images if none is named.
        ids: image ids as text.
        seed: seed of the choice.

    Raises:
        ValueError: an id that the dataset does not have, or a count below 1.
    """
    if ids:
        by_id = {str(record["image_id"]): record for record in records}
        missing = [image_id for image_id in ids if image_id not in by_id]
        if missing:
            known = ", ".join(list(by_id)[:5])
            raise ValueError(f"the dataset has no image with the id {', '.join(missing)}; its ids: {known}, ...")
        return [by_id[image_id] for image_id in ids]
    if count < 1:
        raise ValueError(f"the number of images must be at least 1, got {count}")
    chosen = random.Random(seed).sample(range(len(records)), min(count, len(records)))
    return [records[i] for i in sorted(chosen)]


class DatasetSheet:
    """Tiles of the images of a dataset: ground truth, prediction, color edges and pseudo depth."""

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
            cfg: config; INPUT and MODEL.BOXINST define the color edges.
            dataset_name: dataset that is already loaded.
            predict: function from a dataset dict to Instances at the original image's size; None = no prediction.
            columns: images side by side.
            score_threshold: minimum score of drawn predictions.
            inputs: whether to show color edges and, for datasets that have it, depth.
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
        """Draw the ``tiles_per_image`` tiles of one image.

        Raises:
            OSError: the image is missing or broken.
            DepthFileError: its depth file is missing or broken.
        """
        image = _read_image(record)
        size = (image.shape[0], image.shape[1])
        scale = self._width / max(size)
        shown = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        small = resize_image(image, shown)
        truth = self._collect_ground_truth(record, size)
        tiles = [self._draw_ground_truth(record, resize_objects(truth, size, shown), small, scale)]
        if self._predict is not None:
            found = self._collect_predictions(self._predict(record), truth)
            caption = f"predictions, {len(found.boxes)} with score >= {self._threshold:g}"
            tiles.append(Tile(draw_objects(small, resize_objects(found, size, shown), boxes=False), caption))
        if self._inputs:
            tiles.append(self._draw_edges(image, shown))
        if self._depth:
            depth = resize_depth(read_depth(record["depth_file_name"], size), shown)
            tiles.append(Tile(colorize(depth), "pseudo depth, bright = near"))
        return tiles

    def _draw_ground_truth(self, record: Record, truth: DrawnObjects, small: RGBImage, scale: float) -> Tile:
        caption = f"{record['image_id']}: ground truth, {len(truth.boxes)} objects"
        image = draw_objects(small, truth, fill=0.0)
        points = self._collect_points(record, truth, scale)
        if points:
            alone = int(np.isnan(truth.boxes).any(1).sum())
            caption += f", {alone} as points" if alone else ""
            drawing = Image.fromarray(image)
            draw_points(drawing, points, choose_radius(len(points), small[..., 0].size))
            image = np.asarray(drawing)
        return Tile(image, caption)

    def _collect_points(self, record: Record, truth: DrawnObjects, scale: float) -> list[DrawnPoint]:
        """Return the points of objects in their colors, and background points in white, in pixels of the tile."""
        objects = [a for a in record.get("annotations", ()) if not a.get("iscrowd", 0)]
        texts = len(self._classes) > 1 and len(objects) <= _MOST_TEXTS
        points = []
        for entry, label, color in zip(objects, truth.labels, truth.colors, strict=True):
            pairs = zip(entry.get("point_coords", ()), entry.get("point_labels", ()), strict=True)
            for number, ((x, y), flag) in enumerate(pairs):
                text = label if texts and number == 0 and "bbox" not in entry else ""
                points.append(DrawnPoint(x * scale, y * scale, flag, color, text))
        background = record.get("background_points", ())
        return points + [DrawnPoint(x * scale, y * scale, -1, _WHITE) for x, y in background]

    def _draw_edges(self, image: RGBImage, shown: tuple[int, int]) -> Tile:
        resize = T.ResizeShortestEdge(self._cfg.INPUT.MIN_SIZE_TEST, self._cfg.INPUT.MAX_SIZE_TEST)
        resized = resize.get_transform(image).apply_image(image)
        share = color_edge_share(self._cfg, resized, image.shape[0])
        caption = f"share of similar neighbors, bright = all; mean {share.mean():.2f}"
        return Tile(resize_image(colorize(share), shown, smooth=False), caption)

    def _collect_ground_truth(self, record: Record, size: tuple[int, int]) -> DrawnObjects:
        objects = [a for a in record.get("annotations", ()) if not a.get("iscrowd", 0)]
        boxes = [_read_box(a) for a in objects]
        labels = [self._class_name(a["category_id"]) for a in objects]
        masks = None
        if any(a.get("segmentation") for a in objects):
            masks = np.array([_decode_mask(a, size, record["file_name"]) for a in objects])
        return DrawnObjects(np.array(boxes, dtype=np.float64), labels, masks)

    def _collect_predictions(self, instances: Instances, truth: DrawnObjects) -> DrawnObjects:
        """Return predictions above the threshold, best first, in the colors of the ground-truth objects they match."""
        instances = instances.to("cpu")
        instances = instances[instances.scores >= self._threshold]
        instances = instances[instances.scores.argsort(descending=True)]
        boxes = instances.pred_boxes.tensor.double().numpy()
        named = zip(instances.pred_classes.tolist(), instances.scores.tolist(), strict=True)
        labels = [f"{self._class_name(number)} {score:.2f}" for number, score in named]
        masks = instances.pred_masks.numpy().astype(bool) if instances.has("pred_masks") else None
        return DrawnObjects(boxes, labels, masks, [instance_color(i) for i in _assign_numbers(boxes, truth.boxes)])

    def _class_name(self, number: int) -> str:
        return self._classes[number] if number < len(self._classes) else f"class {number}"


def color_edge_share(cfg: CfgNode, image: RGBImage, original_height: int) -> NDArray[np.float32]:
    """Compute the share of similar neighbors of each cell of the mask grid, as in training.

    Args:
        cfg: config; MODEL.CONDINST.MASK_OUT_STRIDE and MODEL.BOXINST are read.
        image: (H, W, 3) uint8, RGB, at the network's input size; H and W are at least one stride.
        original_height: height of the image before resizing, in pixels.

    Returns:
        (H // stride, W // stride) float32 in [0, 1].
    """
    stride, box = cfg.MODEL.CONDINST.MASK_OUT_STRIDE, cfg.MODEL.BOXINST
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    lab = rgb_to_lab(F.avg_pool2d(tensor, stride).floor() / 255)
    height = image.shape[0]
    valid = torch.ones(1, *image.shape[:2])
    valid[:, height - int(box.BOTTOM_PIXELS_REMOVED * height / original_height) :] = 0
    start = stride // 2
    valid = valid[:, start::stride, start::stride][:, : lab.shape[2], : lab.shape[3]]
    similarity = color_similarity(lab, valid, box.PAIRWISE.SIZE, box.PAIRWISE.DILATION)
    similar = (similarity >= box.PAIRWISE.COLOR_THRESH) & (similarity > 0)
    return similar.float().mean(dim=1)[0].numpy()


def _assign_numbers(boxes: np.ndarray, truth: np.ndarray) -> list[int]:
    """Return the index of the ground-truth box of each prediction (each used at most once), else a new number."""
    numbers, new, taken = [], len(truth), set()
    for ious in np.nan_to_num(compute_iou(boxes, truth)):  # NaN: objects of points
        best = int(ious.argmax()) if len(ious) else -1
        if best >= 0 and ious[best] >= _MATCH and best not in taken:
            taken.add(best)
            numbers.append(best)
        else:
            numbers.append(new)
            new += 1
    return numbers


def _read_box(annotation: Record) -> list[float]:
    """Return the box xyxy of an annotation; NaN for an object of points."""
    if "bbox" not in annotation:
        return _NO_BOX
    return list(BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYXY_ABS))


def _decode_mask(annotation: Record, size: tuple[int, int], file_name: str) -> np.ndarray:
    if not annotation.get("segmentation"):
        return np.zeros(size, dtype=bool)
    try:
        return transform_mask(annotation["segmentation"], NoOpTransform(), size, size)
    except (ValueError, KeyError, TypeError) as error:
        where = f"annotation {annotation.get('id', '(no id)')} of {file_name}"
        raise ValueError(f"{where} has a broken segmentation: {error}") from error


def _read_image(record: Record) -> RGBImage:
    file_name = record["file_name"]
    try:
        image = read_image(file_name)
    except ImageError as error:
        raise OSError(f"{error}; or correct the image folder of its dataset") from error
    require_same_size(record, image)
    return image
