"""Images of the running batch during training: annotations, predictions, pseudo masks and depth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import HookBase
from detectron2.evaluation import inference_context
from detectron2.structures import Boxes, Instances
from numpy.typing import NDArray
from torch import Tensor, nn

from ..io.images import RGBImage
from ..modeling.fcos.inference import Detections
from ..modeling.mask_head import paste_masks
from ..modeling.meta_arch.depthbox import DepthBox
from ..ops import aligned_upsample
from ..visualization.draw import DrawnObjects, colorize, draw_objects, resize_image, resize_objects
from ..visualization.sheet import Tile, make_sheet

IMAGES = 2  # maximum number per batch
_TILE_SIZE = 360  # long side of a tile in pixels
_COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """A contact sheet of one image of a batch.

    Attributes:
        name: tag in TensorBoard and Weights & Biases.
        image: (H, W, 3) uint8 RGB.
        iteration: of the batch.
    """

    name: str
    image: RGBImage
    iteration: int


@dataclass(frozen=True)
class TrainingPrediction:
    """Predicted instances in one training image, in descending order of score.

    Attributes:
        boxes: (N, 4) xyxy, pixels of the image.
        scores: (N,), in [0, 1].
        classes: (N,) class indices.
        masks: (N, H, W) bool.
        depth: (H, W) in [0, 1], the predicted depth of each instance inside its mask, 0 elsewhere; None without depth
            layer.
    """

    boxes: NDArray[np.float64]
    scores: Sequence[float]
    classes: Sequence[int]
    masks: NDArray[np.bool_]
    depth: NDArray[np.float32] | None


class ImageLogging(HookBase):
    """Hook that draws up to two images of the current batch every VIS_PERIOD iterations.

    The contact sheet of an image shows the annotated boxes, the masks predicted after the step, pseudo depth, predicted
    instance depth and pseudo masks of the teacher, as far as available. The hook draws no random numbers and does not
    change the network: a run with images gives the same weights as a run without. Only the main process should have
    this hook, after the hook that creates the teacher (which copies the network). An error is logged as a warning, and
    no further images are drawn.

    Attributes:
        latest: the panels that were drawn last.
        receivers: called with new panels, before the checkpoint of the iteration is written.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """
        Args:
            cfg: VIS_PERIOD, INPUT.FORMAT, DATASETS.TRAIN and the mask stride.
        """
        self.latest: list[Panel] = []
        self.receivers: list[Callable[[Sequence[Panel]], None]] = []
        self._period = cfg.VIS_PERIOD
        self._rgb = cfg.INPUT.FORMAT == "RGB"
        self._stride = cfg.MODEL.CONDINST.MASK_OUT_STRIDE
        self._dataset = cfg.DATASETS.TRAIN[0] if cfg.DATASETS.TRAIN else ""
        self._batch: Sequence[Mapping[str, Any]] | None = None
        self._handle: Any = None

    def before_step(self) -> None:
        """Record the batch of this step if it is drawn."""
        if self._period > 0 and (self.trainer.iter + 1) % self._period == 0:
            self._handle = self.trainer.network.register_forward_pre_hook(self._keep)

    def after_step(self) -> None:
        """Draw the recorded batch."""
        if self._handle is None:
            return
        self._handle.remove()
        batch, self._handle, self._batch = self._batch, None, None
        try:
            self.latest = self._draw(batch or [])
        except Exception as error:  # no error here may stop training
            logging.getLogger(__name__).warning("Images of the batch cannot be drawn and are switched off: %s", error)
            self._period = 0
            return
        for receive in self.receivers:
            receive(self.latest)

    def _keep(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if self._batch is None:  # the first micro-batch
            self._batch = arguments[0][:IMAGES]

    def _draw(self, batch: Sequence[Mapping[str, Any]]) -> list[Panel]:
        names = MetadataCatalog.get(self._dataset).get("thing_classes") or []
        predictions = predict(self.trainer.network, batch)
        iteration = self.trainer.iter
        return [
            Panel(f"panels/image_{number}", self._draw_sheet(sample, prediction, names), iteration)
            for number, (sample, prediction) in enumerate(zip(batch, predictions, strict=True))
        ]

    def _draw_sheet(
        self, sample: Mapping[str, Any], prediction: TrainingPrediction | None, names: Sequence[str]
    ) -> RGBImage:
        pixels = sample["image"].cpu().numpy().transpose(1, 2, 0)
        image = np.ascontiguousarray(pixels if self._rgb else pixels[:, :, ::-1]).astype(np.uint8)
        tiles = _TileDrawer(image, names)
        instances = sample["instances"]
        boxes, classes = instances.gt_boxes.tensor.cpu().double().numpy(), instances.gt_classes.tolist()
        tiles.add_objects(f"{len(boxes)} annotated boxes", boxes, tiles.format_labels(classes))
        if prediction is not None:
            labels = tiles.format_labels(prediction.classes, prediction.scores)
            tiles.add_objects(f"the {len(labels)} best predicted masks", prediction.boxes, labels, prediction.masks)
        if instances.has("pseudo_masks"):
            self._add_pseudo_masks(tiles, instances, boxes, image.shape[:2])
        if sample.get("depth") is not None:
            tiles.add_map("pseudo depth, bright = near", sample["depth"][0].cpu().numpy())
        if prediction is not None and prediction.depth is not None:
            tiles.add_map("predicted instance depth", prediction.depth)
        return np.asarray(make_sheet(tiles.tiles, _COLUMNS, str(sample.get("file_name", ""))))

    def _add_pseudo_masks(
        self, tiles: _TileDrawer, instances: Instances, boxes: NDArray[np.float64], size: Sequence[int]
    ) -> None:
        masks, weights = instances.pseudo_masks, instances.pseudo_weights
        used = (weights > 0).cpu()
        binary = _upsample_to_image(masks[weights > 0].float(), self._stride, size).numpy() > 0.5
        scores = instances.pseudo_scores.cpu()[used].tolist()
        labels = tiles.format_labels(instances.gt_classes[used].tolist(), scores)
        tiles.add_objects(f"teacher: {len(labels)} of {len(used)} reliable", boxes[used.numpy()], labels, binary)


class _TileDrawer:
    """Tiles of one image, all of the same size."""

    def __init__(self, image: RGBImage, names: Sequence[str]) -> None:
        self.tiles: list[Tile] = []
        self._names = names
        self._size = (image.shape[0], image.shape[1])
        scale = _TILE_SIZE / max(self._size)
        self._tile_size = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
        self._image = resize_image(image, self._tile_size)

    def format_labels(self, classes: Sequence[int], scores: Sequence[float] | None = None) -> list[str]:
        names = [self._names[n] if n < len(self._names) else f"class {n}" for n in classes]
        if scores is None:
            return names
        return [f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True)]

    def add_objects(
        self,
        caption: str,
        boxes: NDArray[np.float64],
        labels: Sequence[str],
        masks: NDArray[np.bool_] | None = None,
    ) -> None:
        resized = resize_objects(DrawnObjects(boxes, labels, masks), self._size, self._tile_size)
        self.tiles.append(Tile(draw_objects(self._image, resized, boxes=masks is None), caption))

    def add_map(self, caption: str, values: NDArray[np.floating]) -> None:
        self.tiles.append(Tile(resize_image(colorize(values), self._tile_size), caption))


@torch.no_grad()
def predict(network: nn.Module, batch: Sequence[Mapping[str, Any]]) -> list[TrainingPrediction | None]:
    """Predict as many instances in each training sample as are annotated; the network is not changed.

    Args:
        network: in training or evaluation mode.
        batch: dicts with ``image`` (3, H, W) and ``instances``.

    Returns:
        One prediction per image; None if the network is not a DepthBox.
    """
    if not isinstance(network, DepthBox) or not batch:
        return [None] * len(batch)
    results: list[TrainingPrediction | None] = []
    with inference_context(network):
        images, dense, features = network.predict_dense([{"image": sample["image"]} for sample in batch])
        detections = network.proposal_generator.detect(dense)
        best = [
            _select_best(found, len(sample["instances"]), size)
            for sample, found, size in zip(batch, detections, images.image_sizes, strict=True)
        ]
        stride = network.mask_head.out_stride
        masks = network.predict_masks(dense, features, best)
        for size, chosen, predicted in zip(images.image_sizes, best, masks, strict=True):
            pasted = paste_masks(predicted.logits, stride, size, size).cpu().numpy()
            depth = None
            if predicted.depth_logits is not None:
                maps = _upsample_to_image(predicted.depth_logits[:, 0].float().sigmoid(), stride, size).numpy()
                depth = np.zeros(size, dtype=np.float32)
                for mask, values in zip(pasted[::-1], maps[::-1], strict=True):  # the best on top
                    depth[mask] = values[mask]
            boxes = chosen.boxes.cpu().double().numpy()
            results.append(TrainingPrediction(boxes, chosen.scores.tolist(), chosen.classes.tolist(), pasted, depth))
    return results


def _select_best(found: Detections, count: int, size: tuple[int, int]) -> Detections:
    """Select the best detections whose boxes, clipped to the image, are not empty."""
    boxes = Boxes(found.boxes.clone())
    boxes.clip(size)
    chosen = boxes.nonempty().nonzero()[:count, 0]
    return found[chosen]


def _upsample_to_image(maps: Tensor, stride: int, size: Sequence[int]) -> Tensor:
    """Upsample maps (N, h, w) on the mask grid to (N, H, W) on the image, on the CPU."""
    return aligned_upsample(maps.cpu(), stride)[:, : size[0], : size[1]]
