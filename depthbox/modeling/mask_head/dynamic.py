"""Dynamic mask head: a small network per instance whose weights the controller predicts (eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...ops import aligned_upsample
from ...ops.triton.support import is_available
from ...structures import MaskPredictions, Queries, split_by_counts
from .layers import dynamic_layers


class DynamicMaskHead(nn.Module):
    """Prediction of the mask and depth of each query from shared mask features and the query's own 1x1 convolutions.

    The input of the first layer is [relative x, relative y, mask features], with relative = (query - pixel) / size of
    interest of the query's level. The layer is one matrix product per image on the shared features plus terms in x
    and y; the other layers are batched matrix products. Features are not copied per instance.

    With the depth layer the network ends in two siblings: P_depth = sigmoid(M_d(F1)) and P_mask = sigmoid(M_m(F1)
    P_depth) (eq. 1). The product is formed at the stride of the features. Without the depth layer this is CondInst's
    head.

    Order of the G parameters of a query: the weights of all mask layers, each [out][in] row-major, then their biases,
    then weights and bias of the depth layer. The first parameters are thus those of a head without the depth layer.

    Args:
        in_channels: number of channels of the mask features.
        channels: number of hidden channels.
        num_layers: number of mask layers, the last with one output; at least 2.
        feature_stride: input pixels per cell of the mask features.
        out_stride: input pixels per cell of the logits; divides ``feature_stride``.
        sizes: divisor of the relative coordinates per level, in pixels.
        depth_layer: predict the instance depth too.
        triton: use Triton kernels on devices that run them; the results are equal.

    Raises:
        ValueError: fewer than two layers, or ``out_stride`` does not divide ``feature_stride``.
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
        """Split the filters of Q queries into the weights and biases of the layers.

        Args:
            params: (Q, G) float.

        Returns:
            Weights (Q, out, in) and biases (Q, out) per layer; the depth layer is the second output of the last layer.
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
        """Predict masks and depth at ``out_stride`` from mask features (B, C, h, w) and filters (Q, G)."""
        outputs = aligned_upsample(
            self.coarse_logits(features, params, queries), self.feature_stride // self.out_stride
        )
        return MaskPredictions(*outputs.split(1, dim=1))

    def coarse_logits(self, features: Tensor, params: Tensor, queries: Queries) -> Tensor:
        """Compute mask and, with the depth layer, depth logits at the stride of the features.

        On the CPU hidden units are recomputed in the backward pass, see ``dynamic_layers``.

        Args:
            features: (B, C, h, w) float.
            params: (Q, G) float.
            queries: Q queries.

        Returns:
            (Q, 1 or 2, h, w) float.
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
        """Compute the logits with x, y and 1 as three more features: (q - x) / s * w = q / s * w - x * (w / s)."""
        weights, biases = self.parse(params)
        x, y, origin = self._grid(features)
        ones = torch.ones_like(x).expand(len(y), -1)
        extra = torch.stack((x.expand_as(ones), y[:, None].expand_as(ones), ones))
        augmented = torch.cat((features, extra.expand(len(features), -1, -1, -1)), dim=1).flatten(2)
        by_coordinate = weights[0][:, :, :2] / self.sizes_of_interest[queries.level].to(params.dtype)[:, None, None]
        centers = (queries.locations - origin).to(params.dtype)
        constant = biases[0] + (by_coordinate * centers[:, None]).sum(2)
        first = torch.cat((weights[0][:, :, 2:], -by_coordinate, constant[:, :, None]), dim=2)
        logits = dynamic_layers(augmented, [first, *weights[1:]], biases[1:], queries.counts)
        return self.apply_depth(logits).unflatten(2, features.shape[2:])

    def _grid(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the cell centers x (w,) and y (h,) relative to the image's center (2,), and that center, in pixels."""
        height, width = features.shape[2:]
        stride = self.feature_stride
        x, y = (torch.arange(n, dtype=features.dtype) * stride + stride // 2 - n * stride / 2 for n in (width, height))
        return x, y, torch.tensor((width, height), dtype=torch.float32) * (stride / 2)

    def apply_depth(self, logits: Tensor) -> Tensor:
        """Multiply the mask logits (Q, 1, ...) or, with the depth layer, (Q, 2, ...) by the predicted depth (eq. 1)."""
        if not self.depth_layer:
            return logits
        mask, depth = logits.split(1, dim=1)
        return torch.cat((mask * depth.sigmoid(), depth), dim=1)

    def _logits(self, features: Tensor, params: Tensor, queries: Queries) -> Tensor:
        weights, biases = self.parse(params)
        hidden = self._first_layer(features, weights[0], biases[0], queries)
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            hidden = torch.baddbmm(bias[:, :, None], weight, hidden.relu_())
        return self.apply_depth(hidden).unflatten(2, features.shape[2:])

    def _first_layer(self, features: Tensor, weight: Tensor, bias: Tensor, queries: Queries) -> Tensor:
        height, width = features.shape[2:]
        out = weight.shape[1]
        shared = [
            (w.flatten(0, 1) @ f.flatten(1)).view(-1, out, height, width)
            for w, f in zip(split_by_counts(weight[:, :, 2:], queries.counts), features, strict=True)
        ]
        wide = torch.promote_types(weight.dtype, torch.float32)  # half precision does not resolve pixels
        size = self.sizes_of_interest[queries.level].to(wide)[:, None]
        half = self.feature_stride // 2
        x = torch.arange(width, device=weight.device, dtype=wide) * self.feature_stride + half
        y = torch.arange(height, device=weight.device, dtype=wide) * self.feature_stride + half
        relative_x = (queries.locations[:, :1].to(wide) - x) / size
        relative_y = (queries.locations[:, 1:].to(wide) - y) / size
        across = weight[:, :, 0, None] * relative_x[:, None] + bias[:, :, None]
        down = weight[:, :, 1, None] * relative_y[:, None]
        hidden = torch.cat(shared)
        hidden = hidden + across[:, :, None, :].to(hidden.dtype)
        return (hidden + down[:, :, :, None].to(hidden.dtype)).flatten(2)
