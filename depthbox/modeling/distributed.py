"""Means and batch normalization over all processes, so that n processes train like one with the whole batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from detectron2.layers import get_norm
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..ops.precision import full_precision, without_autocast


def world_size() -> int:
    """Return the number of training processes; 1 outside distributed training."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.no_grad()
def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a tensor of any shape over all processes, without gradient."""
    value = value.detach().clone()
    if world_size() > 1:
        dist.all_reduce(value)
        value /= world_size()
    return value


@torch.no_grad()
def sum_over_processes(value: Tensor) -> Tensor:
    """Return the sum of a tensor of any shape over all processes, without gradient."""
    value = value.detach().clone()
    if world_size() > 1:
        dist.all_reduce(value)
    return value


def build_norm(name: str, channels: int) -> nn.Module | None:
    """Build a normalization layer.

    Args:
        name: "naiveSyncBN" for ``GlobalBatchNorm``, or another name of Detectron2; "" for none.
        channels: number of channels of the input.
    """
    return GlobalBatchNorm(channels) if name == "naiveSyncBN" else get_norm(name, channels)


class GlobalBatchNorm(nn.BatchNorm2d):
    """Batch normalization with the statistics of the batches of all processes, on any device and backend.

    Mean and variance are computed in float32 at least, also under autocast, from the deviations of each process: the
    difference of the mean square and the squared mean has no correct digit if the mean is much larger than the standard
    deviation. All processes count equally, as in Detectron2's NaiveSyncBatchNorm.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, H, W) in training by the statistics of the batch, otherwise by the running ones."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        with without_autocast(input.device):
            return self._normalize(full_precision(input)).to(input.dtype)

    def _normalize(self, x: Tensor) -> Tensor:
        local_mean = x.mean((0, 2, 3))
        local_var = (x - local_mean[:, None, None]).square().mean((0, 2, 3))
        means, variances = _GatherRows.apply(torch.stack((local_mean, local_var))).unbind(1)  # (P, C) each
        mean = means.mean(0)
        var = variances.mean(0) + (means - mean).square().mean(0)
        self._update(mean.detach(), var.detach(), len(means) * x[:, 0].numel())
        scale = torch.rsqrt(var + self.eps)
        normalized = (x - mean[:, None, None]) * scale[:, None, None]
        return torch.addcmul(self.bias[:, None, None], normalized, self.weight[:, None, None])

    def _update(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the running statistics towards those of a batch of ``count`` values per channel."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        momentum = 0.1 if self.momentum is None else self.momentum
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_((var * (count / max(count - 1, 1))).to(self.running_var.dtype), momentum)


class _GatherRows(torch.autograd.Function):
    """A tensor of all processes, stacked: (...) -> (P, ...)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        gathered = [torch.empty_like(values) for _ in range(world_size())]
        dist.all_gather(gathered, values.contiguous())
        return torch.stack(gathered)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[dist.get_rank()]
