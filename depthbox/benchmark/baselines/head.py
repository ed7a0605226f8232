"""Dynamic mask head as grouped 1x1 convolutions on features gathered for each query."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...modeling.mask_head import Controller, DynamicMaskHead
from ...structures import MaskPredictions, Queries


def aligned_bilinear(x: Tensor, factor: int) -> Tensor:
    """Upsample (N, C, H, W) to (N, C, factor * H, factor * W) by padding, interpolation between corners and cropping.

    Cell j is aligned with output cell factor * j + factor // 2.
    """
    height, width = x.shape[2:]
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    size = (factor * height + 1, factor * width + 1)
    x = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
    x = F.pad(x, (factor // 2, 0, factor // 2, 0), mode="replicate")
    return x[:, :, : size[0] - 1, : size[1] - 1]


class BaselineDynamicHead(nn.Module):
    """Baseline of ``DynamicMaskHead`` with the same arguments and results.

    Args:
        head: head whose settings and order of parameters are used.
    """

    def __init__(self, head: DynamicMaskHead) -> None:
        super().__init__()
        self.shapes = list(head.layer_shapes)
        self.sizes_of_interest = head.sizes_of_interest
        self.feature_stride, self.out_stride = head.feature_stride, head.out_stride
        self.depth_layer, self.num_mask_params = head.depth_layer, head.num_mask_params

    def forward(self, features: Tensor, params: Tensor, queries: Queries) -> MaskPredictions:
        """Predict mask and depth logits (Q, 1, h, w) from features (B, C, H, W) and filters (Q, G)."""
        count, (height, width) = len(params), features.shape[2:]
        gathered = features[queries.image_index].flatten(2)
        relative = self._relative_coordinates(queries, height, width)
        x = torch.cat((relative, gathered), dim=1).reshape(1, -1, height, width)
        weights, biases = self._split(params)
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            x = F.relu(F.conv2d(x, weight, bias, groups=count))
        mask = F.conv2d(x, weights[-1], biases[-1], groups=count).reshape(count, 1, height, width)
        depth = None
        if self.depth_layer:
            inputs = self.shapes[-1][1]
            weight = params[:, self.num_mask_params : -1].reshape(count, inputs, 1, 1)
            depth = F.conv2d(x, weight, params[:, -1], groups=count).reshape(count, 1, height, width)
            mask = mask * depth.sigmoid()
        factor = self.feature_stride // self.out_stride
        return MaskPredictions(
            aligned_bilinear(mask, factor), None if depth is None else aligned_bilinear(depth, factor)
        )

    def _relative_coordinates(self, queries: Queries, height: int, width: int) -> Tensor:
        """Compute (query - pixel) / size of interest of the query's level: (Q, 2, h * w)."""
        device, stride = queries.locations.device, self.feature_stride
        x = torch.arange(width, device=device).float() * stride + stride // 2
        y = torch.arange(height, device=device).float() * stride + stride // 2
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        pixels = torch.stack((grid_x.flatten(), grid_y.flatten()))
        size = self.sizes_of_interest.to(device)[queries.level]
        return (queries.locations[:, :, None] - pixels[None]) / size[:, None, None]

    def _split(self, params: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Split the parameters into weights (Q * out, in, 1, 1) and biases (Q * out,) of the mask layers."""
        sizes = [out * inp for out, inp in self.shapes] + [out for out, _ in self.shapes]
        parts = params[:, : self.num_mask_params].split(sizes, dim=1)
        weights = [
            part.reshape(-1, inp, 1, 1) for part, (_, inp) in zip(parts[: len(self.shapes)], self.shapes, strict=True)
        ]
        return weights, [part.reshape(-1) for part in parts[len(self.shapes) :]]


class DenseController(nn.Module):
    """Baseline of ``Controller`` with shared weights: all filters are predicted, then those of queries taken."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.controller = controller

    def forward(self, box_tower: list[Tensor], queries: Queries) -> Tensor:
        """Predict the filters (Q, G) of the queries from the levels (B, C, H, W) of the box tower."""
        weight, bias = self.controller.weight, self.controller.bias
        maps = [F.conv2d(x, weight, bias, padding=1) for x in box_tower]
        widths = torch.tensor([x.shape[3] for x in maps], device=queries.level.device)
        areas = torch.tensor([x.shape[2] * x.shape[3] for x in maps], device=queries.level.device)
        starts = areas.cumsum(0) - areas
        flat = torch.cat([x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps], dim=1)
        index = starts[queries.level] + queries.row * widths[queries.level] + queries.column
        return flat[queries.image_index, index]
