"""Dynamic mask head: a small network per instance, its weights predicted by the controller (eq. 1)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...ops import aligned_upsample
from ...ops.triton_support import available
from ...structures import MaskPredictions, Queries, split_by_counts

_CACHED = 2**20  # hidden units of a layer that are computed together on the CPU


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

        On the CPU a few queries at a time, whose hidden units fit into the cache and are computed again for backward.
        """
        if self.triton and available(features.device):
            from . import triton_dynamic

            if triton_dynamic.fits(features, params, self.layer_shapes):
                return triton_dynamic.coarse_logits(
                    features,
                    params,
                    queries,
                    self.sizes_of_interest,
                    stride=self.feature_stride,
                    channels=self.layer_shapes[0][0],
                    depth_layer=self.depth_layer,
                )
        hidden_units = self.layer_shapes[0][0] * features.shape[2] * features.shape[3]
        step = max(_CACHED // max(hidden_units, 1), 1)
        if features.device.type != "cpu" or len(params) <= step or torch.jit.is_tracing():
            return self._logits(features, params, queries)
        parts = [
            checkpoint(
                self._logits,
                features[image : image + 1],
                params[part],
                queries.of_image(image, part),
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for image, part in _parts(queries.counts, step)
        ]
        return torch.cat(parts)

    def _logits(self, features: Tensor, params: Tensor, queries: Queries) -> Tensor:
        weights, biases = self.parse(params)
        hidden = self._first_layer(features, weights[0], biases[0], queries)
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            hidden = torch.baddbmm(bias[:, :, None], weight, hidden.relu_())
        if self.depth_layer:
            mask, depth = hidden.split(1, dim=1)
            hidden = torch.cat((mask * depth.sigmoid(), depth), dim=1)
        return hidden.view(len(params), hidden.shape[1], *features.shape[2:])

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


def _parts(counts: tuple[int, ...], step: int) -> Iterator[tuple[int, slice]]:
    """Image and rows of at most ``step`` queries each, none of two images."""
    start = 0
    for image, count in enumerate(counts):
        for first in range(start, start + count, step):
            yield image, slice(first, min(first + step, start + count))
        start += count
