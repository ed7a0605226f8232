"""Functions shared by the Triton kernels."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sigmoid(x):  # type: ignore[no-untyped-def]
    """Compute 1 / (1 + exp(-x)) without overflow."""
    decay = tl.exp(-tl.abs(x))
    return tl.where(x >= 0, 1.0, decay) / (1.0 + decay)


@triton.jit
def sigmoid_slope(x):  # type: ignore[no-untyped-def]
    """Compute the derivative of the sigmoid, without the cancellation of s (1 - s)."""
    decay = tl.exp(-tl.abs(x))
    return decay / ((1.0 + decay) * (1.0 + decay))


@triton.jit
def probe(out):  # type: ignore[no-untyped-def]
    """Write 1 to ``out``: the smallest kernel, launched to test that compilation works."""
    tl.store(out, 1.0)
