"""Where Triton kernels can run. The library is imported when that is first asked, because many systems lack it."""

from __future__ import annotations

import functools
import warnings
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def available(device: torch.device) -> bool:
    """Whether kernels run on tensors of this device: NVIDIA, with a Triton that compiles there; decided once a device.

    Never while a network is traced or compiled: the plain functions are what an exported graph is made of.
    """
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    return _works(torch.cuda.current_device() if device.index is None else device.index)


def on_device(tensor: Tensor) -> AbstractContextManager[object]:
    """Make the tensor's device the current one: Triton launches there."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def next_power_of_two(number: int) -> int:
    """Least power of two that is at least ``number``, and at least 1."""
    return 1 << max(number - 1, 0).bit_length()


@functools.cache
def _works(index: int) -> bool:
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
    except Exception as error:  # whatever the compiler, linker or driver says: there is another way to the result
        warnings.warn(
            f"Triton {triton.__version__} is installed but cannot compile for cuda:{index}; "
            f"slower functions with the same results are used. Often a C compiler is missing. ({error})",
            stacklevel=2,
        )
        return False
    return True
