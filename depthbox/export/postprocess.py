"""What ``modeling.fcos.inference`` selects, in a graph: until the very end no number of rows depends on the image.

Every level gives ``pre_nms_topk`` rows and the suppression leaves ``post_nms_topk``; rows that are no detection have
the score NONE. So all of the mask head has fixed shapes, and an image without objects takes the same path.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import nms

from ..modeling.fcos import level_locations
from ..modeling.fcos.head import HeadOutputs
from ..modeling.fcos.inference import Detections

NONE = -1.0
_NO_BOX = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Selection:
    """What is kept: the arguments of ``select_detections``, see there."""

    score_threshold: float
    pre_nms_topk: int
    nms_threshold: float
    post_nms_topk: int
    threshold_with_quality: bool


def select(outputs: HeadOutputs, strides: list[int], how: Selection) -> Detections:
    """Detections of a batch of one image, best first, in ``post_nms_topk`` rows; those of score NONE are none.

    Args:
        outputs: of the detector.
        strides: input pixels per cell of each level.
        how: thresholds and numbers.
    """
    num_classes = outputs.logits[0].shape[1]
    levels = [_level(outputs, level, stride, how) for level, stride in enumerate(strides)]
    levels.append(_filler(levels[0], num_classes))
    rows = [torch.cat(parts) for parts in zip(*levels, strict=True)]
    boxes, scores, classes = rows[:3]
    # Rows that are no candidate share one box, in a class of their own: one of them survives, with the least score.
    # So the suppression is never given an empty list, which not every runtime takes.
    apart = classes.to(boxes) * (boxes.max() + 1)
    kept = nms(boxes + apart[:, None], scores, how.nms_threshold)
    filler = kept.new_full((how.post_nms_topk,), len(strides) * how.pre_nms_topk)
    kept = torch.cat((kept, filler))[: how.post_nms_topk]
    return Detections(*(values[kept] for values in rows))


def _level(outputs: HeadOutputs, level: int, stride: int, how: Selection) -> tuple[Tensor, ...]:
    """The best ``pre_nms_topk`` of a level as the fields of Detections."""
    logits, deltas, quality = outputs.logits[level][0], outputs.deltas[level][0], outputs.quality[level][0]
    num_classes, height, width = logits.shape
    probabilities = logits.float().sigmoid()
    ranked = (probabilities * quality.float().sigmoid()).permute(1, 2, 0).flatten()
    compared = ranked if how.threshold_with_quality else probabilities.permute(1, 2, 0).flatten()
    ranked = torch.where(compared > how.score_threshold, ranked, NONE)
    filler = ranked.new_full((how.pre_nms_topk,), NONE)  # a level may have fewer cells than rows are asked for
    best, index = torch.cat((ranked, filler)).topk(how.pre_nms_topk)
    found = best > NONE
    index = torch.where(found, index, 0)
    # Not torch.div: ONNX gets it as a division of floats, which is wrong for large maps.
    cell = index // num_classes
    row = cell // width
    locations = level_locations(height, width, stride, logits.device)[cell]
    sides = deltas.float().flatten(1).t()[cell] * stride
    boxes = torch.cat((locations - sides[:, :2], locations + sides[:, 2:]), dim=1)
    return (
        torch.where(found[:, None], boxes, boxes.new_tensor(_NO_BOX)),
        torch.where(found, best.clamp(min=0).sqrt(), NONE),
        torch.where(found, index - cell * num_classes, num_classes),
        torch.full_like(cell, level),
        row,
        cell - row * width,
        locations,
    )


def _filler(like: tuple[Tensor, ...], num_classes: int) -> tuple[Tensor, ...]:
    """One row that is no candidate, with which the survivors are filled up."""
    boxes, scores, classes, *rest = (values[:1] for values in like)
    return (
        boxes.new_tensor([_NO_BOX]),
        torch.full_like(scores, NONE),
        torch.full_like(classes, num_classes),
        *(torch.zeros_like(values) for values in rest),
    )
