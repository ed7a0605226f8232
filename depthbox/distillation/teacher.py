"""State of the EMA teacher: the moving average of the student, and statistics that all processes share."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..modeling.distributed import world_size


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Update the teacher in place: teacher = momentum * teacher + (1 - momentum) * student.

    All floating-point state is averaged, buffers included; integers (counters) are copied. Tensors are matched by name.

    Args:
        teacher, student: networks of one architecture.
        momentum: in [0, 1]; 0.999 in the paper.

    Raises:
        ValueError: the states differ in names or shapes, or the momentum is out of range.

    Example:
        >>> import torch
        >>> teacher, student = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        >>> _ = torch.nn.init.constant_(teacher.weight, 1.0), torch.nn.init.constant_(student.weight, 3.0)
        >>> ema_update(teacher, student, momentum=0.5)
        >>> teacher.weight.item()
        2.0
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"MODEL.DISTILL.EMA_MOMENTUM must lie in [0, 1], got {momentum}")
    old, new = teacher.state_dict(), student.state_dict()
    if {k: v.shape for k, v in old.items()} != {k: v.shape for k, v in new.items()}:
        names = sorted(k for k in old.keys() | new.keys() if k not in old or k not in new)
        raise ValueError(f"teacher and student differ: {names or 'the shapes of their tensors'}")
    floating = [name for name, value in old.items() if value.is_floating_point()]
    get_ema_multi_avg_fn(momentum)([old[name] for name in floating], [new[name] for name in floating], None)
    for name in old.keys() - set(floating):
        old[name].copy_(new[name])


@torch.no_grad()
def share_statistics(teacher: nn.Module) -> None:
    """Copy the batch norm statistics of the first process to all processes, in place.

    A trained batch norm collects the statistics of its own process. The teacher runs in evaluation mode, and a
    checkpoint holds the first process's statistics: they must be equal on all processes.
    """
    norms = [m for m in teacher.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    statistics = [b for m in norms for b in m.buffers() if b.is_floating_point()]
    if world_size() == 1 or not statistics:
        return
    together = torch.cat([values.flatten() for values in statistics])
    dist.broadcast(together, 0)
    for values, shared in zip(statistics, together.split([v.numel() for v in statistics]), strict=True):
        values.copy_(shared.view_as(values))
