"""Objects that stand for those of torch in a pickle: storages, and tensors that are views of them.

The functions of torch are not called, because hostile arguments make some of them allocate any amount of memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .objects import FUNCTIONS, PLAIN, Call, Inert, Placeholder, Reader, UnsafePickleError
from .unpickler import ArrayReader

MAX_VIEW = 2**20  # elements of a tensor that repeats the elements of a smaller storage
_MAX_DIMENSIONS = 32
_STORAGES = {
    "Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128, "Untyped": torch.uint8,
}  # fmt: skip
_QUANTIZED = ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")
_SCHEMES = ("per_tensor_affine", "per_tensor_symmetric", "per_channel_affine", "per_channel_symmetric")


@dataclass(frozen=True)
class UnusableTensor:
    """A tensor in a file whose values cannot be used as weights.

    Attributes:
        kind: description, such as "a sparse tensor".
    """

    kind: str


class StorageType(Inert):
    """The type of a storage in a pickle: the data type of its elements, None for quantized ones."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype = dtype


class Storage(Inert):
    """The elements of a storage: a tensor (N,), None if they cannot be used."""

    __slots__ = ("elements",)

    def __init__(self, elements: Tensor | None) -> None:
        self.elements = elements


class _Constant(Placeholder):
    """A value that a pickle can pass on, but not modify."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def resolve(self, reader: Reader) -> Any:
        return self._value


class TensorReader(ArrayReader):
    """Unpickler that also makes tensors; the subclasses load their storages."""

    values = (*PLAIN, Tensor, torch.dtype, torch.device, UnusableTensor)

    def find_class(self, module: str, name: str, /) -> Any:
        """Return the object that replaces an object of Python in the pickle."""
        if module in ("torch", "torch.cuda", "torch.storage") and (found := _find_value(name)) is not None:
            return found
        return super().find_class(module, name)


def _find_value(name: str) -> Any:
    """Return the type of a storage, or a constant of torch; None for other names."""
    kind = name.removesuffix("Storage").removeprefix("_")
    if name.endswith("Storage") and kind in _STORAGES:
        return StorageType(_STORAGES[kind])
    if name.endswith("Storage") and kind in _QUANTIZED:
        return StorageType(None)
    if name in _SCHEMES:
        return _Constant(UnusableTensor("a quantization scheme"))
    value = getattr(torch, name, None) if name.isidentifier() else None
    return _Constant(value) if isinstance(value, torch.dtype) else None


def _rebuild(reader: Reader, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Constant:
    """Return a view of a storage, as ``torch._utils._rebuild_tensor``."""
    if not isinstance(storage, Storage):
        raise UnsafePickleError("a tensor without a storage")
    if storage.elements is None:
        return _Constant(UnusableTensor("a quantized tensor"))
    return _Constant(_view(storage.elements, offset, size, stride))


def _rebuild_typed(
    reader: Reader, storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> _Constant:
    """Return a view of the bytes of a storage, as ``torch._utils._rebuild_tensor_v3``."""
    found = dtype.resolve(reader) if isinstance(dtype, _Constant) else None
    if not isinstance(storage, Storage) or storage.elements is None or not isinstance(found, torch.dtype):
        raise UnsafePickleError("a tensor of an unknown type")
    return _Constant(_view(storage.elements.view(torch.uint8).view(found), offset, size, stride))


def _view(elements: Tensor, offset: Any, size: Any, stride: Any) -> Tensor | UnusableTensor:
    """Return a view of a storage (N,) after its bounds were verified."""
    sizes, strides = _sizes(size), _sizes(stride)
    start = _sizes((offset,))[0]
    if len(sizes) != len(strides) or len(sizes) > _MAX_DIMENSIONS:
        raise ValueError("a tensor whose shape and strides do not fit each other")
    count = math.prod(sizes)
    last = start + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True)) if count else start
    if last >= len(elements) and (count or start > len(elements)):
        raise ValueError(f"a tensor of shape {sizes} that ends behind its storage of {len(elements)} elements")
    if count > max(len(elements), MAX_VIEW):
        return UnusableTensor(f"a tensor of {count:,} elements, of which the file holds {len(elements):,}")
    return elements.as_strided(sizes, strides, start)


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not all(isinstance(n, int) and 0 <= n < 2**63 for n in value):
        raise ValueError("the shape of a tensor is not a tuple of sizes")
    return value


def _unusable(kind: str) -> Callable[..., _Constant]:
    return lambda reader, *_: _Constant(UnusableTensor(kind))


def _parameter(reader: Reader, data: Any = None, *_: Any) -> Any:
    return data


def _typed(reader: Reader, function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    """Return a tensor that has attributes, without them."""
    if not isinstance(function, Call) or not isinstance(arguments, tuple):
        raise UnsafePickleError("a tensor of another class")
    return function(*arguments)


def _size(reader: Reader, sizes: Any = ()) -> tuple[int, ...]:
    return _sizes(tuple(sizes) if isinstance(sizes, list) else sizes)


def _device(reader: Reader, name: Any = "cpu", *_: Any) -> _Constant:
    return _Constant(str(name)[:40] if isinstance(name, str) else None)


def _bytes(reader: Reader, data: Any = b"", *_: Any) -> bytes:
    if not isinstance(data, bytes):
        raise UnsafePickleError("a bytearray of other objects")
    reader.spend(len(data))
    return data


def _set(reader: Reader, items: Any = ()) -> list[Any]:
    if not isinstance(items, list | tuple):
        raise UnsafePickleError("a set of other objects")
    reader.spend(8 * len(items))
    return list(items)


def _complex(reader: Reader, real: Any = 0.0, imaginary: Any = 0.0) -> complex:
    if not isinstance(real, int | float) or not isinstance(imaginary, int | float):
        raise UnsafePickleError("a complex number of other objects")
    return complex(real, imaginary)


class _Namespace(Placeholder):
    """The options of a program, which are not read."""

    __slots__ = ()

    def __init__(self, reader: Reader, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def resolve(self, reader: Reader) -> Any:
        return None


TensorReader.functions = {
    **FUNCTIONS,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_typed,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _unusable("a tensor without values (device meta)"),
    ("torch._utils", "_rebuild_sparse_tensor"): _unusable("a sparse tensor"),
    ("torch._utils", "_rebuild_qtensor"): _unusable("a quantized tensor"),
    ("torch._utils", "_rebuild_nested_tensor"): _unusable("a nested tensor"),
    ("torch._utils", "_rebuild_wrapper_subclass"): _unusable("a tensor of another class"),
    ("torch._tensor", "_rebuild_from_type_v2"): _typed,
    ("torch.nn.parameter", "Parameter"): _parameter,
    ("torch", "Tensor"): _unusable("a tensor in an outdated form"),
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    ("torch.serialization", "_get_layout"): _unusable("a layout"),
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,
    ("builtins", "bytearray"): _bytes,
    ("builtins", "complex"): _complex,
    ("__builtin__", "complex"): _complex,
    ("argparse", "Namespace"): _Namespace,
}
