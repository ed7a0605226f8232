"""A trained network, built once: it detects, and it gives boxes their masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.config import CfgNode
from torchvision.ops import box_iou

from ..distillation.candidates import class_agnostic_candidates
from ..inference.classes import ClassList, find_classes
from ..inference.predictor import batch_predictor, network_input, resize_to
from ..io.coco_masks import to_rle
from ..labeling.loading import box_labeler, load_box_network
from ..modeling.mask_head import mean_depth
from ..modeling.meta_arch.depthbox import DepthBox
from ..visualization.draw import Picture
from .boxes import GivenBox
from .result import Found, Result

_AVERAGED = 5  # positions that tell the depth of a given box


@dataclass(frozen=True)
class TrialNetwork:
    """A network to try.

    Attributes:
        cfg: of its training.
        network: in evaluation mode; it gives masks as RLE.
        classes: its classes.
        size: short side of its input; 0 = that of the config's tests.
    """

    cfg: CfgNode
    network: DepthBox
    classes: ClassList
    size: int = 0

    @property
    def has_depth(self) -> bool:
        """Whether it predicts the depth of objects."""
        return bool(self.cfg.MODEL.DEPTH.LAYER)

    def detect(self, picture: Picture, name: str = "") -> Result:
        """The objects that the detector finds, the surest first.

        Args:
            picture: (H, W, 3) uint8, RGB.
            name: its file name.
        """
        found = batch_predictor(self.cfg, self.network, self.size)([picture])[0]
        depths = found.pred_depths.tolist() if found.has("pred_depths") else [None] * len(found)
        rows = zip(
            found.pred_classes.tolist(),
            found.pred_boxes.tensor.double().tolist(),
            found.scores.tolist(),
            found.pred_masks_rle,
            depths,
            strict=True,
        )
        objects = [
            Found(label, (x0, y0, x1, y1), score, rle, depth) for label, (x0, y0, x1, y1), score, rle, depth in rows
        ]
        objects.sort(key=lambda one: -one.score)
        return Result(name, (picture.shape[0], picture.shape[1]), tuple(objects), given=False)

    def mask_boxes(self, picture: Picture, boxes: Sequence[GivenBox], name: str = "") -> Result:
        """The mask of each given box, in their order; its score is the mask's quality.

        The picture is seen at one size and mirrored, where ``depthbox label`` takes two sizes: half the wait.
        """
        size = (picture.shape[0], picture.shape[1])
        corners = np.array([box.corners for box in boxes], dtype=np.float64).reshape(-1, 4)
        if not len(corners):
            return Result(name, size, (), given=True)
        label = box_labeler(self.cfg, self.network, sizes=(self.size or self.cfg.INPUT.MIN_SIZE_TEST,))
        masks = label({}, picture, corners)
        depths = self._depths(picture, corners) if self.has_depth else [None] * len(boxes)
        objects = [
            Found(box.label, box.corners, mask.score, to_rle(mask.mask.numpy(), mask.left, mask.top, size), depth)
            for box, mask, depth in zip(boxes, masks, depths, strict=True)
        ]
        return Result(name, size, tuple(objects), given=True)

    @torch.no_grad()
    def _depths(self, picture: Picture, corners: np.ndarray) -> list[float | None]:
        """Depth of each box: the mean of what the positions say whose predicted boxes overlap it most."""
        pixels = network_input(self.cfg, resize_to(self.cfg, self.size), picture)
        scale = np.array([pixels.shape[2] / picture.shape[1], pixels.shape[1] / picture.shape[0]] * 2)
        boxes = torch.as_tensor(corners * scale, dtype=torch.float32, device=self.network.device)
        _, dense, features = self.network.predict_dense([{"image": pixels}])
        locations = self.network.proposal_generator.locations(dense)
        depths: list[float | None] = []
        for box in boxes.split(1):
            found = class_agnostic_candidates(dense, locations, box).detections
            masks = next(self.network.predict_masks(dense, features, [found]))
            best = box_iou(box, found.boxes)[0].topk(min(_AVERAGED, len(found.boxes))).indices
            depth = None
            if masks.depth_logits is not None:
                depth = float(mean_depth(masks.logits[best], masks.depth_logits[best]).mean())
            depths.append(depth)
        return depths


def load_trial_network(cfg: CfgNode, weights: str, *, size: int = 0, classes: str = "") -> TrialNetwork:
    """Build the network of a config and load its weights; of a self-distillation the teacher's.

    Args:
        cfg: of the training; it is not changed.
        weights: a checkpoint.
        size: short side of the network's input; 0 = that of the config's tests.
        classes: names of the classes, see ``find_classes``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a network of another kind, or another number of classes.
    """
    names = find_classes(cfg, classes)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TEST.MASK_FORMAT = "rle"  # a hundred masks of a large picture would fill the memory
    cfg.freeze()
    return TrialNetwork(cfg, load_box_network(cfg, weights), names, size)
