"""Which neighbouring pixels BoxInst takes for one surface, as a picture."""

from __future__ import annotations

import numpy as np
import torch
from detectron2.config import CfgNode
from numpy.typing import NDArray
from torch.nn import functional as F

from ..ops import color_similarity, rgb_to_lab
from .draw import Picture


def color_edge_share(cfg: CfgNode, image: Picture, original_height: int) -> NDArray[np.float32]:
    """Share of each cell's neighbours on the mask grid that are alike in colour, as in the training.

    Args:
        cfg: MODEL.CONDINST.MASK_OUT_STRIDE and MODEL.BOXINST.
        image: (H, W, 3) uint8, RGB, at the network's input size; at least a stride high and wide.
        original_height: of the image before it was resized, in pixels.

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
    similar = color_similarity(lab, valid, box.PAIRWISE.SIZE, box.PAIRWISE.DILATION)
    alike = (similar >= box.PAIRWISE.COLOR_THRESH) & (similar > 0)
    return alike.float().mean(dim=1)[0].numpy()
