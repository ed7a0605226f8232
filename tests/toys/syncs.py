"""Counter of synchronizations between host and device that does not need a GPU.

A GPU computes asynchronously. The host waits for it if it needs a value (``item``, ``tolist``, ``cpu``) or a size that
depends on values (``nonzero``, indexing with a mask). On the CPU the same operators run and are counted; on a GPU
PyTorch reports the synchronizations.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Operators that read values on the host, or whose size of the result depends on values. A CUDA bincount always reads
# the largest value; torchvision's NMS copies its bit masks.
WAITING = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::unique_dim_consecutive",
    "aten::bincount",
    "aten::equal",
    "aten::is_nonzero",
    "torchvision::nms",
}
INDEXING = {"aten::index": 1, "aten::index_put": 1, "aten::index_put_": 1, "aten::_index_put_impl_": 1}
# A CPU tensor executes these without an operator. "to" is not included, because it also copies to the device.
COPIES = {Tensor.tolist, Tensor.cpu, Tensor.numpy, Tensor.__array__}
HOST_CODE = ("detectron2/structures/image_list.py",)  # the sizes of the images are tensors on the host


@dataclass
class Waits:
    """Counts by ``file:line function operator`` of the package's innermost frame.

    Attributes:
        syncs: operators for which the host waits for a result of the device.
        uploads: copies to the device from pageable memory without ``non_blocking``. On CUDA they also wait for the
            kernels that were queued before, although their results are not needed.
    """

    syncs: Counter[str] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        parts = [("syncs", self.syncs), ("uploads", self.uploads)]
        lines = [f"{n:5} {kind[:-1]} {place}" for kind, counts in parts for place, n in counts.most_common()]
        return "\n".join(lines) or "none"


@contextmanager
def count_waits(device: str = "cpu", package: str = "depthbox") -> Iterator[Waits]:
    """Count the waits within a block, in forward and backward pass.

    Args:
        device: "cpu" derives the waits from operators and calls; "cuda" uses PyTorch's reports, with uploads among the
            syncs.
        package: package whose frames are named.
    """
    waits = Waits()
    if device == "cuda":
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield waits
        finally:
            torch.cuda.set_sync_debug_mode(before)
        reports = [w for w in caught if "synchronizing CUDA operation" in str(w.message)]
        waits.syncs.update(f"{w.filename}:{w.lineno}" for w in reports)
    else:
        with _Calls(waits, package), _Operators(waits, package):
            yield waits


class _Operators(TorchDispatchMode):
    def __init__(self, waits: Waits, package: str) -> None:
        super().__init__()
        self.waits, self.package = waits, package

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name in WAITING or _needs_a_size(name, args, kwargs or {}):
            _note(self.waits.syncs, self.package, name)
        return func(*args, **(kwargs or {}))


class _Calls(TorchFunctionMode):
    def __init__(self, waits: Waits, package: str) -> None:
        super().__init__()
        self.waits, self.package = waits, package

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in COPIES:
            _note(self.waits.syncs, self.package, func.__name__)
        if _is_upload(func, args, kwargs or {}):
            _note(self.waits.uploads, self.package, func.__name__)
        return func(*args, **(kwargs or {}))


def _needs_a_size(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return True if an operator waits because of its arguments."""
    if name == "aten::repeat_interleave":
        return kwargs.get("output_size") is None
    if name not in INDEXING:
        return False
    masks = [x for x in args[1] if x is not None and x.dtype in (torch.bool, torch.uint8)]
    one_value = name != "aten::index" and args[2].dim() == 0  # then it is a masked_fill
    return bool(masks) and not (one_value and len(masks) == 1 and len(args[1]) == 1)


def _is_upload(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if func in (torch.tensor, torch.as_tensor):
        return kwargs.get("device") is not None and not isinstance(args[0], Tensor)
    if func is Tensor.new_tensor:
        return True
    if func is not Tensor.to:
        return False
    target = kwargs.get("device", args[1] if len(args) > 1 else None)
    names_a_device = isinstance(target, torch.device | str)
    positional = [x for x in args[2:] if isinstance(x, bool)]  # to(device, dtype, non_blocking)
    return names_a_device and not kwargs.get("non_blocking", bool(positional and positional[0]))


def _note(counts: Counter[str], package: str, operator: str) -> None:
    """Count one call under the innermost frame of the package, except calls on tensors that stay on the host."""
    place, frame = f"elsewhere {operator}", sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename).as_posix()
        if path.endswith(HOST_CODE):
            return
        inside = path.rpartition(f"/{package}/")[2]
        if inside != path and "tests/" not in inside:
            place = f"{inside}:{frame.f_lineno} {frame.f_code.co_name} {operator}"
            break
        frame = frame.f_back
    counts[place] += 1
