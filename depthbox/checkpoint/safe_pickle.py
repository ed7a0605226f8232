"""Reader of pickled arrays that does not run code from the file.

A pickle is a program: plain unpickling calls any function that the pickle names. Weights of Detectron2 are pickles of
numpy arrays, which need only a few names. Here each of these names is mapped to a function that validates its
arguments. The constructors of numpy are not called, because their states can be forged as well.
"""

from __future__ import annotations

import math
import os
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

_DTYPE = re.compile(r"[biufc]\d{1,2}")  # kind and size of a number, the only form that numpy writes
_PLAIN = (np.ndarray, str, bytes, int, float, complex, bool, type(None), np.generic)
_BROKEN = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


class UnsafePickleError(ValueError):
    """Error for a file that asks for objects other than arrays: loading it could run any code."""


def read_arrays(path: str | os.PathLike[str]) -> Any:
    """Read a pickle of dicts, lists, tuples, strings, numbers and numpy arrays of numbers.

    Pickles of Python 2 are read too; their byte strings become strings, as latin1.

    Args:
        path: path of the file.

    Returns:
        The content of the pickle. Arrays are writable and in the byte order of the machine.

    Raises:
        UnsafePickleError: the pickle asks for another object; the message names it.
        ValueError: the file is damaged, or not a pickle.
    """
    try:
        with open(path, "rb") as file:
            return _resolve(_Reader(file, encoding="latin1").load(), {})
    except UnsafePickleError as error:
        raise UnsafePickleError(format_refusal(path, str(error))) from None
    except _BROKEN as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(
            f"{os.fspath(path)} cannot be read as a pickle of arrays ({reason}). Is the download complete?"
        ) from error


def format_refusal(path: str | os.PathLike[str], name: str) -> str:
    """Return the message for a file that asks for the Python object ``name``."""
    return (
        f"{os.fspath(path)} is refused: it asks for {name}, and such a file can run any code when it is loaded. "
        "Weights need only arrays, dicts, lists, strings and numbers. Get the weights from another source. If you "
        'trust the author of the file, save its weights again: torch.save({"model": state_dict}, "weights.pth").'
    )


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        try:
            return _Call(_CALLS[module, name])
        except KeyError:
            raise UnsafePickleError(f"{module}.{name}") from None


class _Call:
    """A function that a pickle can call, but not modify or inspect."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("a change of a built-in object")


class _Dtype:
    """Data type of an array. Pickles build it in two steps; the second sets the byte order."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise UnsafePickleError(f"an array of the type {str(code)[:40]!r}")
        self._code, self._order = code, "="

    def __setstate__(self, state: Any) -> None:
        _, order, *structure = state
        if order not in ("<", ">", "|", "=") or any(part is not None for part in structure[:3]):
            raise UnsafePickleError("an array of a compound type")
        self._order = order

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._code)


class _Array:
    """An array that is not filled yet. Pickles build it in two steps."""

    __slots__ = ("value",)

    def __init__(self, *args: Any) -> None:
        self.value: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        *_, shape, dtype, fortran, raw = state
        self.value = _build_array(raw, dtype, shape, "F" if fortran else "C")


class _Dict(dict[Any, Any]):
    """An OrderedDict without its attributes (the module versions of a state dict)."""

    def __setstate__(self, state: Any) -> None:
        pass


def _build_array(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray[Any, Any]:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes | bytearray):
        raise UnsafePickleError("an array of objects")
    found = dtype.numpy()
    if len(raw) != math.prod(shape) * found.itemsize:
        raise ValueError(f"{len(raw)} bytes for an array of shape {shape} and type {found}")
    array = np.ndarray(tuple(shape), found, bytes(raw), order="F" if order == "F" else "C")
    return array.astype(found.newbyteorder("="))


def _build_scalar(dtype: Any, raw: Any) -> Any:
    return _build_array(raw, dtype, ())[()]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Return the bytes that Python 3 writes as text for Python 2."""
    if encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError(f"the encoding {encoding[:40]!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


def _resolve(value: Any, done: dict[int, Any]) -> Any:
    """Replace ``_Array`` objects by their arrays, recursively; ``done`` maps ids of visited objects to results."""
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, _Array) and value.value is not None:
        return value.value
    if isinstance(value, dict):
        result: dict[Any, Any] = {}
        done[id(value)] = result
        result.update((_resolve(key, done), _resolve(item, done)) for key, item in value.items())
        return result
    if isinstance(value, list):
        items: list[Any] = []
        done[id(value)] = items
        items.extend(_resolve(item, done) for item in value)
        return items
    if isinstance(value, tuple):
        done[id(value)] = tuple(_resolve(item, done) for item in value)
        return done[id(value)]
    if isinstance(value, _PLAIN):
        return value
    raise UnsafePickleError(f"a {type(value).__name__.strip('_')} instead of a value")


_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,  # an unused argument of _reconstruct
    ("collections", "OrderedDict"): _Dict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
    ("builtins", "bytes"): _empty_bytes,
}
for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
    _CALLS[f"{_core}.multiarray", "_reconstruct"] = _Array
    _CALLS[f"{_core}.multiarray", "scalar"] = _build_scalar
    _CALLS[f"{_core}.numeric", "_frombuffer"] = _build_array
