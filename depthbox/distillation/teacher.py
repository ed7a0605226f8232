"""The teacher's weights: an exponential moving average of the student's."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher, in place: teacher = momentum * teacher + (1 - momentum) * student.

    All floating state takes part, buffers too; integers (counters) are copied. Tensors meet by name.

    Args:
        teacher, student: networks of one architecture.
        momentum: in [0, 1]; the paper's is 0.999.

    Raises:
        ValueError: their state differs in names or shapes, or the momentum is out of range.
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
