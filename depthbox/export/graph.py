"""The network as a function of one image, in operations that a graph can hold."""

from __future__ import annotations

import copy

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from ..modeling.fcos.inference import Detections
from ..modeling.mask_head import DynamicMaskHead, mean_depth
from ..modeling.meta_arch.depthbox import DepthBox
from ..ops import aligned_upsample
from ..structures import MaskPredictions, Queries
from .postprocess import NONE, Selection, axis_weights, resample_masks, select

INPUTS = ("image", "valid", "size")
OUTPUTS = ("boxes", "classes", "scores", "masks")
DEPTHS = "depths"


class ExportGraph(nn.Module):
    """``DepthBox`` in evaluation mode for one image, without Detectron2's containers.

    Args:
        model: the network; the graph holds a copy of it on the CPU, in contiguous memory format.
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
        """Compute the instances of an image, best first.

        Args:
            image: (H, W, 3) uint8, RGB, the image at the network's scale, padded with zeros at the bottom and on the
                right to multiples of ``divisibility``.
            valid: (2,) int64, height and width of the image without padding.
            size: (2,) int64, height and width of the result, such as those of the image before resizing.

        Returns:
            boxes (N, 4) float32 xyxy in pixels of the result, classes (N,) int64, scores (N,) float32, masks
            (N, height, width) bool, and with the depth layer depths (N,) float32, 1 = near.
        """
        model = self.model
        features = model.backbone(self._normalize(image))
        dense, mask_features = model.proposal_generator(features), model.mask_branch(features)
        found = select(dense, model.proposal_generator.strides, self.selection)
        queries = _make_queries(found)
        params = model.controller(dense.box_tower, queries)
        predictions = predict_masks(model.mask_head, mask_features, params, queries)

        limit = torch.cat((size, size)).flip(0).float()  # width, height, width, height
        boxes = found.boxes * (limit / torch.cat((valid, valid)).flip(0).float())
        boxes = torch.minimum(boxes.clamp(min=0), limit)
        nonempty = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        keep = torch.nonzero((found.scores > NONE) & nonempty).squeeze(1)
        logits = predictions.logits[keep]
        result = (boxes[keep], found.classes[keep], found.scores[keep], self._binarize(logits, valid, size))
        if predictions.depth_logits is None:
            return result
        return (*result, mean_depth(logits, predictions.depth_logits[keep]))

    def _normalize(self, image: Tensor) -> Tensor:
        """Return the normalized image (1, 3, H, W) in the network's channel order."""
        channels = image.permute(2, 0, 1).float()
        if self.flip:
            channels = channels.flip(0)
        return ((channels - self.model.pixel_mean) / self.model.get_buffer("pixel_std"))[None]

    def _binarize(self, logits: Tensor, valid: Tensor, size: Tensor) -> Tensor:
        """Return masks (N, *size) bool of logits (N, 1, h, w)."""
        numbers = [*valid.tolist(), *size.tolist()]
        for number in numbers:
            torch._check(number >= 1)
        stride, device = self.model.mask_head.out_stride, logits.device
        rows = axis_weights(logits.shape[2], stride, numbers[0], numbers[2], device)
        columns = axis_weights(logits.shape[3], stride, numbers[1], numbers[3], device)
        # One more than N: ONNX Runtime cannot multiply an empty list of matrices.
        scores = torch.cat((logits[:, 0], logits.new_zeros((1, *logits.shape[2:])))).float().sigmoid()
        # Around 0, a probability of exactly 0.5 stays 0 whatever the rounding of the weights. Adding 0.5 again drops
        # what float32 cannot distinguish from 0.5, as in the network.
        return (resample_masks(scores - 0.5, rows, columns) + 0.5 > 0.5)[: logits.shape[0]]


def predict_masks(head: DynamicMaskHead, features: Tensor, params: Tensor, queries: Queries) -> MaskPredictions:
    """Evaluate the dynamic mask head (eq. 1) of one image in plain matrix products.

    The network's own implementation chooses a kernel by device, which a graph cannot hold.

    Args:
        head: gives the shapes of the dynamic filters.
        features: (1, C, h, w) of the mask branch.
        params: (Q, G) filters of the queries.
        queries: Q queries.

    Returns:
        Logits (Q, 1, H, W) on the mask grid.
    """
    weights, biases = head.parse(params)
    height, width = features.shape[2:]
    stride, half = head.feature_stride, head.feature_stride // 2
    size = head.sizes_of_interest[queries.level][:, None]
    x = (queries.locations[:, :1] - (torch.arange(width, device=params.device) * stride + half)) / size
    y = (queries.locations[:, 1:] - (torch.arange(height, device=params.device) * stride + half)) / size
    first = weights[0]
    hidden = (first[:, :, 2:] @ features[0].flatten(1)).unflatten(2, (height, width)) + biases[0][:, :, None, None]
    hidden = hidden + first[:, :, 0, None, None] * x[:, None, None] + first[:, :, 1, None, None] * y[:, None, :, None]
    hidden = hidden.flatten(2)
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        hidden = weight @ hidden.relu() + bias[:, :, None]
    outputs = aligned_upsample(head.apply_depth(hidden).unflatten(2, (height, width)), stride // head.out_stride)
    return MaskPredictions(outputs[:, :1], outputs[:, 1:] if head.depth_layer else None)


class _ConstantPaddingConv2d(Conv2dSame):
    """TensorFlow's convolution (timm's ``tf_*`` networks) for heights and widths that are multiples of the stride.

    For these the padding is a constant. As a formula of the image size, it costs torch's exporter minutes per layer.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W) to (B, C', H / stride, W / stride)."""
        pad: list[int] = []
        for kernel, stride, dilation in zip(self.kernel_size, self.stride, self.dilation, strict=True):
            total = max((kernel - 1) * dilation + 1 - stride, 0)
            pad = [total // 2, total - total // 2, *pad]  # the last dimension comes first
        return F.conv2d(F.pad(x, pad), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def fix_padding(network: nn.Module) -> None:
    """Replace the padding of TensorFlow's convolutions by constants, in place.

    Weights are kept; outputs are equal for image sides that are multiples of the strides.
    """
    for module in network.modules():
        if type(module) is Conv2dSame:
            module.__class__ = _ConstantPaddingConv2d


def _make_queries(found: Detections) -> Queries:
    """Convert detections of one image to queries, as ``modeling.fcos.queries.detection_queries`` of a fixed number."""
    return Queries(
        image_index=torch.zeros_like(found.level),
        level=found.level,
        row=found.row,
        column=found.column,
        locations=found.locations,
        target_index=torch.full_like(found.level, -1),
        counts=(found.scores.shape[0],),
    )
