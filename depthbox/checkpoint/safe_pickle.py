"""Reader of pickled arrays that runs nothing of what a pickle asks for.

A pickle is a program: plain unpickling calls whatever functions it names. Weights of Detectron2 come as pickles of
numpy arrays, and these need a handful of names only. Here each of them stands for a function of our own that checks
what it is given; numpy's own constructors are not called, since their states can be forged as well.
"""

from __future__ import annotations

import math
import os
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

_DTYPE = re.compile(r"[biufc]\d{1,2}")  # kind and bytes of a number; numpy writes no other form
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
    """A file asks for more than arrays: loading it could run any code."""


def read_arrays(path: str | os.PathLike[str]) -> Any:
    """Read a pickle of dicts, lists, tuples, strings, numbers and numpy arrays of numbers.

    Pickles of Python 2 are read too; their byte strings become strings, as latin1.

    Args:
        path: of the file.

    Returns:
        What the pickle holds; arrays are writable and in the machine's byte order.

    Raises:
        UnsafePickleError: it asks for anything else; the message names it.
        ValueError: it is damaged, or no pickle.
    """
    try:
        with open(path, "rb") as file:
            return _finished(_Reader(file, encoding="latin1").load(), {})
    except UnsafePickleError as error:
        raise UnsafePickleError(refusal(path, str(error))) from None
    except _BROKEN as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(
            f"{os.fspath(path)} cannot be read as a pickle of arrays ({reason}). Is the download complete?"
        ) from error


def refusal(path: str | os.PathLike[str], name: str) -> str:
    """What to say of a file that asks for the Python object ``name``."""
    return (
        f"{os.fspath(path)} is refused: it asks for {name}, and a file that may do so can run any code when it is "
        "loaded. Weights need arrays, dicts, lists, strings and numbers only. Get them from another source; if you "
        'trust whoever made the file, save its weights anew: torch.save({"model": state_dict}, "weights.pth").'
    )


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        try:
            return _Call(_CALLS[module, name])
        except KeyError:
            raise UnsafePickleError(f"{module}.{name}") from None


class _Call:
    """A function that a pickle may call, but neither change nor take apart."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("a change of one of Python's own objects")


class _Dtype:
    """Type of an array's numbers; pickles make it in two steps, the second gives the order of the bytes."""

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
    """An array that is still to be filled; pickles make it in two steps."""

    __slots__ = ("value",)

    def __init__(self, *args: Any) -> None:
        self.value: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        *_, shape, dtype, fortran, raw = state
        self.value = _array(raw, dtype, shape, "F" if fortran else "C")


class _Dict(dict[Any, Any]):
    """An OrderedDict; what else is attached to it (a state dict's version numbers) is dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


def _array(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray[Any, Any]:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes | bytearray):
        raise UnsafePickleError("an array of objects")
    found = dtype.numpy()
    if len(raw) != math.prod(shape) * found.itemsize:
        raise ValueError(f"{len(raw)} bytes for an array of shape {shape} and type {found}")
    array = np.ndarray(tuple(shape), found, bytes(raw), order="F" if order == "F" else "C")
    return array.astype(found.newbyteorder("="))


def _scalar(dtype: Any, raw: Any) -> Any:
    return _array(raw, dtype, ())[()]


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes for readers of Python 2."""
    if encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError(f"the encoding {encoding[:40]!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _finished(value: Any, done: dict[int, Any]) -> Any:
    """Put the filled arrays in their places; ``done`` maps the id of what was met to what became of it."""
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, _Array) and value.value is not None:
        return value.value
    if isinstance(value, dict):
        result: dict[Any, Any] = {}
        done[id(value)] = result
        result.update((_finished(key, done), _finished(item, done)) for key, item in value.items())
        return result
    if isinstance(value, list):
        items: list[Any] = []
        done[id(value)] = items
        items.extend(_finished(item, done) for item in value)
        return items
    if isinstance(value, tuple):
        done[id(value)] = tuple(_finished(item, done) for item in value)
        return done[id(value)]
    if isinstance(value, _PLAIN):
        return value
    raise UnsafePickleError(f"a {type(value).__name__.strip('_')} in place of a value")


_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,  # an argument of _reconstruct, which has no use for it
    ("collections", "OrderedDict"): _Dict,
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
}
for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
    _CALLS[f"{_core}.multiarray", "_reconstruct"] = _Array
    _CALLS[f"{_core}.multiarray", "scalar"] = _scalar
    _CALLS[f"{_core}.numeric", "_frombuffer"] = _array
