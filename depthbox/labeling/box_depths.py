"""Depth of annotated boxes, predicted by a network with a depth layer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torchvision.ops import box_iou

from ..distillation.candidates import class_agnostic_candidates
from ..modeling.mask_head import mean_depth
from ..modeling.meta_arch.depthbox import DepthBox

_AVERAGED = 5  # candidates whose depths are averaged for a box


@torch.no_grad()
def predict_box_depths(network: DepthBox, pixels: Tensor, boxes: Tensor) -> Iterator[float]:
    """Predict the depth of each box: the mean over the candidates whose predicted boxes overlap it most.

    Args:
        network: in evaluation mode, with a depth layer.
        pixels: (3, h, w), input of the network.
        boxes: (N, 4) xyxy in pixels of the input.

    Yields:
        The depth of each box in [0, 1], 1 = near.
    """
    if not len(boxes):
        return
    boxes = boxes.to(network.device, torch.float32)
    _, dense, features = network.predict_dense([{"image": pixels}])
    locations = network.proposal_generator.locations(dense)
    for box in boxes.split(1):
        found = class_agnostic_candidates(dense, locations, box).detections
        masks = next(network.predict_masks(dense, features, [found]))
        best = box_iou(box, found.boxes)[0].topk(min(_AVERAGED, len(found.boxes))).indices
        assert masks.depth_logits is not None
        yield float(mean_depth(masks.logits[best], masks.depth_logits[best]).mean())
