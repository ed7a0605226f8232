"""Reader of pickled arrays that does not run code from the file.

A pickle is a program: plain unpickling calls any function that the pickle names. Weights of Detectron2 are pickles of
numpy arrays, which need only a few names. Here each of these names is mapped to a function that validates its
arguments. The constructors of numpy are not called, because their states can be forged as well.
"""

from __future__ import annotations

import os
from typing import Any

from .objects import UnsafePickleError
from .unpickler import BROKEN_PICKLE, ArrayReader, load_pickle

__all__ = ["UnsafePickleError", "format_reason", "format_refusal", "read_arrays"]


def read_arrays(path: str | os.PathLike[str]) -> Any:
    """Read a pickle of dicts, lists, tuples, strings, numbers and numpy arrays of numbers.

    Pickles of Python 2 are read too; their byte strings become strings, as latin1. The memory is a small multiple of
    the size of the file.

    Args:
        path: path of the file.

    Returns:
        The content of the pickle. Arrays are writable and in the byte order of the machine.

    Raises:
        UnsafePickleError: the pickle asks for another object; the message names it.
        ValueError: the file is damaged, or not a pickle.
        OSError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return load_pickle(file, size, ArrayReader)
    except UnsafePickleError as error:
        raise UnsafePickleError(format_refusal(path, str(error))) from None
    except BROKEN_PICKLE as error:
        raise ValueError(
            f"{os.fspath(path)} cannot be read as a pickle of arrays ({format_reason(error)}). Is the download "
            "complete?"
        ) from error


def format_reason(error: BaseException) -> str:
    """Return type and message of an exception in one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def format_refusal(path: str | os.PathLike[str], name: str) -> str:
    """Return the message for a file that asks for the Python object ``name``."""
    return (
        f"{os.fspath(path)} is refused: it asks for {name}, and such a file can run any code when it is loaded. "
        "Weights need only arrays, dicts, lists, strings and numbers. Get the weights from another source. If you "
        'trust the author of the file, save its weights again: torch.save({"model": state_dict}, "weights.pth").'
    )
