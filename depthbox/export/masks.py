"""The dynamic mask head in plain products: the network's own chooses kernels by device, which no graph can hold."""

from __future__ import annotations

import torch
from torch import Tensor

from ..modeling.mask_head import DynamicMaskHead
from ..ops import aligned_upsample
from ..structures import MaskPredictions, Queries


def predict_masks(head: DynamicMaskHead, features: Tensor, params: Tensor, queries: Queries) -> MaskPredictions:
    """What ``head`` gives for the features (1, C, h, w) of one image and the filters (Q, G) of its queries (eq. 1)."""
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
