"""Unpickler of plain values and arrays, with a bound of its memory."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Mapping
from typing import IO, Any

from .objects import FUNCTIONS, PLAIN, Call, Placeholder, UnsafePickleError, VersionedDict
from .scan import scan_pickle

# Errors of a damaged pickle.
BROKEN_PICKLE = (
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


def load_pickle(file: IO[bytes], size: int, make_reader: Callable[[IO[bytes], int], ArrayReader]) -> Any:
    """Scan and load one pickle from the current position of a file on.

    Args:
        file: seekable binary file.
        size: of the file, in bytes.
        make_reader: makes the reader of the file.

    Raises:
        UnsafePickleError: the pickle asks for an object that the reader does not make.
        Exception: the pickle is damaged (any of ``BROKEN_PICKLE``).
    """
    start = file.tell()
    end = scan_pickle(file, size)
    file.seek(start)
    content = make_reader(file, size).read()
    file.seek(end)
    return content


class ArrayReader(pickle.Unpickler):
    """Unpickler that makes plain values and numpy arrays only."""

    functions: Mapping[tuple[str, str], Callable[..., Any]] = FUNCTIONS
    values: tuple[type, ...] = PLAIN  # types that may be in the content

    def __init__(self, file: IO[bytes], size: int) -> None:
        """
        Args:
            file: binary file with a pickle that ``scan_pickle`` has accepted.
            size: of the file, in bytes; it bounds the memory of all arrays.
        """
        super().__init__(file, encoding="latin1")
        self._left = 4 * size + 2**26
        self._done: dict[int, Any] = {}

    def read(self) -> Any:
        """Return the content of the pickle."""
        return self._resolve(self.load())

    def spend(self, count: int) -> None:
        """Count bytes of an array or string that is made from bytes in the file.

        Raises:
            ValueError: the file asks for many times its own size.
        """
        self._left -= count
        if self._left < 0:
            raise ValueError("its arrays are many times as large as the file")

    def find_class(self, module: str, name: str, /) -> Any:
        """Return the function that replaces an object of Python in the pickle."""
        try:
            return Call(functools.partial(self.functions[module, name], self))
        except KeyError:
            raise UnsafePickleError(f"{module}.{name}"[:200]) from None

    def _resolve(self, value: Any) -> Any:
        """Replace placeholders by their values, recursively, each object once."""
        key = id(value)
        if key in self._done:
            return self._done[key]
        if isinstance(value, Placeholder):
            self._done[key] = value.resolve(self)
        elif isinstance(value, dict):
            result = self._done[key] = value.make() if isinstance(value, VersionedDict) else {}
            result.update((self._resolve(name), self._resolve(item)) for name, item in value.items())
        elif isinstance(value, list):
            items = self._done[key] = []
            items.extend(self._resolve(item) for item in value)
        elif isinstance(value, tuple):
            self._done[key] = tuple(self._resolve(item) for item in value)
        elif isinstance(value, self.values):
            return value
        else:
            raise UnsafePickleError(f"a {type(value).__name__.strip('_')} instead of a value")
        return self._done[key]
