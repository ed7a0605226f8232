"""Objects that stand for those which a pickle asks for: numpy arrays, and dicts with the module versions of torch.

Each name in a pickle is mapped to a function or class here. Its first argument is the reader, which bounds the memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from ...errors import UserError

_DTYPE = re.compile(r"[biufc]\d{1,2}")  # kind and size of a number, the only form that numpy writes
PLAIN = (np.ndarray, str, bytes, bytearray, int, float, complex, bool, type(None), np.generic)


class UnsafePickleError(UserError):
    """Error for a file that asks for objects other than arrays: loading it could run any code."""


class Reader(Protocol):
    """The reader of a pickle, as far as its objects need it."""

    def spend(self, count: int) -> None:
        """Count bytes that an object allocates."""


class Inert:
    """An object that a pickle can pass on, but not modify."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("a change of a built-in object")


class Call(Inert):
    """A function that a pickle can call, but not inspect."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


class Placeholder(Inert):
    """An object of the pickle whose value is made after loading."""

    __slots__ = ()

    def resolve(self, reader: Reader) -> Any:
        """Return the value."""
        raise NotImplementedError


class _Dtype(Inert):
    """Data type of an array. Pickles build it in two steps; the second sets the byte order."""

    __slots__ = ("_code", "_order")

    def __init__(self, reader: Reader, code: Any, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise UnsafePickleError(f"an array of the type {str(code)[:40] if isinstance(code, str) else '?'!r}")
        self._code, self._order = code, "="

    def __setstate__(self, state: Any) -> None:
        _, order, *structure = state
        if order not in ("<", ">", "|", "=") or any(part is not None for part in structure[:3]):
            raise UnsafePickleError("an array of a compound type")
        self._order = order

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._code)


class _Array(Placeholder):
    """An array. Pickles of old versions of numpy build it in two steps."""

    __slots__ = ("_parts",)

    def __init__(self, reader: Reader, *args: Any) -> None:
        self._parts: tuple[Any, _Dtype, tuple[int, ...], str] | None = None

    def __setstate__(self, state: Any) -> None:
        *_, shape, dtype, fortran, raw = state
        self._fill(raw, dtype, shape, "F" if fortran is True or fortran == 1 else "C")

    def _fill(self, raw: Any, dtype: Any, shape: Any, order: str) -> _Array:
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes | bytearray | str):
            raise UnsafePickleError("an array of objects")
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape) or len(shape) > 32:
            raise ValueError("the shape of an array is not a tuple of sizes")
        if len(raw) != math.prod(shape) * dtype.numpy().itemsize:
            raise ValueError(f"{len(raw)} bytes for an array of shape {shape} and type {dtype.numpy()}")
        self._parts = raw, dtype, shape, order
        return self

    def resolve(self, reader: Reader) -> np.ndarray[Any, Any]:
        if self._parts is None:
            raise UnsafePickleError("an Array instead of a value")
        raw, dtype, shape, order = self._parts
        reader.spend(len(raw))
        data = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)  # strings: Python 2
        array = np.ndarray(shape, dtype.numpy(), data, order="F" if order == "F" else "C")
        return array.astype(array.dtype.newbyteorder("="))


class VersionedDict(dict[Any, Any]):
    """An OrderedDict, of whose attributes only the module versions of a state dict are kept."""

    def __init__(self, reader: Reader, items: Any = ()) -> None:
        if not isinstance(items, dict) and not (isinstance(items, list | tuple) and all(map(_is_item, items))):
            raise UnsafePickleError("a dict of other objects")
        reader.spend(100 * len(items))
        super().__init__(items)
        self._versions: dict[str, dict[str, int]] | None = None

    def __setstate__(self, state: Any) -> None:
        versions = state.get("_metadata") if isinstance(state, dict) else None
        if isinstance(versions, dict):
            known = {name: value.get("version") for name, value in versions.items() if isinstance(value, dict)}
            self._versions = {n: {"version": v} if isinstance(v, int) else {} for n, v in known.items() if _is_name(n)}

    def make(self) -> dict[Any, Any]:
        """Return an empty dict with the module versions, if there are any."""
        return {} if self._versions is None else VersionedState(self._versions)


class VersionedState(dict[Any, Any]):
    """A state dict with the versions of its modules, as torch keeps them."""

    def __init__(self, versions: Mapping[str, Mapping[str, int]]) -> None:
        super().__init__()
        self._metadata = versions


def _is_name(value: Any) -> bool:
    return isinstance(value, str)


def _is_item(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str | int)


def _build_array(reader: Reader, raw: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    return _Array(reader)._fill(raw, dtype, shape, order if isinstance(order, str) else "C")


class _Scalar(Placeholder):
    """A number of numpy."""

    __slots__ = ("_array",)

    def __init__(self, reader: Reader, dtype: Any, raw: Any) -> None:
        self._array = _build_array(reader, raw, dtype, ())

    def resolve(self, reader: Reader) -> Any:
        return self._array.resolve(reader)[()]


def _encode(reader: Reader, text: Any, encoding: Any = "latin1") -> bytes:
    """Return the bytes that Python 3 writes as text for Python 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError(f"the encoding {str(encoding)[:40] if isinstance(encoding, str) else '?'!r}")
    reader.spend(len(text))
    return text.encode("latin1")


def _empty_bytes(reader: Reader) -> bytes:
    return b""


FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,  # an unused argument of _reconstruct
    ("collections", "OrderedDict"): VersionedDict,
    ("collections", "Counter"): VersionedDict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
    ("builtins", "bytes"): _empty_bytes,
}
for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
    FUNCTIONS[f"{_core}.multiarray", "_reconstruct"] = _Array
    FUNCTIONS[f"{_core}.multiarray", "scalar"] = _Scalar
    FUNCTIONS[f"{_core}.numeric", "_frombuffer"] = _build_array
