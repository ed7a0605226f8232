"""Convolutions of TensorFlow's kind (timm's ``tf_*`` networks) with padding that does not depend on the image."""

from __future__ import annotations

from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F


class _EvenConv2d(Conv2dSame):
    """``Conv2dSame`` for heights and widths that the stride divides, as they are wherever an image is whole cells.

    There the padding is a constant. As a formula in the image's size it takes torch's exporter minutes a layer.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride)."""
        pad: list[int] = []
        for kernel, stride, dilation in zip(self.kernel_size, self.stride, self.dilation, strict=True):
            total = max((kernel - 1) * dilation + 1 - stride, 0)
            pad = [total // 2, total - total // 2, *pad]  # the last dimension comes first
        return F.conv2d(F.pad(x, pad), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def fix_padding(network: nn.Module) -> None:
    """Exchange the convolutions of a network, in place; weights and results stay, for images of whole cells."""
    for module in network.modules():
        if type(module) is Conv2dSame:
            module.__class__ = _EvenConv2d
