"""Full precision inside automatic mixed precision."""

from __future__ import annotations

import torch
from torch import Tensor


def without_autocast(device: torch.device) -> torch.autocast:
    """Return a context in which autocast does not lower the precision of operators.

    Matrix products and convolutions run in the dtype of their arguments there. Sums over a whole mask overflow in
    float16, and bfloat16 does not resolve small differences of color or coordinates.

    Args:
        device: device of the tensors that are computed.

    Example:
        >>> import torch
        >>> x = torch.ones(2, 2)
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     with without_autocast(x.device):
        ...         print((x @ x).dtype, end=", ")
        ...     print((x @ x).dtype)
        torch.float32, torch.bfloat16
    """
    return torch.autocast(device.type, enabled=False)


def full_precision(values: Tensor) -> Tensor:
    """Return floating-point values of any shape as float32, or unchanged if their dtype is float32 or wider."""
    return values.float() if values.dtype.itemsize < 4 else values
