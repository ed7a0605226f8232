"""Pictures of the running batch while a training goes on: what it is given, and what it makes of it."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import HookBase
from detectron2.evaluation import inference_context
from detectron2.structures import Boxes
from numpy.typing import NDArray
from torch import Tensor, nn

from ..modeling.fcos.inference import Detections
from ..modeling.mask_head import paste_masks
from ..modeling.meta_arch.depthbox import DepthBox
from ..ops import aligned_upsample
from ..visualization.draw import DrawnObjects, Picture, colorize, draw_objects, resize_image, resize_objects
from ..visualization.sheet import Tile, make_sheet

IMAGES = 2  # of a batch at most
_WIDTH = 360  # pixels of a tile's long side
_COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """A finished picture of one image of a batch: its name, (H, W, 3) uint8 RGB, and the iteration it shows."""

    name: str
    picture: Picture
    iteration: int


@dataclass(frozen=True)
class Found:
    """What the network finds in one image, best first, in the image's pixels.

    Attributes:
        boxes: (N, 4) xyxy.
        scores: (N,).
        classes: (N,) numbers of classes.
        masks: (N, H, W) bool.
        depth: (H, W), the predicted depth of each instance inside its mask, 0 elsewhere; None without depth layer.
    """

    boxes: NDArray[np.float64]
    scores: Sequence[float]
    classes: Sequence[int]
    masks: NDArray[np.bool_]
    depth: NDArray[np.float32] | None


class Panels(HookBase):
    """Every ``period`` iterations, draws up to two images of the batch that the network was just trained with.

    The sheet of an image shows the given boxes, the masks predicted after the step, pseudo depth, predicted instance
    depth and the teacher's masks, each where there is one. It draws no random numbers and leaves the network as it is,
    so that a training with panels gives the same weights as one without. Only the main process should have this hook,
    after the hook that makes the teacher (which copies the network). A failure is a warning, and ends the drawing.

    Attributes:
        latest: the panels drawn last.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """
        Args:
            cfg: VIS_PERIOD, and how images are read.
        """
        self.latest: list[Panel] = []
        self._period = cfg.VIS_PERIOD
        self._rgb = cfg.INPUT.FORMAT == "RGB"
        self._stride = cfg.MODEL.CONDINST.MASK_OUT_STRIDE
        self._data_set = cfg.DATASETS.TRAIN[0] if cfg.DATASETS.TRAIN else ""
        self._batch: Sequence[Mapping[str, Any]] | None = None
        self._handle: Any = None
        # Without it nobody would take the pictures out of the event storage.
        self._to_storage = importlib.util.find_spec("tensorboard") is not None

    def before_step(self) -> None:
        if self._period > 0 and (self.trainer.iter + 1) % self._period == 0:
            self._handle = self.trainer.network.register_forward_pre_hook(self._keep)

    def after_step(self) -> None:
        if self._handle is None:
            return
        self._handle.remove()
        batch, self._handle, self._batch = self._batch, None, None
        try:
            self.latest = self._draw(batch or [])
        except Exception as error:  # whatever it is, it is not worth a training
            logging.getLogger(__name__).warning("The panels cannot be drawn and are left out: %s", error)
            self._period = 0
            return
        if self._to_storage:
            for panel in self.latest:
                self.trainer.storage.put_image(panel.name, torch.from_numpy(panel.picture.transpose(2, 0, 1).copy()))

    def _keep(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if self._batch is None:  # the first micro-batch
            self._batch = arguments[0][:IMAGES]

    def _draw(self, batch: Sequence[Mapping[str, Any]]) -> list[Panel]:
        names = MetadataCatalog.get(self._data_set).get("thing_classes") or []
        found = predict(self.trainer.network, batch)
        iteration = self.trainer.iter
        return [
            Panel(f"panels/image_{number}", self._sheet(sample, prediction, names), iteration)
            for number, (sample, prediction) in enumerate(zip(batch, found, strict=True))
        ]

    def _sheet(self, sample: Mapping[str, Any], found: Found | None, names: Sequence[str]) -> Picture:
        pixels = sample["image"].cpu().numpy().transpose(1, 2, 0)
        image = np.ascontiguousarray(pixels if self._rgb else pixels[:, :, ::-1]).astype(np.uint8)
        tiles = _Tiles(image, names)
        instances = sample["instances"]
        boxes, classes = instances.gt_boxes.tensor.cpu().double().numpy(), instances.gt_classes.tolist()
        tiles.objects(f"{len(boxes)} given boxes", boxes, tiles.labels(classes))
        if found is not None:
            labels = tiles.labels(found.classes, found.scores)
            tiles.objects(f"the {len(labels)} best predicted masks", found.boxes, labels, found.masks)
        if instances.has("pseudo_masks"):
            masks, weights = instances.pseudo_masks, instances.pseudo_weights
            used = (weights > 0).cpu()
            shown = _on_image(masks[weights > 0].float(), self._stride, image.shape[:2]).numpy() > 0.5
            scores = instances.pseudo_scores.cpu()[used].tolist()
            labels = tiles.labels(instances.gt_classes[used].tolist(), scores)
            tiles.objects(f"teacher: {len(labels)} of {len(used)} reliable", boxes[used.numpy()], labels, shown)
        if sample.get("depth") is not None:
            tiles.map("pseudo depth, bright = near", sample["depth"][0].cpu().numpy())
        if found is not None and found.depth is not None:
            tiles.map("predicted instance depth", found.depth)
        return np.asarray(make_sheet(tiles.tiles, _COLUMNS, str(sample.get("file_name", ""))))


class _Tiles:
    """Collects the tiles of one image, all of one size."""

    def __init__(self, image: Picture, names: Sequence[str]) -> None:
        self.tiles: list[Tile] = []
        self._names = names
        self._size = (image.shape[0], image.shape[1])
        scale = _WIDTH / max(self._size)
        self._shown = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
        self._picture = resize_image(image, self._shown)

    def labels(self, classes: Sequence[int], scores: Sequence[float] | None = None) -> list[str]:
        names = [self._names[n] if n < len(self._names) else f"class {n}" for n in classes]
        if scores is None:
            return names
        return [f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True)]

    def objects(
        self,
        caption: str,
        boxes: NDArray[np.float64],
        labels: Sequence[str],
        masks: NDArray[np.bool_] | None = None,
    ) -> None:
        moved = resize_objects(DrawnObjects(boxes, labels, masks), self._size, self._shown)
        self.tiles.append(Tile(draw_objects(self._picture, moved, boxes=masks is None), caption))

    def map(self, caption: str, values: NDArray[np.floating]) -> None:
        self.tiles.append(Tile(resize_image(colorize(values), self._shown), caption))


@torch.no_grad()
def predict(network: nn.Module, batch: Sequence[Mapping[str, Any]]) -> list[Found | None]:
    """What a network finds in training samples, as many instances of each as are annotated; changes nothing.

    Args:
        network: in any mode; None is given for each image where it is no DepthBox.
        batch: dicts with ``image`` (3, H, W) and ``instances``.
    """
    if not isinstance(network, DepthBox) or not batch:
        return [None] * len(batch)
    results: list[Found | None] = []
    with inference_context(network):
        images, dense, features = network.predict_dense([{"image": sample["image"]} for sample in batch])
        found = network.proposal_generator.detect(dense)
        best = [
            _best(detections, len(sample["instances"]), size)
            for sample, detections, size in zip(batch, found, images.image_sizes, strict=True)
        ]
        stride = network.mask_head.out_stride
        masks = network.predict_masks(dense, features, best)
        for size, chosen, predicted in zip(images.image_sizes, best, masks, strict=True):
            shapes = paste_masks(predicted.logits, stride, size, size).cpu().numpy()
            depth = None
            if predicted.depth_logits is not None:
                maps = _on_image(predicted.depth_logits[:, 0].float().sigmoid(), stride, size).numpy()
                depth = np.zeros(size, dtype=np.float32)
                for mask, values in zip(shapes[::-1], maps[::-1], strict=True):  # the best on top
                    depth[mask] = values[mask]
            boxes = chosen.boxes.cpu().double().numpy()
            results.append(Found(boxes, chosen.scores.tolist(), chosen.classes.tolist(), shapes, depth))
    return results


def _best(found: Detections, count: int, size: tuple[int, int]) -> Detections:
    """The best detections whose boxes, clipped to the image, are not empty."""
    boxes = Boxes(found.boxes.clone())
    boxes.clip(size)
    chosen = boxes.nonempty().nonzero()[:count, 0]
    return Detections(*(getattr(found, field.name)[chosen] for field in dataclasses.fields(found)))


def _on_image(maps: Tensor, stride: int, size: Sequence[int]) -> Tensor:
    """Maps (N, h, w) on the mask grid as (N, H, W) on the image, on the CPU."""
    return aligned_upsample(maps.cpu(), stride)[:, : size[0], : size[1]]
