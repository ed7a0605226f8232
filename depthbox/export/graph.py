"""The network as one function of an image, in operations that a graph can hold."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..modeling.fcos.inference import Detections
from ..modeling.mask_head import mean_depth
from ..modeling.meta_arch.depthbox import DepthBox
from ..structures import Queries
from .convolutions import fix_padding
from .masks import predict_masks
from .postprocess import NONE, Selection, select
from .resample import axis_weights, resample

INPUTS = ("image", "valid", "size")
OUTPUTS = ("boxes", "classes", "scores", "masks")
DEPTHS = "depths"


class ExportGraph(nn.Module):
    """One image to its instances: what ``DepthBox`` gives in evaluation mode, without Detectron2's containers.

    Args:
        model: the network; a copy of it is exported, on the CPU, in torch's usual memory layout.
        image_format: channel order that the network was trained with, "BGR" or "RGB".
    """

    def __init__(self, model: DepthBox, image_format: str) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().cpu().to(memory_format=torch.contiguous_format)
        fix_padding(self.model.backbone)
        self.divisibility = max(model.backbone.size_divisibility, 1)
        self.flip = image_format == "BGR"
        self.selection = Selection(**model.proposal_generator.inference)
        self.outputs = (*OUTPUTS, DEPTHS) if model.mask_head.depth_layer else OUTPUTS

    def forward(self, image: Tensor, valid: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """Instances of a picture, best first.

        Args:
            image: (H, W, 3) uint8 RGB, the picture at the network's scale, filled up with zeros below and on the right
                to multiples of ``divisibility``.
            valid: (2,) int64, height and width of the picture in ``image``.
            size: (2,) int64, height and width of the result, as of the picture before it was resized.

        Returns:
            boxes (N, 4) float32 xyxy in pixels of the result, classes (N,) int64, scores (N,) float32, masks
            (N, height, width) bool, and with the depth layer depths (N,) float32, 1 = near.
        """
        model = self.model
        features = model.backbone(self._normalize(image))
        dense, mask_features = model.proposal_generator(features), model.mask_branch(features)
        found = select(dense, model.proposal_generator.strides, self.selection)
        queries = _queries(found)
        predictions = predict_masks(model.mask_head, mask_features, model.controller(dense.box_tower, queries), queries)

        limit = torch.cat((size, size)).flip(0).float()  # width, height, width, height
        boxes = found.boxes * (limit / torch.cat((valid, valid)).flip(0).float())
        boxes = torch.minimum(boxes.clamp(min=0), limit)
        nonempty = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        keep = torch.nonzero((found.scores > NONE) & nonempty).squeeze(1)
        logits = predictions.logits[keep]
        result = (boxes[keep], found.classes[keep], found.scores[keep], self._masks(logits, valid, size))
        if predictions.depth_logits is None:
            return result
        return (*result, mean_depth(logits, predictions.depth_logits[keep]))

    def _normalize(self, image: Tensor) -> Tensor:
        """Normalised image (1, 3, H, W) in the network's channel order."""
        channels = image.permute(2, 0, 1).float()
        if self.flip:
            channels = channels.flip(0)
        return ((channels - self.model.pixel_mean) / self.model.get_buffer("pixel_std"))[None]

    def _masks(self, logits: Tensor, valid: Tensor, size: Tensor) -> Tensor:
        """Bool masks (N, *size) from logits (N, 1, h, w)."""
        numbers = [*valid.tolist(), *size.tolist()]
        for number in numbers:
            torch._check(number >= 1)
        stride, device = self.model.mask_head.out_stride, logits.device
        down = axis_weights(logits.shape[2], stride, numbers[0], numbers[2], device)
        across = axis_weights(logits.shape[3], stride, numbers[1], numbers[3], device)
        # One more than there are: ONNX Runtime cannot multiply an empty list of matrices.
        scores = torch.cat((logits[:, 0], logits.new_zeros((1, *logits.shape[2:])))).float().sigmoid()
        # Without the half, all that is undecided stays exactly 0, whatever the rounding of the weights. With it again,
        # what is nearer to it than float32 can say is no mask, as in the network.
        return (resample(scores - 0.5, down, across) + 0.5 > 0.5)[: logits.shape[0]]


def _queries(found: Detections) -> Queries:
    """``modeling.fcos.queries.detection_queries`` of one image, whose rows have a fixed number."""
    return Queries(
        image_index=torch.zeros_like(found.level),
        level=found.level,
        row=found.row,
        column=found.column,
        locations=found.locations,
        target_index=torch.full_like(found.level, -1),
        counts=(found.scores.shape[0],),
    )
