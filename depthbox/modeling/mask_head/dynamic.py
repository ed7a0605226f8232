"""Dynamic mask head: a small network per instance, its weights predicted by the controller (eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...ops import aligned_upsample
from ...ops.triton.support import is_available
from ...structures import MaskPredictions, Queries, split_by_counts
from .layers import dynamic_layers


class DynamicMaskHead(nn.Module):
    """Mask and depth of every query from the shared mask features and its own 1x1 convolutions.

    The first layer sees [relative x, relative y, mask features], where relative = (query - pixel) / size of interest
    of the query's level. It is one matrix product per image on the shared features plus terms in x and y alone; the
    others are batched matrix products. No feature is copied per instance.

    With the depth layer two siblings end the network: P_depth = sigmoid(M_d(F1)) and P_mask = sigmoid(M_m(F1) P_depth)
    (eq. 1); the product is formed at the stride of the features. Without it this is CondInst's head.

    Order of a query's G numbers: the weights of all mask layers, each [out][in] row-major, then their biases, then
    weights and bias of the depth layer; so the first numbers are those of a network without it.

    Args:
        in_channels: channels of the mask features.
        channels: hidden channels.
        num_layers: layers, the last with one output; at least 2.
        feature_stride: input pixels per cell of the mask features.
        out_stride: input pixels per cell of the logits; divides ``feature_stride``.
        sizes: divisor of the relative coordinates for each level, in pixels.
        depth_layer: predict the instance's depth too.
        triton: use Triton kernels where they run; the results are equal.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int = 8,
        num_layers: int = 3,
        feature_stride: int = 8,
        out_stride: int = 4,
        sizes: tuple[float, ...] = (64, 128, 256, 512, 1024),
        depth_layer: bool = False,
        triton: bool = True,
    ) -> None:
        super().__init__()
        if num_layers < 2:
            raise ValueError(f"MODEL.CONDINST.MASK_HEAD.NUM_LAYERS must be at least 2, got {num_layers}")
        if feature_stride % out_stride:
            raise ValueError(f"MODEL.CONDINST.MASK_OUT_STRIDE must divide {feature_stride}, got {out_stride}")
        self.feature_stride, self.out_stride = feature_stride, out_stride
        widths = [in_channels + 2, *[channels] * (num_layers - 1), 1]
        self.layer_shapes = list(zip(widths[1:], widths[:-1], strict=True))
        self.num_mask_params = sum(out * inp + out for out, inp in self.layer_shapes)
        self.depth_layer, self.triton = depth_layer, triton
        self.num_params = self.num_mask_params + (channels + 1 if depth_layer else 0)
        self.sizes_of_interest: Tensor
        self.register_buffer("sizes_of_interest", torch.tensor(sizes, dtype=torch.float32))

    def parse(self, params: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Split (Q, G) into weights (Q, out, in) and biases (Q, out) of each layer; the depth layer is the last one's
        second output.
        """
        sizes = [out * inp for out, inp in self.layer_shapes] + [out for out, _ in self.layer_shapes]
        parts = params[:, : self.num_mask_params].split(sizes, dim=1)
        layers = len(self.layer_shapes)
        weights = [part.reshape(len(params), *s) for part, s in zip(parts, self.layer_shapes, strict=False)]
        biases = list(parts[layers:])
        if self.depth_layer:
            depth = params[:, self.num_mask_params :]
            weights[-1] = torch.cat((weights[-1], depth[:, None, :-1]), dim=1)
            biases[-1] = torch.cat((biases[-1], depth[:, -1:]), dim=1)
        return weights, biases

    def forward(self, features: Tensor, params: Tensor, queries: Queries) -> MaskPredictions:
        """Predictions at ``out_stride`` from features (B, C, h, w) and filters (Q, G)."""
        outputs = aligned_upsample(
            self.coarse_logits(features, params, queries), self.feature_stride // self.out_stride
        )
        return MaskPredictions(*outputs.split(1, dim=1))

    def coarse_logits(self, features: Tensor, params: Tensor, queries: Queries) -> Tensor:
        """Mask and, with the depth layer, depth logits (Q, 1 or 2, h, w) at the stride of the features.

        On the CPU hidden units are not kept for the backward pass, see ``dynamic_layers``.
        """
        if self.triton and is_available(features.device):
            from ...ops.triton import dynamic as triton_dynamic

            if triton_dynamic.fits(features, params, self.layer_shapes):
                return triton_dynamic.coarse_logits(
                    features,
                    params,
                    queries.image_index,
                    queries.level,
                    queries.locations,
                    self.sizes_of_interest,
                    max_queries=max(queries.counts),
                    stride=self.feature_stride,
                    channels=self.layer_shapes[0][0],
                    depth_layer=self.depth_layer,
                )
        if features.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and not torch.jit.is_tracing():
            return self._recomputed(features, params, queries)
        return self._logits(features, params, queries)

    def _recomputed(self, features: Tensor, params: Tensor, queries: Queries) -> Tensor:
        """With x, y and 1 as three more features: (q - x) / s * w = q / s * w - x * (w / s)."""
        weights, biases = self.parse(params)
        x, y, origin = self._grid(features)
        ones = torch.ones_like(x).expand(len(y), -1)
        extra = torch.stack((x.expand_as(ones), y[:, None].expand_as(ones), ones))
        augmented = torch.cat((features, extra.expand(len(features), -1, -1, -1)), dim=1).flatten(2)
        by_place = weights[0][:, :, :2] / self.sizes_of_interest[queries.level].to(params.dtype)[:, None, None]
        centers = (queries.locations - origin).to(params.dtype)
        constant = biases[0] + (by_place * centers[:, None]).sum(2)
        first = torch.cat((weights[0][:, :, 2:], -by_place, constant[:, :, None]), dim=2)
        logits = dynamic_layers(augmented, [first, *weights[1:]], biases[1:], queries.counts)
        return self.guided(logits).unflatten(2, features.shape[2:])

    def _grid(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Centres x (w,) and y (h,) of the features' cells in input pixels from the image's middle, and the middle."""
        height, width = features.shape[2:]
        stride = self.feature_stride
        x, y = (torch.arange(n, dtype=features.dtype) * stride + stride // 2 - n * stride / 2 for n in (width, height))
        return x, y, torch.tensor((width, height), dtype=torch.float32) * (stride / 2)

    def guided(self, logits: Tensor) -> Tensor:
        """With the depth layer, mask logits times the predicted depth (eq. 1)."""
        if not self.depth_layer:
            return logits
        mask, depth = logits.split(1, dim=1)
        return torch.cat((mask * depth.sigmoid(), depth), dim=1)

    def _logits(self, features: Tensor, params: Tensor, queries: Queries) -> Tensor:
        weights, biases = self.parse(params)
        hidden = self._first_layer(features, weights[0], biases[0], queries)
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            hidden = torch.baddbmm(bias[:, :, None], weight, hidden.relu_())
        return self.guided(hidden).unflatten(2, features.shape[2:])

    def _first_layer(self, features: Tensor, weight: Tensor, bias: Tensor, queries: Queries) -> Tensor:
        height, width = features.shape[2:]
        out = weight.shape[1]
        shared = [
            (w.flatten(0, 1) @ f.flatten(1)).view(-1, out, height, width)
            for w, f in zip(split_by_counts(weight[:, :, 2:], queries.counts), features, strict=True)
        ]
        size = self.sizes_of_interest[queries.level].to(weight.dtype)[:, None]
        half = self.feature_stride // 2
        x = torch.arange(width, device=weight.device, dtype=weight.dtype) * self.feature_stride + half
        y = torch.arange(height, device=weight.device, dtype=weight.dtype) * self.feature_stride + half
        relative_x = (queries.locations[:, :1].to(weight.dtype) - x) / size
        relative_y = (queries.locations[:, 1:].to(weight.dtype) - y) / size
        across = weight[:, :, 0, None] * relative_x[:, None] + bias[:, :, None]
        down = weight[:, :, 1, None] * relative_y[:, None]
        hidden = torch.cat(shared) + across[:, :, None, :]
        return (hidden + down[:, :, :, None]).flatten(2)
