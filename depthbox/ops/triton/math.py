"""What several Triton kernels compute; imported only where Triton is."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sigmoid(x):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-x)); exp never overflows."""
    decay = tl.exp(-tl.abs(x))
    return tl.where(x >= 0, 1.0, decay) / (1.0 + decay)


@triton.jit
def sigmoid_slope(x):  # type: ignore[no-untyped-def]
    """Derivative of the sigmoid, without the cancellation of s (1 - s)."""
    decay = tl.exp(-tl.abs(x))
    return decay / ((1.0 + decay) * (1.0 + decay))


@triton.jit
def probe(out):  # type: ignore[no-untyped-def]
    """The smallest kernel: shows that compiling and launching work."""
    tl.store(out, 1.0)
