"""Trained network of the page: detection, and masks of given boxes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from detectron2.config import CfgNode
from torch import Tensor

from ..inference.classes import ClassList, find_classes
from ..inference.predictor import (
    build_batch_predictor,
    build_resize,
    load_network,
    prepare_image,
    require_depthbox,
)
from ..io.coco_masks import crop_to_rle
from ..io.images import RGBImage
from ..labeling.box_depths import predict_box_depths
from ..labeling.box_labeler import BoxLabeler
from ..labeling.loading import make_views
from ..modeling.meta_arch.depthbox import DepthBox
from .boxes import GivenBox
from .result import FoundObject, PageResult


@dataclass(frozen=True)
class TrialNetwork:
    """The network of the page.

    Attributes:
        cfg: config of the training run, with TEST.MASK_FORMAT "rle".
        network: in evaluation mode.
        classes: classes of the network.
        size: shorter side of the network's input; 0 = INPUT.MIN_SIZE_TEST.
    """

    cfg: CfgNode
    network: DepthBox
    classes: ClassList
    size: int = 0

    @property
    def has_depth(self) -> bool:
        """Return whether the network predicts the depth of objects."""
        return bool(self.cfg.MODEL.DEPTH.LAYER)

    def detect(self, image: RGBImage, name: str = "") -> PageResult:
        """Detect objects, sorted by descending score.

        Args:
            image: (H, W, 3) uint8, RGB.
            name: file name of the image.
        """
        found = build_batch_predictor(self.cfg, self.network, self.size)([image])[0]
        depths = found.pred_depths.tolist() if found.has("pred_depths") else [None] * len(found)
        values = zip(
            found.pred_classes.tolist(),
            found.pred_boxes.tensor.double().tolist(),
            found.scores.tolist(),
            found.pred_masks_rle,
            depths,
            strict=True,
        )
        objects = [
            FoundObject(label, (x0, y0, x1, y1), score, rle, depth)
            for label, (x0, y0, x1, y1), score, rle, depth in values
        ]
        objects.sort(key=lambda one: -one.score)
        return PageResult(name, (image.shape[0], image.shape[1]), tuple(objects), given=False)

    def mask_boxes(
        self, image: RGBImage, boxes: Sequence[GivenBox], name: str = "", seconds: float = math.inf
    ) -> PageResult:
        """Compute the mask of each given box, in their order; the score is the quality of the mask.

        The network is evaluated at one size and mirrored. ``depthbox label`` uses two sizes, which takes twice as long.

        Args:
            image: (H, W, 3) uint8, RGB.
            boxes: N boxes.
            name: file name of the image.
            seconds: time limit, checked after each box.

        Raises:
            ValueError: the computation takes longer.
        """
        end = time.monotonic() + seconds
        size = (image.shape[0], image.shape[1])
        corners = torch.tensor([box.corners for box in boxes], dtype=torch.float64).reshape(-1, 4)
        views = make_views(prepare_image(self.cfg, build_resize(self.cfg, self.size), image), None, True)
        label = BoxLabeler(self.network, candidates=self.cfg.MODEL.DISTILL.CANDIDATES_PER_BOX)
        objects: list[FoundObject] = []
        for box, mask in zip(boxes, label(views, corners, size), strict=True):
            _check_time(end, f"the masks of {len(boxes)} boxes", len(objects))
            rle = crop_to_rle(mask.mask.numpy(), mask.left, mask.top, size)
            objects.append(FoundObject(box.label, box.corners, mask.score, rle))
        if self.has_depth and objects:
            depths = self._depths(image, corners, end)
            objects = [replace(found, depth=depth) for found, depth in zip(objects, depths, strict=True)]
        return PageResult(name, size, tuple(objects), given=True)

    def _depths(self, image: RGBImage, corners: Tensor, end: float) -> list[float]:
        """Compute the depth of each box, see ``predict_box_depths``."""
        pixels = prepare_image(self.cfg, build_resize(self.cfg, self.size), image)
        sides = [pixels.shape[2] / image.shape[1], pixels.shape[1] / image.shape[0]] * 2
        depths: list[float] = []
        for depth in predict_box_depths(self.network, pixels, corners * torch.tensor(sides, dtype=torch.float64)):
            depths.append(depth)
            _check_time(end, f"the depths of {len(corners)} boxes", len(depths))
        return depths


def _check_time(end: float, task: str, done: int) -> None:
    if time.monotonic() > end:
        raise ValueError(f"{task} take too long, {done} are done: use fewer boxes or a smaller image")


def load_trial_network(cfg: CfgNode, weights: str, *, size: int = 0, classes: str = "") -> TrialNetwork:
    """Build the network of a config, and load its weights or its teacher's.

    Args:
        cfg: config of the training run; it is not changed.
        weights: path or URL of a checkpoint.
        size: shorter side of the network's input; 0 = INPUT.MIN_SIZE_TEST.
        classes: class names, see ``find_classes``.

    Raises:
        FileNotFoundError, ValueError: see ``find_classes``, ``load_network`` and ``require_depthbox``.
    """
    names = find_classes(cfg, classes)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TEST.MASK_FORMAT = "rle"  # 100 bool masks of a large image need gigabytes
    cfg.freeze()
    network = require_depthbox(load_network(cfg, weights, use_teacher=True))
    return TrialNetwork(cfg, network, names, size)
