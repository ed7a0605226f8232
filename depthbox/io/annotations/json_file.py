"""JSON files of unknown origin."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .records import AnnotationError

_MAGIC = {b"\x1f\x8b": "a gzip file: unpack it with gunzip", b"PK": "a zip file: unpack it"}
_MAGIC |= {b"\x89P": "a PNG image", b"\xff\xd8": "a JPEG image", b"%P": "a PDF document"}
_EXPORT_AGAIN = "Export or copy the annotations again"


def load_json(path: str | os.PathLike[str]) -> Any:
    """Load a JSON file.

    UTF-8, UTF-16 and UTF-32 are read, with or without a byte order mark. The literals NaN and Infinity are accepted.

    Args:
        path: the JSON file.

    Returns:
        The content.

    Raises:
        AnnotationError: the file is missing, cannot be read or is not JSON.
    """
    path = Path(path)
    data = _read_bytes(path)
    text = _decode(path, data)
    del data
    try:
        with without_garbage_collection():
            return json.loads(text)
    except json.JSONDecodeError as error:
        cause = f"{error.msg} in line {error.lineno}, column {error.colno}{_explain(text, error)}"
        raise AnnotationError(f"{path} is not valid JSON: {cause}. {_EXPORT_AGAIN}") from error
    except RecursionError as error:
        raise AnnotationError(f"{path} is not usable JSON: it is nested too deeply. {_EXPORT_AGAIN}") from error
    except (ValueError, MemoryError) as error:  # such as a number of more digits than Python converts
        cause = str(error).split(";")[0] or "it is too large for the memory"
        raise AnnotationError(f"{path} is not usable JSON: {cause}. {_EXPORT_AGAIN}") from error


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Pause the cyclic garbage collector, whose scans of millions of new dicts take longer than their creation."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise AnnotationError(f"{path} is a folder, not a JSON file: name the JSON file")
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise AnnotationError(f"{path} is not a regular file: name the JSON file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise AnnotationError(f"{path} does not exist: correct the path") from error
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path} cannot be read: {error}. Check the path and its permissions") from error


def _decode(path: Path, data: bytes) -> str:
    if not data.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise AnnotationError(f"{path} is empty. {_EXPORT_AGAIN}")
    kind = _MAGIC.get(data[:2])
    if kind:
        raise AnnotationError(f"{path} is not a JSON file, but {kind}")
    if data.startswith(b"version https://git-lfs"):
        raise AnnotationError(f"{path} is a Git LFS pointer, not the JSON file itself: run `git lfs pull`")
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        cause = f"byte {error.start} is not {encoding.removesuffix('-sig').upper()} text"
        raise AnnotationError(f"{path} is not valid JSON: {cause}. Save it as UTF-8") from error


def _explain(text: str, error: json.JSONDecodeError) -> str:
    if text.lstrip()[:1] == "<":
        return " (this is XML or HTML)"
    if error.msg.startswith("Extra data") and text[error.pos :].lstrip()[:1] == "{":
        return " (several objects one after the other, such as JSON Lines, are not one JSON file)"
    if error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string"):
        return " (the file ends too early: it was truncated when written or copied)"
    return ""
