"""Selection of detections and resampling of masks, in operations of fixed shapes that a graph can hold.

``select`` computes ``modeling.fcos.inference.select_detections``. Each level yields ``pre_nms_topk`` candidates and
non-maximum suppression (NMS) yields ``post_nms_topk`` detections; entries that are not detections have the score NONE.
So the mask head has fixed shapes, and an image without objects takes the same path.

``resample_masks`` computes the bilinear resizing of masks as two matrix products, which work for all sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import nms

from ..modeling.fcos import level_locations
from ..modeling.fcos.decode import decode_boxes
from ..modeling.fcos.head import HeadOutputs
from ..modeling.fcos.inference import Detections

NONE = -1.0
_NO_BOX = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Selection:
    """Thresholds and numbers of the selection: the keyword arguments of ``select_detections``."""

    score_threshold: float
    pre_nms_topk: int
    nms_threshold: float
    post_nms_topk: int
    threshold_with_quality: bool


def select(outputs: HeadOutputs, strides: list[int], selection: Selection) -> Detections:
    """Select the detections of a batch of one image.

    Args:
        outputs: dense outputs of the detector.
        strides: input pixels per cell of each level.
        selection: thresholds and numbers.

    Returns:
        ``post_nms_topk`` entries, best first; those with the score NONE are not detections.
    """
    num_classes = outputs.logits[0].shape[1]
    levels = [_select_level(outputs, level, stride, selection) for level, stride in enumerate(strides)]
    levels.append(_make_filler(levels[0], num_classes))
    merged = Detections.cat(levels)
    # Entries that are not candidates share one box, in a class of their own: one of them survives NMS, with the lowest
    # score. So NMS never gets an empty list, which some runtimes do not accept.
    offset = merged.classes.to(merged.boxes) * (merged.boxes.max() + 1)
    kept = nms(merged.boxes + offset[:, None], merged.scores, selection.nms_threshold)
    filler = kept.new_full((selection.post_nms_topk,), len(strides) * selection.pre_nms_topk)
    kept = torch.cat((kept, filler))[: selection.post_nms_topk]
    return merged[kept]


def _select_level(outputs: HeadOutputs, level: int, stride: int, selection: Selection) -> Detections:
    """Return the ``pre_nms_topk`` best candidates of a level."""
    logits, deltas, quality = outputs.logits[level][0], outputs.deltas[level][0], outputs.quality[level][0]
    num_classes, height, width = logits.shape
    probabilities = logits.float().sigmoid()
    ranked = (probabilities * quality.float().sigmoid()).permute(1, 2, 0).flatten()
    compared = ranked if selection.threshold_with_quality else probabilities.permute(1, 2, 0).flatten()
    ranked = torch.where(compared > selection.score_threshold, ranked, NONE)
    filler = ranked.new_full((selection.pre_nms_topk,), NONE)  # a level may have fewer cells than candidates
    best, index = torch.cat((ranked, filler)).topk(selection.pre_nms_topk)
    found = best > NONE
    index = torch.where(found, index, 0)
    # Not torch.div: ONNX gets it as a division of floats, which is wrong for large maps.
    cell = index // num_classes
    row = cell // width
    locations = level_locations(height, width, stride, logits.device)[cell]
    boxes = decode_boxes(locations, deltas.float().flatten(1).t()[cell], stride)
    return Detections(
        boxes=torch.where(found[:, None], boxes, boxes.new_tensor(_NO_BOX)),
        scores=torch.where(found, best.clamp(min=0).sqrt(), NONE),
        classes=torch.where(found, index - cell * num_classes, num_classes),
        level=torch.full_like(cell, level),
        row=row,
        column=cell - row * width,
        locations=locations,
    )


def _make_filler(like: Detections, num_classes: int) -> Detections:
    """Return one entry that is not a candidate, which pads the survivors of NMS."""
    first = like[:1]
    return Detections(
        boxes=first.boxes.new_tensor([_NO_BOX]),
        scores=torch.full_like(first.scores, NONE),
        classes=torch.full_like(first.classes, num_classes),
        level=torch.zeros_like(first.level),
        row=torch.zeros_like(first.row),
        column=torch.zeros_like(first.column),
        locations=torch.zeros_like(first.locations),
    )


def axis_weights(cells: int, stride: int, image: int, output: int, device: torch.device | None = None) -> Tensor:
    """Compute the weights that resample one axis of the mask grid to the output.

    They combine ``ops.aligned_upsample`` by ``stride``, a crop to ``image`` pixels and, if the output has another size,
    bilinear ``interpolate`` with ``align_corners=False``: each is linear, and so is their composition.

    Args:
        cells: number of cells of the mask grid.
        stride: input pixels per cell.
        image: pixels of the network's input without padding.
        output: pixels of the output.
        device: device of the weights.

    Returns:
        (output, cells) float32.
    """
    pixel = torch.arange(image, device=device, dtype=torch.float32)
    in_cells = ((pixel - stride // 2) / stride).clamp(min=0)
    upsample = _linear_weights(in_cells, cells)
    # As tensors: torch cannot export the quotient of two numbers that are known only at run time.
    scale = torch.scalar_tensor(image, device=device) / torch.scalar_tensor(output, device=device)
    place = (torch.arange(output, device=device, dtype=torch.float32) + 0.5) * scale - 0.5
    return _linear_weights(place.clamp(min=0), image) @ upsample


def resample_masks(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Resample values of the mask grid to the output.

    Args:
        scores: (N, h, w).
        rows, columns: (height, h) and (width, w), from ``axis_weights``.

    Returns:
        (N, height, width).
    """
    return (rows @ scores) @ columns.t()


def _linear_weights(places: Tensor, size: int) -> Tensor:
    """Compute weights (M, size) of linear interpolation at M places >= 0; beyond the last sample its value is used."""
    sample = torch.arange(size, device=places.device, dtype=torch.float32)
    return (1 - (places.clamp(max=size - 1)[:, None] - sample).abs()).clamp(min=0)
