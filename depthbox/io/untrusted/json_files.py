"""JSON files of unknown origin, read with bounds on size, nesting and numbers."""

from __future__ import annotations

import gc
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

MAX_JSON_BYTES = 4 * 2**30  # the largest public annotation files have about 3 GB
MAX_NESTING = 100  # lists and objects within each other; annotations have about 6 levels

_MAGIC = {b"\x1f\x8b": "a gzip file: unpack it with gunzip", b"PK": "a zip file: unpack it"}
_MAGIC |= {b"\x89P": "a PNG image", b"\xff\xd8": "a JPEG image", b"%P": "a PDF document"}
_COPY_AGAIN = "Copy or write the file again"
_BRACKETS_AND_QUOTES = b'"[]{}'
_OTHERS = bytes(set(range(256)) - set(_BRACKETS_AND_QUOTES))
_TEXT = re.compile(rb'"[^"]*"')


class JsonFileError(ValueError):
    """A JSON file that cannot be read. The message names the file, the cause and the remedy."""


class _RepeatedKeyError(ValueError):
    """An object that has one key twice."""


def read_json(path: str | os.PathLike[str], *, limit: int = MAX_JSON_BYTES, remedy: str = _COPY_AGAIN) -> Any:
    """Read a JSON file.

    UTF-8, UTF-16 and UTF-32 are read, with or without a byte order mark. The literals NaN and Infinity are accepted.

    Args:
        path: the JSON file.
        limit: size in bytes above which the file is refused.
        remedy: advice at the end of the message about content that is not JSON.

    Returns:
        The content, nested at most ``MAX_NESTING`` levels deep.

    Raises:
        JsonFileError: the file is missing, cannot be read, is too large, is not JSON, is nested too deeply, or has an
            object with the same key twice.
    """
    return parse_json(_read_bytes(Path(path), limit), path, remedy=remedy)


def parse_json(data: bytes | str, name: object, *, remedy: str = _COPY_AGAIN) -> Any:
    """Parse JSON with the bounds of ``read_json``.

    Args:
        data: the JSON text.
        name: file or place that the text comes from, for messages.
        remedy: as in ``read_json``.

    Raises:
        JsonFileError: see ``read_json``.
    """
    text = data if isinstance(data, str) else _decode(name, data, remedy)
    encoded = data if isinstance(data, bytes) and len(data) == len(text) else text.encode("utf-8", "surrogatepass")
    del data
    if _measure_nesting(encoded) > MAX_NESTING:
        raise JsonFileError(f"{name} is not usable JSON: it is nested too deeply. {remedy}")
    del encoded
    try:
        with without_garbage_collection():
            return json.loads(text, object_pairs_hook=_make_object)
    except json.JSONDecodeError as error:
        cause = f"{error.msg} in line {error.lineno}, column {error.colno}{_explain(text, error)}"
        raise JsonFileError(f"{name} is not valid JSON: {cause}. {remedy}") from error
    except RecursionError as error:  # brackets that are not closed
        raise JsonFileError(f"{name} is not usable JSON: it is nested too deeply. {remedy}") from error
    except (ValueError, MemoryError) as error:  # such as a number of more digits than Python converts
        cause = str(error).split(";")[0] or "it is too large for the memory"
        raise JsonFileError(f"{name} is not usable JSON: {cause}. {remedy}") from error


def try_parse_json(data: bytes | str) -> Any:
    """Parse JSON; None if it is not JSON or exceeds the bounds of ``read_json``."""
    try:
        return parse_json(data, "")
    except JsonFileError:
        return None


def parse_first_entry(text: str) -> Any:
    """Return the first entry of a JSON list whose end may be missing; None if there is none or it is incomplete."""
    text = text.lstrip()
    if not text.startswith("["):
        return None
    try:
        return json.JSONDecoder().raw_decode(text[1:].lstrip())[0]
    except (ValueError, RecursionError):
        return None


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


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in found if keys.count(key) > 1)
        raise _RepeatedKeyError(f"the key {repeated[:40]!a} occurs twice in one object")
    return found


def _measure_nesting(text: bytes) -> int:
    """Return the number of lists and objects within each other, counted without parsing or recursion.

    Args:
        text: UTF-8; for text that is not JSON, the number has no meaning.
    """
    # Only quotes and brackets are kept, then the texts between quotes are removed. Adjacent quotes go first: there are
    # millions of them, and their removal does not change what lies between quotes.
    rest = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _OTHERS).replace(b'""', b"")
    brackets = np.frombuffer(_TEXT.sub(b"", rest), dtype=np.uint8)
    if not brackets.size:
        return 0
    steps = np.where((brackets == ord("[")) | (brackets == ord("{")), np.int8(1), np.int8(-1))
    return int(np.cumsum(steps, dtype=np.int64).max())


def _read_bytes(path: Path, limit: int) -> bytes:
    try:
        if path.is_dir():
            raise JsonFileError(f"{path} is a folder, not a JSON file: name the JSON file")
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise JsonFileError(f"{path} is not a regular file: name the JSON file")
        size = os.path.getsize(path)
        if size > limit:
            raise JsonFileError(
                f"{path} has {size >> 20} MiB, more than the {max(limit >> 20, 1)} MiB that are read: split the file"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise JsonFileError(f"{path} does not exist: correct the path") from error
    except JsonFileError:
        raise
    except MemoryError as error:
        raise JsonFileError(f"{path} does not fit into the memory: split the file") from error
    except (OSError, ValueError) as error:
        raise JsonFileError(f"{path} cannot be read: {error}. Check the path and its permissions") from error


def _decode(name: object, data: bytes, remedy: str) -> str:
    if not data.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise JsonFileError(f"{name} is empty. {remedy}")
    kind = _MAGIC.get(data[:2])
    if kind:
        raise JsonFileError(f"{name} is not a JSON file, but {kind}")
    if data.startswith(b"version https://git-lfs"):
        raise JsonFileError(f"{name} is a Git LFS pointer, not the JSON file itself: run `git lfs pull`")
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        cause = f"byte {error.start} is not {encoding.removesuffix('-sig').upper()} text"
        raise JsonFileError(f"{name} is not valid JSON: {cause}. Save it as UTF-8") from error


def _explain(text: str, error: json.JSONDecodeError) -> str:
    if text.lstrip()[:1] == "<":
        return " (this is XML or HTML)"
    if error.msg.startswith("Extra data") and text[error.pos :].lstrip()[:1] == "{":
        return " (several objects one after the other, such as JSON Lines, are not one JSON file)"
    if error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string"):
        return " (the file ends too early: it was truncated when written or copied)"
    return ""
