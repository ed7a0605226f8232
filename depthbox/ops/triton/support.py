"""Availability of Triton, an optional dependency that is imported on first use, and helpers to launch kernels."""

from __future__ import annotations

import functools
import warnings
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def is_available(device: torch.device) -> bool:
    """Return whether Triton kernels run on tensors of this device.

    Requires an NVIDIA GPU and a Triton 3 that compiles for it; tested once per device. Always False while a network
    is traced or compiled, so that an exported graph consists of the plain operations.
    """
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    return _compiles(torch.cuda.current_device() if device.index is None else device.index)


def on_device(tensor: Tensor) -> AbstractContextManager[object]:
    """Make the device of a tensor of any shape the current one, on which Triton launches its kernels."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def next_power_of_two(number: int) -> int:
    """Return the smallest power of two that is at least ``number``, and at least 1.

    Example:
        >>> [next_power_of_two(number) for number in (0, 1, 5, 8)]
        [1, 1, 8, 8]
    """
    return 1 << max(number - 1, 0).bit_length()


def ceil_div(number: int, divisor: int) -> int:
    """Return ``number / divisor``, rounded up."""
    return -(-number // divisor)


def make_maps_contiguous(logits: Tensor) -> Tensor:
    """Return (N, 1, H, W) with contiguous maps, copied only if needed.

    The distance between maps is arbitrary: one channel of a larger tensor is not copied.
    """
    return logits if logits[0].is_contiguous() else logits.contiguous()


def view_as_bytes(mask: Tensor) -> Tensor:
    """Return a bool tensor of any shape as contiguous uint8, copied only if it is not contiguous."""
    return mask.contiguous().view(torch.uint8)


@functools.cache
def _compiles(index: int) -> bool:
    try:
        import triton

        if int(triton.__version__.split(".")[0]) < 3:
            return False
        from .math import probe
    except ImportError:
        return False
    try:
        with torch.cuda.device(index):
            probe[(1,)](torch.empty(1, device="cuda"))
    except Exception as error:  # any error of compiler, linker or driver: the plain functions remain
        warnings.warn(
            f"Triton {triton.__version__} is installed but cannot compile for cuda:{index}; "
            f"slower functions with the same results are used. A C compiler may be missing. ({error})",
            stacklevel=2,
        )
        return False
    return True
